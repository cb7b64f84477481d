"""The loop: a batch goes in, predictions come out, the loss is measured, the weights move, again.

It yields one fact per step and writes nothing; whoever calls it saves, logs, draws and stops. Everything random
in a step (dropout, image variation) is drawn from (seed, step), so a step does the same after any interruption.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from modelwright.errors import RefusedError
from modelwright.training.objectives import Batch, Objective
from modelwright.training.optim import Optimizer

if TYPE_CHECKING:
    from torch import nn


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
        micro_batches: Into how many pieces a batch is cut to save memory; changes nothing but rounding.
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
) -> Iterator[Step]:
    """Train from step `start` to the recipe's end, one `Step` at a time; the caller may stop between any two.

    Args:
        network: Its float32 weights are moved in place.
        objective: Gives the loss of a batch as sum and units.
        optimizer: Over the network's parameters.
        recipe: See there.
        order: epoch -> its batches as arrays of example positions; the same number of batches every epoch.
        fetch: positions -> Batch on the network's device.
        start: Steps already done.

    Raises:
        RefusedError: the loss or the gradient is no longer finite.
    """
    import torch

    from modelwright.models.dropout import seed_step

    device = next(network.parameters()).device.type
    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
    done, epoch, batches = start, -1, order(0)
    per_epoch = len(batches)
    while done < recipe.steps:
        began = time.perf_counter()
        if done // per_epoch != epoch:
            epoch = done // per_epoch
            batches = order(epoch)
        chosen = batches[done % per_epoch]
        seed_step(recipe.seed * 1_000_003 + done)
        network.train()
        total, units = 0.0, 0
        for piece in np.array_split(chosen, min(recipe.micro_batches, len(chosen))):
            batch = fetch(piece)
            with torch.autocast(device, kinds.get(recipe.precision), enabled=recipe.precision in kinds):
                loss = objective.loss(network, batch)
            optimizer.backward(loss.sum)
            total, units = total + float(loss.sum.detach()), units + loss.units
        units = max(1, units)  # a batch may carry no loss at all
        norm = optimizer.norm() / units
        _check(total, norm, step=done + 1, optimizer=optimizer)
        factor = learning_rate_factor(done, recipe)
        clipping = max(1.0, norm / recipe.max_grad_norm) if math.isfinite(norm) else 1.0
        optimizer.step(factor=factor, divisor=units * clipping)
        done += 1
        yield Step(done, epoch, total / units, units, factor * optimizer.peak, norm, time.perf_counter() - began)


def _check(total: float, norm: float, *, step: int, optimizer: Optimizer) -> None:
    """Refuse to go on with numbers that are none (with fp16 a gradient may overflow: the step is then skipped)."""
    if math.isfinite(total) and (optimizer.scaled or math.isfinite(norm)):
        return
    what, lower = "the loss" if not math.isfinite(total) else "the gradient", optimizer.peak / 3
    raise RefusedError(
        f"training diverged at step {step}: {what} is not finite; set training.learning_rate below {lower:.1g}"
        " or training.precision to fp32"
    )
