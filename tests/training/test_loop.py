"""The loop alone, on a network small enough to check."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from modelwright.errors import RefusedError
from modelwright.training import loop
from modelwright.training.loop import Recipe, Step, in_turn, learning_rate_factor, piece_seed, steps
from modelwright.training.objectives import Batch
from modelwright.training.objectives.classification import Classification
from modelwright.training.optim import Optimizer


class World:
    """Twelve examples, a linear network with dropout and an optimizer: all that a run needs."""

    def __init__(self, *, dropout: float = 0.0, scale: float = 1.0, fused: bool = True) -> None:
        import torch

        torch.manual_seed(1)
        self.x = torch.randn(12, 4) * scale
        self.y = torch.tensor([0, 1, 2] * 4)

        class Net(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layer = torch.nn.Linear(4, 3)
                self.dropout = torch.nn.Dropout(dropout)

            def forward(self, inputs: dict[str, Any]) -> Any:
                return self.layer(self.dropout(inputs["x"]))

        self.network = Net()
        groups = [{"params": list(self.network.parameters()), "initial_lr": 0.1}]
        self.optimizer = Optimizer([torch.optim.AdamW(groups, lr=0.1, fused=fused)])

    def fetch(self, chosen: np.ndarray) -> Batch:
        return Batch({"x": self.x[chosen]}, self.y[chosen])

    def run(self, recipe: Recipe, *, start: int = 0) -> Iterator[Step]:

        def order(epoch: int) -> list[np.ndarray]:
            permutation = np.random.default_rng(epoch).permutation(12)
            return [permutation[:6], permutation[6:]]

        return steps(
            self.network,
            Classification(),
            self.optimizer,
            recipe,
            order=order,
            fetch=self.fetch,
            start=start,
        )

    def weights(self) -> list[Any]:
        return [each.detach().clone() for each in self.network.parameters()]


def test_learning_rate_rises_then_falls_to_nought() -> None:
    """100 steps, warm-up .1: steps 0..9 rise by 1/11 each, step 10 is the peak, step 55 is half way down."""
    recipe = Recipe(steps=100, warmup=0.1)
    assert learning_rate_factor(0, recipe) == pytest.approx(1 / 11)
    assert learning_rate_factor(9, recipe) == pytest.approx(10 / 11)
    assert learning_rate_factor(10, recipe) == pytest.approx(1.0)
    assert learning_rate_factor(55, recipe) == pytest.approx(0.5)
    assert learning_rate_factor(100, recipe) == pytest.approx(0.0)


def test_six_at_once_equal_three_times_two() -> None:
    import torch

    whole, pieces = World(), World()
    losses = [step.loss for step in whole.run(Recipe(steps=6))]
    assert [step.loss for step in pieces.run(Recipe(steps=6, micro_batches=3))] == pytest.approx(losses, rel=1e-5)
    for a, b in zip(whole.weights(), pieces.weights(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_dividing_inside_the_fused_step_is_dividing_before_it() -> None:
    import torch

    fused, plain = World(), World(fused=False)
    for each in (fused, plain):
        list(each.run(Recipe(steps=6, max_grad_norm=0.05)))  # small enough that every step is clipped
    for a, b in zip(fused.weights(), plain.weights(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_stopping_between_steps_changes_nothing() -> None:
    """Dropout draws from seed and step, so a disturbed global generator in between must not matter."""
    import torch

    recipe = Recipe(steps=8, seed=3)
    whole, interrupted = World(dropout=0.5), World(dropout=0.5)
    losses = [step.loss for step in whole.run(recipe)]
    first = [step.loss for step in itertools.islice(interrupted.run(recipe), 3)]
    torch.rand(7)
    rest = [step.loss for step in interrupted.run(recipe, start=3)]
    assert first + rest == losses
    assert all(torch.equal(a, b) for a, b in zip(whole.weights(), interrupted.weights(), strict=True))


def test_the_loss_falls() -> None:
    losses = [step.loss for step in World().run(Recipe(steps=60))]
    assert np.mean(losses[-4:]) < np.mean(losses[:4])


def test_divergence_is_refused_with_advice() -> None:
    with pytest.raises(RefusedError, match=r"diverged at step 1.*learning_rate"):
        list(World(scale=float("nan")).run(Recipe(steps=3)))


def test_what_is_made_ahead_comes_in_turn() -> None:
    """The second is begun before the first is made use of, and nothing further; an error comes in its place."""
    begun: list[int] = []
    second = threading.Event()

    def work(number: int) -> int:
        begun.append(number)
        if number == 2:
            second.set()
        if number == 4:
            raise ValueError("four")
        return number * number

    made = in_turn(work, range(1, 6), ahead=True)
    assert next(made) == 1
    assert second.wait(10) and begun == [1, 2]
    assert [next(made), next(made)] == [4, 9]
    with pytest.raises(ValueError, match="four"):
        next(made)
    assert list(in_turn(work, range(3), ahead=True)) == list(in_turn(work, range(3), ahead=False)) == [0, 1, 4]
    assert list(in_turn(work, range(0), ahead=True)) == []


def test_batches_made_ahead_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples are varied by random numbers while a step, which drops by random numbers, runs."""
    import torch

    from modelwright.models.variation import variation

    def losses(ahead: bool) -> list[float]:
        monkeypatch.setattr(loop, "in_turn", lambda work, numbers, **_: in_turn(work, numbers, ahead=ahead))
        world = World(dropout=0.5)
        plain = world.fetch
        world.fetch = lambda chosen: Batch(
            {"x": plain(chosen).inputs["x"] + torch.randn(len(chosen), 4, generator=variation())}, plain(chosen).targets
        )
        return [step.loss for step in world.run(Recipe(steps=8, micro_batches=2))]

    assert losses(ahead=True) == losses(ahead=False)


def test_every_piece_of_every_step_has_a_seed_of_its_own() -> None:
    seeds = [piece_seed(7, step, piece) for step in range(200) for piece in range(50)]
    assert len(set(seeds)) == 10_000 and piece_seed(7, 3, 0) == 7 * 1_000_003 + 3
