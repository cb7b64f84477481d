"""Attention as products is what transformers does, and dropout drops what it says."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from modelwright.models.attention import NAME, use_own, use_products
from modelwright.models.dropout import Dropout, dropped, seed_step, with_own_dropout

SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "pad_token_id": 0,
    "max_position_embeddings": 64,
}
GROUPED = {**SIZES, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2}
FAMILIES: list[tuple[str, dict[str, Any]]] = [
    ("bert", SIZES),
    ("roberta", {**SIZES, "max_position_embeddings": 66, "pad_token_id": 1}),
    ("distilbert", {"vocab_size": 97, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}),
    ("modernbert", {**SIZES, "cls_token_id": 1, "sep_token_id": 2, "eos_token_id": 2, "bos_token_id": 1}),
    ("llama", GROUPED),
    ("mistral", {**GROUPED, "sliding_window": 5}),
    ("qwen2", GROUPED),
    ("qwen3", {**GROUPED, "head_dim": 8}),
]


@pytest.mark.parametrize("padding", ["none", "right", "left"])
@pytest.mark.parametrize(("family", "config"), FAMILIES, ids=[family for family, _ in FAMILIES])
def test_states_and_gradients_are_those_of_transformers(family: str, config: dict[str, Any], padding: str) -> None:
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(family, **config)).eval()
    ids, mask = torch.randint(3, 97, (3, 12)), torch.ones(3, 12, dtype=torch.int64)
    if padding != "none":
        mask[1, slice(8, None) if padding == "right" else slice(None, 4)] = 0
    found = []
    for change in (use_own, use_products):
        change(model)
        model.zero_grad()
        states = model(input_ids=ids, attention_mask=mask).last_hidden_state
        (states * mask[:, :, None]).square().sum().backward()
        gradients = {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
        found.append((states[mask.bool()].detach(), gradients))
    assert model.config._attn_implementation == NAME
    torch.testing.assert_close(found[1][0], found[0][0], rtol=1e-5, atol=1e-5)
    for name, expected in found[0][1].items():
        torch.testing.assert_close(found[1][1][name], expected, rtol=1e-3, atol=1e-4, msg=name)
    use_own(model)
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(("family", "config"), FAMILIES, ids=[family for family, _ in FAMILIES])
def test_half_precision_is_near(family: str, config: dict[str, Any]) -> None:
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(family, **config)).eval()
    use_products(model)
    ids = torch.randint(3, 97, (3, 12))
    with torch.inference_mode():
        exact = model(input_ids=ids).last_hidden_state
        with torch.autocast("cpu", torch.bfloat16):
            near = model(input_ids=ids).last_hidden_state
    torch.testing.assert_close(near.float(), exact, rtol=0.05, atol=0.05)


def test_a_family_that_is_not_known_keeps_its_own_attention() -> None:
    from transformers import AutoConfig, AutoModel

    model = AutoModel.from_config(AutoConfig.for_model("gemma2", **{**GROUPED, "head_dim": 8}))
    before = model.config._attn_implementation
    use_products(model)
    assert model.config._attn_implementation == before != NAME


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_what_is_dropped(share: float) -> None:
    """Of 100,000 a share within 4 standard errors; the rest is scaled so that the mean stays; gradients alike."""
    seed_step(3)
    values = torch.full((100, 1000), 2.0, requires_grad=True)
    found = dropped(values, share)
    gone = found == 0
    assert abs(float(gone.float().mean()) - share) < 4 * (share * (1 - share) / 100_000) ** 0.5
    assert torch.allclose(found[~gone], torch.tensor(2.0 / (1 - share)))
    found.sum().backward()
    assert torch.equal(values.grad == 0, gone)
    columns = gone.float().mean(0)
    assert float(columns.std()) < 1.2 * (share * (1 - share) / 100) ** 0.5, "coins of one column hang together"


def test_a_seed_gives_the_same_coins_whatever_was_drawn_before() -> None:
    values = torch.ones(7, 5)
    seed_step(11)
    first = [dropped(values, 0.3), dropped(values, 0.3)]
    seed_step(12)
    other = dropped(values, 0.3)
    seed_step(11)
    again = [dropped(values, 0.3), dropped(values, 0.3)]
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[0], other)


def test_modules_are_replaced_and_silent_outside_training() -> None:
    network = torch.nn.Sequential(
        torch.nn.Linear(4, 4), torch.nn.Dropout(0.4), torch.nn.Sequential(torch.nn.Dropout(0))
    )
    with_own_dropout(network)
    assert isinstance(network[1], Dropout) and network[1].p == 0.4 and isinstance(network[2][0], Dropout)
    values = torch.ones(3, 4)
    network.eval()
    assert torch.equal(network[1](values), values)
    network.train()
    assert not torch.equal(network[1](values), values) and torch.equal(network[2](values), values)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("family", ["bert", "vit"])
def test_repeated_blocks_give_the_same_gradients(family: str, count: int) -> None:
    """With dropout, whose coins must fall alike in the repetition, and go on from where they were after it.

    What is kept for the way back: of three blocks, one or all keep their inputs alone.
    """
    from transformers import BertConfig, BertModel, ViTConfig, ViTModel

    from modelwright.models.networks import Network, repeat_blocks
    from modelwright.training.memory import saved_bytes

    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
    shares = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.2}
    torch.manual_seed(1)
    if family == "bert":
        encoder = BertModel(BertConfig(vocab_size=30, **sizes, **shares))
        inputs = {"input_ids": torch.randint(0, 30, (4, 7)), "attention_mask": torch.ones(4, 7, dtype=torch.int64)}
    else:
        encoder = ViTModel(ViTConfig(image_size=16, patch_size=8, **sizes, **shares), add_pooling_layer=False)
        inputs = {"pixel_values": torch.rand(4, 3, 16, 16)}
    network = Network(encoder, width=16, outputs=3, dropout=0.2).train()
    use_products(encoder)
    with_own_dropout(network)

    def gradients() -> list[torch.Tensor]:
        seed_step(5)
        network.zero_grad()
        for _ in range(2):  # the second pass draws after the first one's repetition
            network(inputs).square().sum().backward()
        return [each.grad.clone() for each in network.parameters() if each.grad is not None]

    def kept() -> int:
        with saved_bytes(network) as found:
            network(inputs)
        return sum(found.values())

    before, whole = gradients(), kept()
    repeat_blocks(network, count)
    assert whole * (0.8 - 0.25 * count) < kept() < whole * (1 - 0.18 * count)
    for first, again in zip(before, gradients(), strict=True):
        torch.testing.assert_close(first, again, rtol=1e-6, atol=1e-6)
