"""Sizes of models of many families, read from their folders alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from modelwright.errors import InputError
from modelwright.models.sizes import Sizes, sizes_of
from modelwright.models.text import longest_tokens

PLAIN = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
LLAMA = {"model_type": "llama", **PLAIN, "max_position_embeddings": 48}
GPT2 = {"model_type": "gpt2", "n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 48}
DISTILBERT = {"model_type": "distilbert", "dim": 16, "n_layers": 3, "n_heads": 2, "max_position_embeddings": 48}
ROBERTA = {"model_type": "roberta", **PLAIN, "max_position_embeddings": 50}
XLNET = {"model_type": "xlnet", "d_model": 16, "n_layer": 3, "n_head": 2}
VIT = {"model_type": "vit", **PLAIN, "image_size": 32}
RESNET = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
SEGFORMER = {"model_type": "segformer", "hidden_sizes": [8, 16, 16, 16], "num_attention_heads": [1, 2, 2, 2]}
TWO = {"model_type": "llava", "text_config": LLAMA, "vision_config": {**VIT, "hidden_size": 8}}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param(LLAMA, Sizes(16, 3, 2, 48), id="llama"),
        pytest.param(GPT2, Sizes(16, 3, 2, 48), id="gpt2"),
        pytest.param(DISTILBERT, Sizes(16, 3, 2, 48), id="distilbert"),
        pytest.param(ROBERTA, Sizes(16, 3, 2, 48), id="roberta counts from its padding"),
        pytest.param(XLNET, Sizes(16, 3, 2, 0), id="xlnet has no limit"),
        pytest.param(VIT, Sizes(16, 3, 2, 0), id="vit"),
        pytest.param(RESNET, Sizes(0, 0, 0, 0), id="resnet"),
        pytest.param(SEGFORMER, Sizes(0, 4, 0, 0), id="segformer has lists"),
        pytest.param(TWO, Sizes(16, 3, 2, 48), id="llava, whose part that reads texts counts"),
    ],
)
def test_sizes_by_whatever_name(config: dict[str, Any], expected: Sizes, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert sizes_of(tmp_path) == expected


@pytest.mark.parametrize("config", [PLAIN, {"model_type": "unheard-of"}, {**LLAMA, "hidden_size": 15}], ids=str)
def test_what_is_no_configuration_is_said_to_be_none(config: dict[str, Any], tmp_path: Path) -> None:
    """The last is one of a Llama whose two heads cannot share 15 numbers."""
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"model\.base: .* cannot be loaded"):
        sizes_of(tmp_path)


def test_gpt2_reads_no_more_than_it_has_positions(tiny_encoder: Path, tmp_path: Path) -> None:
    """Its tokenizer states no limit."""
    folder = tmp_path / "gpt2"
    shutil.copytree(tiny_encoder, folder)
    (folder / "config.json").write_text(json.dumps(GPT2))
    assert longest_tokens(folder) == 48
