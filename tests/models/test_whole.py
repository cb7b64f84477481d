"""Weights that a checkpoint lacks: what families leave out by design is made up for, all else is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from modelwright.errors import InputError
from modelwright.models.language import language_in
from modelwright.models.networks import encoder_in
from modelwright.models.room import weight_shapes
from modelwright.models.text import tokenizer_from

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 20}
BY_FAMILY: dict[str, dict[str, Any]] = {
    "distilbert": {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 24, "vocab_size": 20},
    "modernbert": {**SIZES, "pad_token_id": 0, "global_attn_every_n_layers": 1},
    "vit": {**SIZES, "image_size": 16, "patch_size": 8},
    "resnet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
}
TEXT = ("MaskedLM", "SequenceClassification", "TokenClassification")
CASES = [(family, head) for family in ("bert", "roberta", "distilbert", "modernbert", "electra") for head in TEXT]
CASES += [("vit", "ImageClassification"), ("resnet", "ImageClassification")]


def saved(family: str, head: str, folder: Path, **options: Any) -> Path:
    """A checkpoint with fresh weights of the family's ...For`head` class, or of the model alone."""
    config = transformers.AutoConfig.for_model(family, **{**BY_FAMILY.get(family, SIZES), **options})
    torch.manual_seed(0)
    getattr(transformers, f"AutoModelFor{head}" if head else "AutoModel").from_config(config).save_pretrained(folder)
    return folder


def without(folder: Path, name: str) -> Path:
    """The checkpoint less one of its weights."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    assert weights.pop(name) is not None
    save_file(weights, path, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(("family", "head"), CASES)
def test_an_encoder_comes_whole_out_of_every_class(family: str, head: str, tmp_path: Path) -> None:
    folder = saved(family, head, tmp_path)
    expected = getattr(transformers, f"AutoModelFor{head}").from_pretrained(folder).base_model.state_dict()
    for name, weight in encoder_in(folder).state_dict().items():
        assert name.startswith("pooler.") or torch.equal(weight, expected[name]), name


def test_an_encoder_that_lacks_a_weight_is_refused(tmp_path: Path) -> None:
    lost = "bert.encoder.layer.0.output.dense.weight"
    folder = without(saved("bert", "MaskedLM", tmp_path), lost)
    with pytest.raises(InputError, match=f"lacks weights .*: {lost.removeprefix('bert.')};"):
        encoder_in(folder)
    with pytest.raises(InputError, match=f"lacks weights .*: {lost.removeprefix('bert.')};"):
        language_in(folder, "masked")


def test_a_language_model_that_lacks_its_last_layer_is_refused(tmp_path: Path) -> None:
    """An export of the encoder alone: with a table of its own for scores, that is lost; with one table for both not."""
    with pytest.raises(InputError, match=r"lacks weights .*: lm_head\.weight; expected all of them"):
        language_in(saved("mistral", "", tmp_path / "untied", tie_word_embeddings=False), "causal")
    language_in(saved("mistral", "", tmp_path / "tied", tie_word_embeddings=True), "causal")


def test_a_masked_model_may_lack_the_layer_that_guesses(tmp_path: Path) -> None:
    assert language_in(saved("bert", "", tmp_path / "alone"), "masked").fresh
    assert not language_in(saved("bert", "MaskedLM", tmp_path / "whole"), "masked").fresh


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def garbled(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:9] + b"}" * 40)


@pytest.mark.parametrize("damage", [cut, garbled, Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("indexed", [False, True])
def test_damaged_weights_are_named(damage: Callable[[Path], object], indexed: bool, tmp_path: Path) -> None:
    folder = saved("bert", "", tmp_path)
    whole = folder / "model.safetensors"
    if indexed:
        path = whole.rename(folder / "model-00001-of-00001.safetensors")
        index = {"metadata": {}, "weight_map": dict.fromkeys(load_file(path), path.name)}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    damage(path if indexed else whole)
    with pytest.raises(InputError, match=r"model\.base: "):
        encoder_in(folder)
    if indexed or whole.exists():
        with pytest.raises(InputError, match=r"model.*\.safetensors .*copy or download the model again"):
            weight_shapes(folder)


@pytest.mark.parametrize("index", ["", "[]", "{}", '{"weight_map": 3}'])
def test_an_index_that_is_none_is_named(index: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(InputError, match=r"index\.json is no index of weights"):
        weight_shapes(tmp_path)


def test_a_tokenizer_that_is_cut_short_is_named(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "model"))
    cut(folder / "tokenizer.json")
    with pytest.raises(InputError, match="holds no tokenizer"):
        tokenizer_from(folder)


def test_padding_is_done_with_a_token_that_the_model_has_a_row_for(tiny_encoder: Path, tmp_path: Path) -> None:
    """A token to pad with was added, and the model never grew."""
    tokenizer = tokenizer_from(tiny_encoder)
    rows = len(tokenizer)
    tokenizer.add_special_tokens({"pad_token": "<late>"})
    tokenizer.save_pretrained(tmp_path)
    assert tokenizer_from(tmp_path).pad_token == "<late>"
    assert tokenizer_from(tmp_path, rows=rows).pad_token == tokenizer.unk_token
    with pytest.raises(InputError, match="that the model has a row for"):
        tokenizer_from(tmp_path, rows=0)
