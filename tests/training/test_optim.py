"""Weights in two optimizers, moved as one; with a scaled loss both move or neither."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from modelwright.training.optim import Optimizer, muon
from modelwright.training.trained import Trained


def words() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(8, 4), nn.Linear(4, 6), nn.Linear(6, 3))


def backward(network: nn.Module, optimizer: Optimizer) -> float:
    optimizer.backward(network(torch.arange(8)).square().sum())
    return optimizer.norm()


def test_a_scaled_loss_moves_the_weights_as_a_plain_one_does() -> None:
    """The scale is a power of two, so that dividing by it rounds nothing."""
    moved = []
    for scaled in (False, True):
        network = words()
        optimizer = muon(network, learning_rate=0.1, scaled=scaled)
        norms = []
        for _ in range(3):
            norms.append(backward(network, optimizer))
            optimizer.step(factor=1.0, divisor=8.0)
        moved.append((norms, network.state_dict()))
    assert moved[0][0] == pytest.approx(moved[1][0])
    torch.testing.assert_close(moved[0][1], moved[1][1])


def test_where_one_part_overflows_none_moves_and_the_scale_falls() -> None:
    """A gradient of a matrix is not finite: Muon has that, AdamW the rest, which by itself would move."""
    network = words()
    optimizer = muon(network, learning_rate=0.1, scaled=True)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    optimizer.backward(network(torch.arange(8)).square().sum())
    assert network[1].weight.grad is not None
    network[1].weight.grad[0, 0] = float("inf")
    assert optimizer.norm() == float("inf")
    optimizer.step(factor=1.0, divisor=8.0)
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    assert optimizer.plain()["scale"] == 2**15
    backward(network, optimizer)
    optimizer.step(factor=1.0, divisor=8.0)
    assert all(not torch.equal(each, before[name]) for name, each in network.state_dict().items())


@pytest.mark.parametrize("chosen", ["muon", "adamw"])
@pytest.mark.parametrize("scaled", [False, True])
def test_whatever_moves_the_weights_scales_the_loss_where_asked(chosen: str, scaled: bool) -> None:
    job: Any = SimpleNamespace(settings={"optimizer": chosen}, network=words())
    lean: Any = None
    assert Trained(job, lean).optimizer(learning_rate=0.1, scaled=scaled).scaled is scaled
