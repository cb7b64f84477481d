"""Operations and memory of a training, and what they mean on machines that can be rented."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from modelwright.training import rented as renting
from modelwright.training.rented import Machine, machines, rented, tier
from modelwright.training.work import Cost, Footprint, cost_of, counted, footprint_of_files

SMALL = Footprint(weights=4e9, trained=1_000_000_000, activations=8e9, examples=32)


def test_a_forward_pass_costs_what_torch_counts(tiny_encoder: Path) -> None:
    """Torch's counter is the oracle: 2 N + 4 L h T for each token, besides the head's 2 D K for each example."""
    import torch

    from modelwright.models.networks import pretrained

    network = pretrained(tiny_encoder, outputs=3)
    network.encoder.set_attn_implementation("eager")  # torch does not count its fused kernel on a processor
    inputs = {"input_ids": torch.full((2, 20), 70), "attention_mask": torch.ones(2, 20, dtype=torch.int64)}
    cost = cost_of(network, inputs, length=20, rank=0)
    pooler = 32 * 32  # a BertModel's own pooler reads the first token alone
    by_hand = cost.answering([(2, 20)]) - 2 * 2 * 19 * pooler + 2 * 2 * 32 * 3
    assert counted(network, inputs) == pytest.approx(by_hand)


def test_training_costs_three_forward_passes_and_with_adapters_two() -> None:
    """N = 100, A = 0, L h = 10, two texts of 5: 10 tokens x (6 x 100 + 12 x 10 x 5) = 12,000, thrice 10 x (200 + 200).

    With A = 4 adapter weights: 10 x (400 + 24 + 600) = 10,240.
    """
    plain, adapted = Cost(100, 0, 10), Cost(100, 4, 10)
    assert plain.training([(2, 5)]) == 12_000 == 3 * plain.answering([(2, 5)])
    assert adapted.training([(2, 5)]) == 10_240


def test_the_footprint_of_files_is_that_of_the_network(tiny_encoder: Path) -> None:
    """The encoder's weights in four bytes, and twelve for each that moves; adapters of rank 2 move few."""
    from modelwright.models.networks import encoder_in

    count = sum(each.numel() for each in encoder_in(tiny_encoder).parameters())
    full = footprint_of_files(tiny_encoder, rank=0, quantised=False, examples=4, length=10)
    assert full.trained == count and full.weights == 4 * count
    adapted = footprint_of_files(tiny_encoder, rank=2, quantised=False, examples=4, length=10)
    assert adapted.trained < 0.2 * count
    # s b h L (34 + 5 a s / h) x 1.4 = 10 x 4 x 32 x 2 x (34 + 5 x 2 x 10 / 32) x 1.4
    assert full.activations == pytest.approx(10 * 4 * 32 * 2 * (34 + 3.125) * 1.4)


def test_smaller_pieces_hold_fewer_activations() -> None:
    """4 + 12 + 8 GB, a tenth more: 26.4; in four pieces 4 + 12 + 2: 19.8."""
    assert SMALL.total() == pytest.approx(26.4e9)
    assert SMALL.total(micro_batches=4) == pytest.approx(19.8e9)


def test_hours_and_dollars_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 TFLOP/s at a fifth of it do 7.2e16 operations in an hour; set-up takes 5 minutes, an hour costs 2 dollars.

    At best a twentieth under half is used: 7.2e16 / 4.5e13 = 1,600 s and 120 s; at worst 14,400 s and 900 s. A machine
    with 24 GB does not hold 26.4 GB.
    """
    rows = (
        Machine("large", 48, 100, 1000, 2.0, "x", "2026-01-01", "x"),
        Machine("small", 24, 100, 1000, 0.1, "x", "2026-01-01", "x"),
    )
    monkeypatch.setattr(renting, "machines", lambda: rows)
    (found,) = rented(7.2e16, 10, SMALL)
    assert found.name == "large"
    assert found.hours.value == pytest.approx(1 + 300 / 3600)
    assert found.cost.value == pytest.approx(2 * (1 + 300 / 3600))
    assert found.hours.low == pytest.approx(1720 / 3600) and found.hours.high == pytest.approx(15300 / 3600)


def test_the_table_is_dated_and_sound() -> None:
    for each in machines():
        assert date.fromisoformat(each.as_of) <= date(2100, 1, 1) and each.source
        assert 8 <= each.memory <= 400 and 20 < each.tflops < 5000 and 0.05 < each.dollars_per_hour < 50


def test_tiers() -> None:
    offers = rented(1e19, 1000, SMALL)
    assert tier(2.0, offers)[0] == "laptop"
    assert tier(200.0, offers)[0] == "one GPU"
    assert tier(200.0, ())[0] == "cluster"
    assert tier(1e5, rented(1e24, 1000, SMALL))[0] == "cluster"
