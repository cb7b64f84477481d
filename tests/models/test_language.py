"""Language models of several families: our loss and its gradient are those of plain transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from modelwright.errors import InputError
from modelwright.models.language import Kind, Language, language_from_scratch, language_in
from modelwright.training.objectives import IGNORED, Batch, portioned
from modelwright.training.objectives.vocabulary import MaskedTokens, NextToken

SMALL = {
    "vocab_size": 211,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GROUPED = {**SMALL, "num_key_value_heads": 2}
TOKENS = torch.randint(3, 211, (3, 17), generator=torch.Generator().manual_seed(0))
FAMILIES: list[tuple[str, Kind, dict[str, Any]]] = [
    ("llama", "causal", GROUPED),
    ("mistral", "causal", GROUPED),
    ("qwen2", "causal", GROUPED),
    ("qwen3", "causal", {**GROUPED, "head_dim": 8}),
    ("llama", "causal", {**GROUPED, "tie_word_embeddings": True}),
    ("gpt2", "causal", {"vocab_size": 211, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}),
    ("bert", "masked", SMALL),
    ("roberta", "masked", {**SMALL, "max_position_embeddings": 66, "pad_token_id": 1}),
    ("distilbert", "masked", {"vocab_size": 211, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}),
    ("modernbert", "masked", {**SMALL, "cls_token_id": 1, "sep_token_id": 2}),
]


def made(family: str, kind: Kind, config: dict[str, Any]) -> Language:
    torch.manual_seed(0)
    return language_from_scratch(family, kind, config).eval()


@pytest.mark.parametrize(("family", "kind", "config"), FAMILIES, ids=lambda each: each if isinstance(each, str) else "")
def test_loss_and_gradient_are_those_of_transformers(
    family: str, kind: Kind, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portioned, "PORTION", 211 * 4)  # four tokens at a time: several portions, the last one short
    network, inputs = made(family, kind, config), {"input_ids": TOKENS, "attention_mask": torch.ones_like(TOKENS)}
    labels = TOKENS.clone()
    labels[:, 5:9] = IGNORED
    if kind == "causal":  # transformers shifts the labels itself, ours are shifted by who makes the batch
        targets = torch.cat([labels[:, 1:], torch.full((3, 1), IGNORED)], dim=1)
        objective: Any = NextToken()
    else:
        targets, objective = labels, MaskedTokens()
    expected = network.model(**inputs, labels=labels).loss
    expected.backward()
    gradients = {name: each.grad.clone() for name, each in network.named_parameters() if each.grad is not None}
    network.zero_grad()
    found = objective.loss(network, Batch(inputs, targets))
    assert found.units == int((targets != IGNORED).sum())
    (found.sum / found.units).backward()
    torch.testing.assert_close(found.sum / found.units, expected, rtol=1e-5, atol=1e-5)
    for name, each in network.named_parameters():
        if name in gradients:
            torch.testing.assert_close(each.grad, gradients[name], rtol=1e-4, atol=1e-5, msg=name)


def test_states_and_vocabulary_give_the_scores() -> None:
    network = made("llama", "causal", GROUPED)
    with torch.inference_mode():
        scores = network({"input_ids": TOKENS})
        states = network.states({"input_ids": TOKENS})
        torch.testing.assert_close(network.vocabulary(states), scores)
        assert network.model.generate(TOKENS, max_new_tokens=2, do_sample=False).shape == (3, 19)


def test_a_frozen_vocabulary_gets_no_gradient() -> None:
    network = made("llama", "causal", GROUPED)
    network.vocabulary.weight.requires_grad_(False)
    NextToken().loss(network, Batch({"input_ids": TOKENS}, TOKENS)).sum.backward()
    assert network.vocabulary.weight.grad is None
    assert network.model.model.layers[0].mlp.up_proj.weight.grad is not None


def test_bfloat16_is_near_and_keeps_gradients_in_float32() -> None:
    network = made("llama", "causal", GROUPED)
    exact = NextToken().loss(network, Batch({"input_ids": TOKENS}, TOKENS))
    with torch.autocast("cpu", torch.bfloat16):
        near = NextToken().loss(network, Batch({"input_ids": TOKENS}, TOKENS))
    near.sum.backward()
    assert float(near.sum.detach()) == pytest.approx(float(exact.sum.detach()), rel=5e-3)
    assert network.vocabulary.weight.grad.dtype == torch.float32


def test_nothing_to_learn_from_is_no_loss() -> None:
    network = made("llama", "causal", GROUPED)
    found = NextToken().loss(network, Batch({"input_ids": TOKENS}, torch.full_like(TOKENS, IGNORED)))
    found.sum.backward()
    assert (float(found.sum.detach()), found.units) == (0.0, 0)


def test_a_saved_model_opens_again_and_another_kind_of_folder_does_not(tmp_path: Path) -> None:
    network = made("mistral", "causal", GROUPED)
    network.model.save_pretrained(tmp_path / "model")
    again = language_in(tmp_path / "model", "causal").eval()
    with torch.inference_mode():
        torch.testing.assert_close(again({"input_ids": TOKENS}), network({"input_ids": TOKENS}))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="cannot be loaded: "):
        language_in(tmp_path / "empty", "causal")


def test_families_that_rescale_their_scores_are_refused() -> None:
    sizes = {**GROUPED, "head_dim": 8, "final_logit_softcapping": 30.0}
    with pytest.raises(InputError, match="final_logit_softcapping"):
        made("gemma2", "causal", sizes)
