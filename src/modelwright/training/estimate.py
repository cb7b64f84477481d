"""What a run will take, from a few real steps: seconds by a line through batches of several lengths, and memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from modelwright.training.job import Job
from modelwright.training.loop import Recipe, Step, steps
from modelwright.training.optim import adamw
from modelwright.training.trained import begin

WARM_STEPS = 2
"""Left out of the measurement: the first steps allocate memory and choose kernels."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What was measured: seconds of a step = `fixed` + `per_token` x padded tokens, and of a forward pass."""

    fixed_seconds: float
    per_token_seconds: float
    forward_seconds_per_example: float
    peak_memory_bytes: int

    def epoch_seconds(self, batches: list[np.ndarray], lengths_N: np.ndarray) -> float:
        """The seconds that these batches will take."""
        padded = sum(len(batch) * int(lengths_N[batch].max()) for batch in batches)
        return len(batches) * self.fixed_seconds + padded * self.per_token_seconds


def probe(job: Job, *, precision: str, at_most_seconds: float = 20.0) -> Probe:
    """Time real training steps on batches of small, middling and large length.

    Args:
        job: Thrown away afterwards.
        precision: That of the run.
        at_most_seconds: No further batch is started after so long.
    """
    held = begin(replace(job, settings={**job.settings, "precision": precision}))
    job = held.job
    lengths_N = job.train.lengths_N
    batches = sorted(job.order(0), key=lambda batch: len(batch) * int(lengths_N[batch].max()))
    places = [0.9, 0.5, 0.1, 0.5, 0.9, 0.3, 0.7, 1.0]
    chosen = [batches[min(len(batches) - 1, int(place * len(batches)))] for place in places]
    chosen = [chosen[0]] * WARM_STEPS + chosen
    recipe = Recipe(steps=len(chosen), precision=precision, micro_batches=job.settings["micro_batches"])
    began, measured = time.perf_counter(), []
    for step, batch in zip(_steps(job, recipe, chosen), chosen, strict=True):
        if step.number > WARM_STEPS:
            measured.append((len(batch) * int(lengths_N[batch].max()), step.seconds))
        if time.perf_counter() - began > at_most_seconds and len(measured) >= 2:
            break
    fixed, per_token = _line(measured)
    forward = _forward_seconds(job)
    held.end()
    return Probe(fixed, per_token, forward, memory_bytes())


def _steps(job: Job, recipe: Recipe, batches: list[np.ndarray]) -> Iterator[Step]:
    """The loop on just these batches, at a learning rate of nought, so that no weight moves."""
    optimizer = adamw(job.network, learning_rate=0.0)
    return steps(job.network, job.objective, optimizer, recipe, order=lambda epoch: batches, fetch=job.fetch)


def _line(measured: list[tuple[int, float]]) -> tuple[float, float]:
    """Intercept and slope, neither negative, of seconds over padded tokens, by least squares of relative error."""
    tokens, seconds = np.array(measured, dtype=float).T
    if tokens.max() < 1.2 * tokens.min():
        return float(np.median(seconds)), 0.0
    from scipy.optimize import nnls

    design = np.column_stack((np.ones_like(tokens), tokens)) / seconds[:, None]
    (fixed, per_token), _ = nnls(design, np.ones_like(seconds))
    return float(fixed), float(per_token)


def _forward_seconds(job: Job) -> float:
    """Seconds per example of answering, on up to 64 validation examples spread over their lengths."""
    features = job.validation.features
    chosen = np.linspace(0, len(features) - 1, min(64, len(features))).astype(int)
    began = time.perf_counter()
    job.predictor.outputs(features.take(chosen))
    return (time.perf_counter() - began) / len(chosen)


def memory_bytes() -> int:
    """Resident memory of this process now, or what the GPU has held at most where there is one."""
    import psutil
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return int(psutil.Process().memory_info().rss)
