"""The loop: a batch goes in, predictions come out, the loss is measured, the weights move, again.

It yields one fact per step and writes nothing; whoever calls it saves, logs, draws and stops. Everything random
in a step (dropout, image variation) is drawn from (seed, step, piece of the batch), so a step does the same after any
interruption, and however many workers share its pieces.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from modelwright.errors import RefusedError
from modelwright.models.precision import arithmetic
from modelwright.training.objectives import Batch, LossSum, Objective
from modelwright.training.optim import Optimizer
from modelwright.training.parallel import ALONE, Group

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """What one optimizer step did; `number` counts from 1, `loss` is per unit, before the weights moved."""

    number: int
    epoch: int
    loss: float
    units: int
    learning_rate: float
    gradient_norm: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the weights move.

    Args:
        steps: Optimizer steps in all.
        warmup: Share of them over which the learning rate rises from 0.
        precision: fp32, bf16 or fp16; the weights stay float32, products are taken in it.
        max_grad_norm: The gradient is scaled down to this 2-norm where it is longer.
        micro_batches: Into how many pieces a batch is cut at least, over all workers, to save memory; without dropout
            this changes nothing but rounding.
        seed: What dropout and variation are drawn from.
    """

    steps: int
    warmup: float = 0.06
    precision: str = "fp32"
    max_grad_norm: float = 1.0
    micro_batches: int = 1
    seed: int = 0


def learning_rate_factor(step: int, recipe: Recipe) -> float:
    """The learning rate of `step` (from 0) as a share of the peak: linear up, then half a cosine down to 0."""
    rise = max(1.0, recipe.warmup * recipe.steps)
    if step < rise:
        return (step + 1) / (rise + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, recipe.steps - rise)))


def steps(
    network: nn.Module,
    objective: Objective,
    optimizer: Optimizer,
    recipe: Recipe,
    *,
    order: Callable[[int], Sequence[np.ndarray]],
    fetch: Callable[[np.ndarray], Batch],
    start: int = 0,
    group: Group = ALONE,
) -> Iterator[Step]:
    """Train from step `start` to the recipe's end, one `Step` at a time; the caller may stop between any two.

    Args:
        network: Its float32 weights are moved in place.
        objective: Gives the loss of a batch as sum and units.
        optimizer: Over the network's parameters.
        recipe: See there.
        order: epoch -> its batches as arrays of example positions; the same number of batches every epoch.
        fetch: positions -> Batch on the network's device. Of a GPU's next batch this is done in a thread while the step
            runs: what is random in it must come from `models.variation` alone.
        start: Steps already done.
        group: The workers that take these steps together; all see the same facts.

    Raises:
        RefusedError: the loss or the gradient is no longer finite.
    """
    device = next(network.parameters()).device.type
    group.watch(optimizer.parameters)
    prepared = in_turn(_preparing(recipe, order, fetch, group), range(start, recipe.steps), ahead=device != "cpu")
    for done in range(start, recipe.steps):
        began = time.perf_counter()
        epoch, pieces = next(prepared)
        network.train()
        total, units = group.add(*_gradients(network, objective, optimizer, recipe, pieces, group))
        group.average(network)
        units = max(1, units)  # a batch may carry no loss at all
        norm = optimizer.norm() / units
        _check(total, norm, step=done + 1, optimizer=optimizer)
        factor = learning_rate_factor(done, recipe)
        clipping = max(1.0, norm / recipe.max_grad_norm) if math.isfinite(norm) else 1.0
        optimizer.step(factor=factor, divisor=units * clipping)
        yield Step(done + 1, epoch, total / units, units, factor * optimizer.peak, norm, time.perf_counter() - began)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece of a batch, what its random numbers start from, and whether it counts."""

    batch: Batch
    seed: int
    counts: bool


def _preparing(
    recipe: Recipe, order: Callable[[int], Sequence[np.ndarray]], fetch: Callable[[np.ndarray], Batch], group: Group
) -> Callable[[int], tuple[int, list[_Piece]]]:
    """For a step its epoch and this worker's pieces of its batch."""
    from modelwright.models.variation import seed_variation

    batches_of = lru_cache(maxsize=1)(order)
    per_epoch = len(batches_of(0))

    def pieces(step: int) -> tuple[int, list[_Piece]]:
        epoch, found = step // per_epoch, []
        chosen = batches_of(epoch)[step % per_epoch]
        for number, positions in group.pieces(chosen, recipe.micro_batches):
            if not len(positions) and not group.sharded:
                continue
            seed = piece_seed(recipe.seed, step, number)
            seed_variation(seed)
            # Where weights are sharded all workers gather them, or none: one without examples goes through the motions.
            found.append(_Piece(fetch(positions if len(positions) else chosen[:1]), seed, bool(len(positions))))
        return epoch, found

    return pieces


def _gradients(
    network: nn.Module, objective: Objective, optimizer: Optimizer, recipe: Recipe, pieces: list[_Piece], group: Group
) -> tuple[float, int]:
    """The summed loss and the units of the pieces, whose gradients are added up."""
    from modelwright.models.dropout import seed_step

    device = next(network.parameters()).device.type
    total, units = 0.0, 0
    for piece in pieces:
        seed_step(piece.seed)
        with arithmetic(device, recipe.precision):
            loss = objective.loss(network, piece.batch)
        if not piece.counts:
            loss = LossSum(0 * loss.sum, 0)
        if piece is pieces[-1]:
            group.last_pass()
        optimizer.backward(loss.sum)
        total, units = total + float(loss.sum.detach()), units + loss.units
    return total, units


def in_turn(work: Callable[[int], T], numbers: Sequence[int], *, ahead: bool) -> Iterator[T]:
    """`work(number)` of each number; with `ahead` the next one is done in a thread while the last is made use of."""
    if not ahead:
        yield from map(work, numbers)
        return
    with ThreadPoolExecutor(1) as thread:
        waiting = deque(thread.submit(work, number) for number in numbers[:1])
        for number in numbers[1:]:
            waiting.append(thread.submit(work, number))
            yield waiting.popleft().result()
        for last in waiting:
            yield last.result()


def piece_seed(seed: int, step: int, piece: int) -> int:
    """What the random numbers of a piece of a step's batch start from: another for each, of 64 bits."""
    return (seed * 1_000_003 + step) ^ (piece * 0x9E3779B97F4A7C15 % 2**64)  # 2^64 / golden ratio: odd, so none repeats


def _check(total: float, norm: float, *, step: int, optimizer: Optimizer) -> None:
    """Refuse to go on with numbers that are none (with fp16 a gradient may overflow: the step is then skipped)."""
    if math.isfinite(total) and (optimizer.scaled or math.isfinite(norm)):
        return
    what, lower = "the loss" if not math.isfinite(total) else "the gradient", optimizer.peak / 3
    raise RefusedError(
        f"training diverged at step {step}: {what} is not finite; set training.learning_rate below {lower:.1g}"
        " or training.precision to fp32"
    )
