"""What every objective must hold, by being listed in OBJECTIVES."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from modelwright.training.loop import Recipe, steps
from modelwright.training.objectives import IGNORED, OBJECTIVES, Batch
from modelwright.training.optim import Optimizer

CLASSES, TOKENS, WIDTH = 4, 3, 5
PER_TOKEN = ("tagging", "masked", "causal")


def network(name: str, *, zero: bool = False) -> Any:
    """A network of two layers as the objective `name` asks for it, in float64."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Linear(WIDTH, 32)
            self.vocabulary = torch.nn.Linear(32, 1 if name == "regression" else CLASSES)

        def states(self, inputs: dict[str, Any]) -> Any:
            return torch.tanh(self.first(inputs["x"]))

        def forward(self, inputs: dict[str, Any]) -> Any:
            return self.vocabulary(self.states(inputs))

    torch.manual_seed(0)
    net = Net().double()
    if zero:
        for each in net.parameters():
            torch.nn.init.zeros_(each)
    return net


def batch(name: str, count: int) -> Batch:
    """`count` examples; of objectives per token each has three, of which the second carries no loss."""
    import torch

    generator = torch.Generator().manual_seed(4)
    shape = (count, TOKENS, WIDTH) if name in PER_TOKEN else (count, WIDTH)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64)
    if name == "regression":
        return Batch({"x": x}, torch.randn(count, generator=generator, dtype=torch.float64))
    if name == "multilabel":
        return Batch({"x": x}, (torch.rand(count, CLASSES, generator=generator) < 0.4).double())
    if name in PER_TOKEN:
        targets = torch.arange(count * TOKENS).reshape(count, TOKENS) % CLASSES
        targets[:, 1] = IGNORED
        return Batch({"x": x}, targets)
    return Batch({"x": x}, torch.arange(count) % CLASSES)


@pytest.fixture(params=sorted(OBJECTIVES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_known_value_at_the_start(name: str) -> None:
    """All outputs nought: cross-entropy of K = 4 equal classes is ln 4 per unit, of four single ones 4 ln 2; squared
    error is ½ Σ t². Of three tokens two carry loss.
    """
    given = batch(name, 8)
    found = OBJECTIVES[name]().loss(network(name, zero=True), given)
    units = 16 if name in PER_TOKEN else 8
    each = {"multilabel": CLASSES * math.log(2)}.get(name, math.log(CLASSES))
    expected = 0.5 * float((given.targets**2).sum()) if name == "regression" else units * each
    assert float(found.sum.detach()) == pytest.approx(expected, rel=1e-9)
    assert found.units == units


def test_gradient_equals_finite_differences(name: str) -> None:
    import torch

    objective, net, given = OBJECTIVES[name](), network(name), batch(name, 6)
    objective.loss(net, given).sum.backward()
    for weight, place in [(net.vocabulary.weight, (0, column)) for column in (0, 7, 31)] + [(net.first.weight, (3, 2))]:
        values = []
        for shift in (1e-6, -1e-6):
            with torch.no_grad():
                weight[place] += shift
                values.append(float(objective.loss(net, given).sum.detach()))
                weight[place] -= shift
        assert float(weight.grad[place]) == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-4, abs=1e-8)


def test_parts_sum_to_the_whole(name: str) -> None:
    objective, net, whole = OBJECTIVES[name](), network(name), batch(name, 6)
    total = objective.loss(net, whole)
    parts = [
        objective.loss(net, Batch({"x": whole.inputs["x"][i : i + 2]}, whole.targets[i : i + 2])) for i in (0, 2, 4)
    ]
    assert sum(float(part.sum.detach()) for part in parts) == pytest.approx(float(total.sum.detach()), rel=1e-12)
    assert sum(part.units for part in parts) == total.units


def test_eight_examples_can_be_learnt_by_heart(name: str) -> None:
    import torch

    net, given = network(name), batch(name, 8)
    groups = [{"params": list(net.parameters()), "initial_lr": 0.03}]
    found = list(
        steps(
            net,
            OBJECTIVES[name](),
            Optimizer([torch.optim.AdamW(groups, lr=0.03, weight_decay=0.0)]),
            Recipe(steps=300, warmup=0.02),
            order=lambda epoch: [np.arange(8)],
            fetch=lambda chosen: given,
        )
    )
    assert found[-1].loss < 0.01 < found[0].loss
