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

if TYPE_CHECKING:
    import torch
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
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    *,
    order: Callable[[int], Sequence[np.ndarray]],
    fetch: Callable[[np.ndarray], Batch],
    scaler: torch.amp.GradScaler,
    start: int = 0,
) -> Iterator[Step]:
    """Train from step `start` to the recipe's end, one `Step` at a time; the caller may stop between any two.

    Args:
        network: Its float32 weights are moved in place.
        objective: Gives the loss of a batch as sum and units.
        optimizer: Over the network's parameters; each group's `initial_lr` is its peak learning rate.
        recipe: See there.
        order: epoch -> its batches as arrays of example positions; the same number of batches every epoch.
        fetch: positions -> Batch on the network's device.
        scaler: Scales fp16's loss; disabled for the others.
        start: Steps already done.

    Raises:
        RefusedError: the loss or the gradient is no longer finite.
    """
    import torch

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
        factor = learning_rate_factor(done, recipe)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        torch.manual_seed(recipe.seed * 1_000_003 + done)
        network.train()
        total, units = 0.0, 0
        for piece in np.array_split(chosen, min(recipe.micro_batches, len(chosen))):
            batch = fetch(piece)
            with torch.autocast(device, kinds.get(recipe.precision), enabled=recipe.precision in kinds):
                loss = objective.loss(network, batch)
            scaler.scale(loss.sum / len(chosen)).backward()
            total, units = total + float(loss.sum.detach()), units + loss.units
        scaler.unscale_(optimizer)
        norm = float(torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.max_grad_norm))
        _check(total, norm, step=done + 1, scaled=scaler.is_enabled(), peak=optimizer.param_groups[0]["initial_lr"])
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        done += 1
        rate = optimizer.param_groups[0]["lr"]
        yield Step(done, epoch, total / units, units, rate, norm, time.perf_counter() - began)


def _check(total: float, norm: float, *, step: int, scaled: bool, peak: float) -> None:
    """Refuse to go on with numbers that are none (with fp16 a gradient may overflow: the scaler then skips)."""
    if math.isfinite(total) and (scaled or math.isfinite(norm)):
        return
    what = "the loss" if not math.isfinite(total) else "the gradient"
    raise RefusedError(
        f"training diverged at step {step}: {what} is not finite; set training.learning_rate below {peak / 3:.1g}"
        " or training.precision to fp32"
    )
