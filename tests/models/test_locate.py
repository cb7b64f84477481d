"""Where a model is found, what of a hub repository is downloaded and counted, and what cannot be had or trained."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import save_file

from modelwright.errors import InputError
from modelwright.models.catalogue import locate
from modelwright.models.room import weight_shapes

RESPONSE: Any = SimpleNamespace(headers={}, request=None)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            GatedRepoError("403", response=RESPONSE),
            r"let in; accept its licence at https://huggingface\.co/o/m, and log",
        ),
        (RepositoryNotFoundError("401", response=RESPONSE), "no model o/m for this user; check the spelling"),
        (LocalEntryNotFoundError("no network"), "not a model on this machine.*connect to the hub"),
    ],
)
def test_why_the_hub_gives_no_model_is_told(
    error: Exception, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*names: str, **options: Any) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(InputError, match=said):
        locate("o/m", folder=tmp_path)


def test_weights_are_downloaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the files of Mistral-7B-Instruct-v0.3, and some that other repositories have."""
    index = "model.safetensors.index.json"
    shards = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
    wanted = ["config.json", "generation_config.json", index, *shards, "tokenizer.json", "tokenizer.model"]
    others = ["consolidated.safetensors", "README.md", "tokenizer.model.v3", "pytorch_model.bin", "model.onnx"]
    inside = ["onnx/model.onnx", "onnx/model_fp16.onnx_data", "checkpoint-500/model.safetensors"]
    asked: list[list[str]] = []

    def download(hub: str, *, allow_patterns: list[str], ignore_patterns: list[str], **options: Any) -> str:
        every = [*wanted, *others, *inside]
        asked.append([*filter_repo_objects(every, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns)])
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert locate("o/m", folder=tmp_path) == tmp_path
    assert asked == [wanted]


def test_weights_that_a_folder_holds_twice_are_counted_once(tmp_path: Path) -> None:
    """By the index where there is one, else one file; other files only where there is neither."""
    save_file({"one": torch.zeros(2, 3)}, tmp_path / "model-1.safetensors")
    save_file({"two": torch.zeros(4)}, tmp_path / "model-2.safetensors")
    save_file({"uno": torch.zeros(2, 3), "due": torch.zeros(4)}, tmp_path / "consolidated.safetensors")
    assert weight_shapes(tmp_path) == {"one": (2, 3), "two": (4,), "uno": (2, 3), "due": (4,)}
    places = {"one": "model-1.safetensors", "two": "model-2.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    assert weight_shapes(tmp_path) == {"one": (2, 3), "two": (4,)}
    (tmp_path / "model.safetensors.index.json").unlink()
    save_file({"all": torch.zeros(5)}, tmp_path / "model.safetensors")
    assert weight_shapes(tmp_path) == {"all": (5,)}


def test_weights_that_were_quantised_already_are_refused(tmp_path: Path) -> None:
    config = {"model_type": "llama", "quantization_config": {"quant_method": "gptq", "bits": 4}}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(InputError, match=r"quantised already \(gptq\).*made from.*qlora holds it in four bits"):
        locate(str(tmp_path), folder=tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**config, "quantization_config": None}), encoding="utf-8")
    assert locate(str(tmp_path), folder=tmp_path) == tmp_path
