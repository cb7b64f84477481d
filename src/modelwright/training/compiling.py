"""Whether the blocks of a network are compiled: where it can be, and pays back within the run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from modelwright.errors import Fault, InputError, RefusedError
from modelwright.problem import Problem
from modelwright.records import Setting
from modelwright.training.estimate import Forecast
from modelwright.training.job import Job
from modelwright.training.loop import Recipe, steps
from modelwright.training.memory import Peak
from modelwright.training.optim import Optimizer
from modelwright.training.rules import schedule

LEAST_SECONDS = 35.0
"""What compiling and trying it takes at least. Measured: 35 s for a block of a Llama 384 wide on two cores."""
MOST_SAVED = 0.2
"""Of a step, what is saved at most. Measured: .16 to .19 on a processor. It decides what is tried."""
PAIRS = 4
"""Steps that are timed, compiled and not, in turn. Chosen."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What compiling brought on this machine.

    Args:
        first_seconds: What the first compilation took.
        again_seconds: The same where compiled code lies on the disk, as it does for the run.
        share: A compiled step's time, of what it takes otherwise.
        peak_bytes: Of memory.
    """

    first_seconds: float
    again_seconds: float
    share: float
    peak_bytes: int


def compiling(
    forecast: Forecast,
    problem: Problem,
    *,
    precision: str,
    scratch: bool,
    budget_seconds: float,
    note: Callable[[str], None],
) -> tuple[Setting, Forecast]:
    """Whether to compile, and the forecast of a run that does so.

    Args:
        forecast: Of a run that does not.
        problem: May say yes or no.
        precision: That of the run.
        scratch: As `schedule` has it.
        budget_seconds: As `schedule` has it.
        note: Told what takes long.

    Raises:
        InputError: it is asked for where it cannot be.
    """
    asked = problem.training.compile
    if asked is False:
        return Setting(False, "problem.yaml"), forecast
    if reason := _why_not(forecast.job, problem.compute.workers):
        return _left(f"rule: {reason}", asked=asked is True), forecast
    count = schedule(forecast, problem, scratch=scratch, budget_seconds=budget_seconds)["steps"].value
    plain = forecast.steps_seconds(count)
    if asked == "auto" and MOST_SAVED * plain < LEAST_SECONDS:
        found = f"it takes {LEAST_SECONDS:.0f} s at least, and would save less in {count:,} steps"
        return Setting(False, f"rule: {found}"), forecast
    note("compiling a block")
    try:
        tried = _tried(forecast.job, precision)
    except RefusedError as error:
        return _left(f"probe: {str(error).partition(';')[0]}", asked=asked is True), forecast
    saved = (1 - tried.share) * plain
    found = f"steps take {tried.share:.2f} of the time, which saves {saved:.0f} s in {count:,}"
    found += f"; compiling takes {tried.first_seconds:.0f} s"
    if asked == "auto" and saved <= tried.first_seconds:
        return Setting(False, f"probe: {found}"), forecast
    return Setting(True, f"{'probe' if asked == 'auto' else 'problem.yaml'}: {found}"), _compiled(forecast, tried)


def _left(origin: str, *, asked: bool) -> Setting:
    """Blocks are left as they are.

    Raises:
        InputError: it was asked for.
    """
    if asked:
        raise InputError(Fault("training.compile", f"true, but {origin.partition(': ')[2]}", "auto or false"))
    return Setting(False, origin)


def _why_not(job: Job, workers: int) -> str | None:
    """What stands against compiling, if anything does."""
    from modelwright.models.compiled import NONE, blocks_in, compiler, drops

    settings: dict[str, Any] = job.settings
    if not settings.get("stream"):
        return "only where texts are one stream have all batches one shape"
    reasons = {
        "adapters are trained": settings["rank"] > 0,
        "blocks are repeated to save memory": settings["checkpointing"],
        "several workers train together": workers > 1,
        "the model drops some of its states at random": drops(job.network),
        "nothing in the model is known as a block": not blocks_in(job.network),
        "no C++ compiler is here (g++, or what CXX names)": compiler() == NONE,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _tried(job: Job, precision: str) -> Tried:
    """What compiling brings: it is done twice, and some steps are taken with it and without.

    Raises:
        RefusedError: it fails.
    """
    import torch

    from modelwright.training.trained import begin

    settings = {**job.settings, "compile": True}
    firsts, quick, plain = [], [], []
    with Peak() as peak:
        for _ in range(2):
            held = begin(replace(job, settings=settings))
            optimizer = held.optimizer(learning_rate=0.0, scaled=precision == "fp16")
            try:
                firsts.append(_step_seconds(held.job, optimizer, precision))
                peak_bytes = peak.bytes  # before steps that keep more for the way back
                for _ in range(PAIRS if len(firsts) == 2 else 0):
                    quick.append(_step_seconds(held.job, optimizer, precision))
                    with torch.compiler.set_stance("force_eager"):
                        plain.append(_step_seconds(held.job, optimizer, precision))
            finally:
                held.end()
    usual = median(quick)
    first, again = (max(0.0, each - usual) for each in firsts)
    return Tried(first, again, usual / median(plain), peak_bytes)


def _step_seconds(job: Job, optimizer: Optimizer, precision: str) -> float:
    """The time of a step that moves no weight."""
    recipe = Recipe(steps=1, precision=precision, micro_batches=job.settings["micro_batches"])
    began = time.perf_counter()
    for _ in steps(job.network, job.objective, optimizer, recipe, order=job.order, fetch=job.fetch):
        pass
    return time.perf_counter() - began


def _compiled(forecast: Forecast, tried: Tried) -> Forecast:
    """The forecast with compiled steps."""
    probe = forecast.probe
    line = probe.steps.line
    quicker = replace(
        line,
        fixed=line.fixed * tried.share,
        per_token=line.per_token * tried.share,
        per_square=line.per_square * tried.share,
    )
    changed = replace(probe, steps=replace(probe.steps, line=quicker))
    return replace(forecast, probe=changed, compile_seconds=tried.again_seconds, peak_bytes=tried.peak_bytes)
