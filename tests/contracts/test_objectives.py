"""What every objective must hold, by being listed in OBJECTIVES."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from modelwright.training.loop import Recipe, steps
from modelwright.training.objectives import OBJECTIVES, Batch


def network(outputs: int, *, zero: bool = False) -> Any:
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.Linear(5, 32), torch.nn.Tanh(), torch.nn.Linear(32, outputs))

        def forward(self, inputs: dict[str, Any]) -> Any:
            return self.layers(inputs["x"])

    torch.manual_seed(0)
    net = Net().double()
    if zero:
        for each in net.parameters():
            torch.nn.init.zeros_(each)
    return net


def batch(name: str, count: int) -> Batch:
    import torch

    generator = torch.Generator().manual_seed(4)
    x = torch.randn(count, 5, generator=generator, dtype=torch.float64)
    if name == "regression":
        return Batch({"x": x}, torch.randn(count, generator=generator, dtype=torch.float64))
    return Batch({"x": x}, torch.arange(count) % 4)


OUTPUTS = {"classification": 4, "regression": 1}


@pytest.fixture(params=sorted(OBJECTIVES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_known_value_at_the_start(name: str) -> None:
    """All outputs nought: cross-entropy of K = 4 equal classes is ln 4 per example; squared error is ½ Σ t²."""
    given = batch(name, 8)
    found = OBJECTIVES[name]().loss(network(OUTPUTS[name], zero=True), given)
    expected = 0.5 * float((given.targets_n**2).sum()) if name == "regression" else 8 * math.log(4)
    assert float(found.sum.detach()) == pytest.approx(expected, rel=1e-9)
    assert found.units == 8


def test_gradient_equals_finite_differences(name: str) -> None:
    import torch

    objective, net, given = OBJECTIVES[name](), network(OUTPUTS[name]), batch(name, 6)
    objective.loss(net, given).sum.backward()
    weight = net.layers[2].weight
    for place in ((0, 0), (0, 7), (0, 31)):
        values = []
        for shift in (1e-6, -1e-6):
            with torch.no_grad():
                weight[place] += shift
                values.append(float(objective.loss(net, given).sum.detach()))
                weight[place] -= shift
        assert float(weight.grad[place]) == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-4, abs=1e-8)


def test_parts_sum_to_the_whole(name: str) -> None:
    objective, net, whole = OBJECTIVES[name](), network(OUTPUTS[name]), batch(name, 6)
    total = objective.loss(net, whole)
    parts = [
        objective.loss(net, Batch({"x": whole.inputs["x"][i : i + 2]}, whole.targets_n[i : i + 2])) for i in (0, 2, 4)
    ]
    assert sum(float(part.sum.detach()) for part in parts) == pytest.approx(float(total.sum.detach()), rel=1e-12)
    assert sum(part.units for part in parts) == total.units


def test_eight_examples_can_be_learnt_by_heart(name: str) -> None:
    import torch

    net, given = network(OUTPUTS[name]), batch(name, 8)
    groups = [{"params": list(net.parameters()), "initial_lr": 0.03}]
    found = list(
        steps(
            net,
            OBJECTIVES[name](),
            torch.optim.AdamW(groups, lr=0.03, weight_decay=0.0),
            Recipe(steps=300, warmup=0.02),
            order=lambda epoch: [np.arange(8)],
            fetch=lambda chosen: given,
            scaler=torch.amp.GradScaler("cpu", enabled=False),
        )
    )
    assert found[-1].loss < 0.01 < found[0].loss
