"""Packs of examples: full, drawn from seed and epoch alone, and to the model the same as a padded batch."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modelwright.models.attention import use_products
from modelwright.models.completions import IGNORED, Completions
from modelwright.models.language import language_from_scratch
from modelwright.models.text import Tokens
from modelwright.training.objectives import Batch
from modelwright.training.objectives.vocabulary import NextToken
from modelwright.training.packing import PACKING, Packs, packed


def examples(lengths: list[int], *, words: int = 97) -> Completions:
    """Random tokens, of which the second half of each example carries loss."""
    generator = np.random.default_rng(0)
    flat = generator.integers(3, words, sum(lengths)).astype(np.int32)
    starts = np.cumsum([0, *lengths])
    targets = np.append(flat[1:], IGNORED).astype(np.int32)
    for begin, end in pairwise(starts):
        targets[begin : (begin + end) // 2] = IGNORED
        targets[end - 1] = IGNORED
    return Completions(Tokens(flat, starts, 0), targets, np.arange(len(lengths)))


@given(st.lists(st.integers(1, 32), min_size=1, max_size=60), st.integers(32, 64))
def test_every_example_is_packed_once_and_no_pack_is_too_full(lengths: list[int], length: int) -> None:
    found = packed(np.asarray(lengths), length)
    assert sorted(np.concatenate(found).tolist()) == list(range(len(lengths)))
    sums = [sum(lengths[each] for each in pack) for pack in found]
    assert max(sums) <= length
    assert len(found) <= 11 / 9 * -(-sum(lengths) // length) + 4  # Johnson et al. 1974, over a bound of the fewest


def test_the_fullest_pack_that_has_room_is_taken() -> None:
    """Of 10: 7, then 6, then 4 into the one that 6 left at 4, 3 into the one that 7 left at 3, 2 alone."""
    assert [pack.tolist() for pack in packed(np.asarray([2, 3, 7, 4, 6]), 10)] == [[2, 1], [4, 3], [0]]
    with pytest.raises(ValueError, match="an example of 11 tokens"):
        packed(np.asarray([11]), 10)


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    packs = Packs(examples(np.random.default_rng(1).integers(4, 30, 200).tolist()), 64)
    orders = {
        (seed, epoch): packs.order(batch_size=4, seed=seed, epoch=epoch) for seed in range(2) for epoch in range(3)
    }
    again = packs.order(batch_size=4, seed=1, epoch=2)
    shown = {key: [tuple(pack) for batch in order for pack in batch] for key, order in orders.items()}
    assert shown[1, 2] == [tuple(pack) for batch in again for pack in batch]
    assert len({tuple(each) for each in shown.values()}) == 6
    assert {len(order) for order in orders.values()} == {-(-len(packs) // 4)}
    for each in shown.values():
        assert sorted(example for pack in each for example in pack) == list(range(200))
    assert np.mean([sum(packs.examples.tokens.lengths_N[list(pack)]) for pack in shown[0, 0]]) > 0.97 * 64
    pieces = np.array_split(orders[0, 0][0], 2)
    assert [len(piece) for piece in pieces] == [2, 2]  # as the loop cuts a batch into micro-batches


SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": SIZES,
    "mistral": {**SIZES, "sliding_window": 6},
    "qwen2": SIZES,
    "qwen3": {**SIZES, "head_dim": 8},
    "gpt2": {"vocab_size": 97, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
}
LENGTHS = [19, 3, 11, 1, 26, 8, 5, 13]


def measured(family: str, batch: Batch, *, ours: bool) -> tuple[torch.Tensor, int, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    network = language_from_scratch(family, "causal", CONFIGS[family]).eval()
    if ours:
        use_products(network.model)
    loss = NextToken().loss(network, batch)
    loss.sum.backward()
    return loss.sum.detach(), loss.units, {name: each.grad for name, each in network.named_parameters()}


@pytest.mark.parametrize("ours", [False, True], ids=["sdpa", "products"])
@pytest.mark.parametrize("family", CONFIGS)
def test_packs_give_the_loss_and_gradient_of_a_padded_batch(family: str, ours: bool) -> None:
    found = examples(LENGTHS)
    inputs, targets = found.batch(np.arange(len(LENGTHS)))
    padded = measured(family, Batch(inputs, targets), ours=ours)
    packs = Packs(found, 32)
    (chosen,) = packs.order(batch_size=len(packs), seed=0, epoch=0)
    batch = packs.batch(chosen)
    assert batch.targets.shape == (len(packs), 32) and len(packs) == 3
    in_packs = measured(family, batch, ours=ours)
    assert in_packs[1] == padded[1] == int((found.targets_flat != IGNORED).sum())
    torch.testing.assert_close(in_packs[0], padded[0], rtol=1e-5, atol=1e-5)
    for name, gradient in padded[2].items():
        torch.testing.assert_close(in_packs[2][name], gradient, rtol=1e-5, atol=1e-5, msg=name)


def test_a_window_shorter_than_the_examples_matters() -> None:
    packs = Packs(examples(LENGTHS), 32)
    batch = packs.batch(packs.order(batch_size=1, seed=0, epoch=0)[0])
    wide = {**CONFIGS, "mistral": {**SIZES, "sliding_window": None}}
    narrow = measured("mistral", batch, ours=False)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CONFIGS, "mistral", wide["mistral"])
        assert abs(float(measured("mistral", batch, ours=False)[0] - narrow)) > 1e-3


def test_every_family_that_may_be_packed_is_tested() -> None:
    assert set(CONFIGS) == PACKING
