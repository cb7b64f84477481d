"""What forecasts were worth on this machine: kept beside what runs took, shown, and used to correct the next.

A line of JSON for each finished run, in the user's state folder: `$MODELWRIGHT_STATE`, else
`$XDG_STATE_HOME/modelwright`, else `~/.local/state/modelwright` (XDG Base Directory Specification 0.8).
"""

from __future__ import annotations

import json
import logging
import math
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from modelwright.models.threads import cores
from modelwright.records import Estimate, Interval, Past, Plan, Run, Schema
from modelwright.training.crowd import CROWDED

FILE = "forecasts.jsonl"
LATEST = 40
"""Older runs of a kind say little of the machine as it is now. Chosen."""
PRIOR = 2.0
"""A correction by n runs is shrunk by n / (n + PRIOR). Chosen: two runs may be chance."""
COVERAGE = 0.95
CONFORMAL_FROM = math.ceil(COVERAGE / (1 - COVERAGE))
"""With fewer past runs no finite range has the coverage by ranks alone: 19."""
STUDENT_FROM = 5
"""With fewer, the spread of past errors says too little to narrow the range. Chosen."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lesson:
    """One figure of one finished run: what was foreseen, before and after correction, and what came."""

    raw: float
    forecast: float
    actual: float


def state_folder() -> Path:
    """Where this machine's past forecasts lie; it may not exist yet."""
    if named := os.environ.get("MODELWRIGHT_STATE"):
        return Path(named)
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "modelwright"


def device_name(kind: str) -> str:
    """What runs of this kind are done by: the GPU, or the processor and how many of its cores."""
    if not kind.endswith(" classical"):  # these have no use for a GPU, and torch would take 190 MB more
        import torch

        if torch.cuda.is_available():
            return str(torch.cuda.get_device_name())
    return f"{_processor()}, {cores()} cores"


def kind_of_job(schema: Schema, method: str) -> str:
    """The runs whose forecasts are off alike: of one kind of input, trained one way."""
    return f"{schema.kind} {method}"


def learn(schema: Schema, plan: Plan, run: Run, *, crowd: float) -> None:
    """Keep what a finished run took beside what its plan foresaw, but not its time where others took much of it.

    Args:
        schema: Of its dataset.
        plan: The run's.
        run: One that was never killed: else it has started twice.
        crowd: What other programs took of the processor meanwhile, as a share.
    """
    actual = {"seconds": run.seconds, "peak_memory_bytes": float(run.peak_memory_bytes)}
    if max(crowd, plan.estimate.crowd) > CROWDED:
        del actual["seconds"]
    remember(kind_of_job(schema, plan.method), plan.estimate, actual, off=run.forecast_error)


def remember(kind: str, estimate: Estimate, actual: dict[str, float], *, off: dict[str, float]) -> None:
    """Keep what a finished run took beside what was foreseen for it.

    Args:
        kind: Of job, from `kind_of_job`.
        estimate: The plan's.
        actual: Name of a figure of the estimate -> what it came to.
        off: Name -> by how much more that was than was foreseen for as much of the run as was done, as a share.
    """
    lessons = {}
    for name, value in actual.items():
        forecast = value / (1 + off[name])
        lessons[name] = {"raw": forecast / _of(estimate.past, name), "forecast": forecast, "actual": value}
    line = {"kind": kind, "device": device_name(kind), "made_at": datetime.now(UTC).isoformat(), **lessons}
    path = state_folder() / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as opened:
            opened.write(json.dumps(line) + "\n")
    except OSError as error:  # a read-only home must not cost a finished run
        _LOG.warning("%s: what the run took could not be kept: %s", path, error)


def corrected(kind: str, estimate: Estimate) -> Estimate:
    """`estimate` corrected by past runs of this kind on this machine, with ranges as wide as they were off."""
    entries = list(_entries(kind))[-LATEST:]
    changed: dict[str, Any] = {}
    past: dict[str, Past] = {}
    for name in ("seconds", "peak_memory_bytes"):
        lessons = [Lesson(**entry[name]) for entry in entries if name in entry]
        if lessons:
            changed[name], past[name] = _corrected(getattr(estimate, name), lessons)
    parts = {name: each * _of(past, "seconds") for name, each in estimate.parts.items()}
    return replace(estimate, **changed, parts=parts, past=past)


def _corrected(figure: Interval, lessons: list[Lesson]) -> tuple[Interval, Past]:
    """The figure times exp(m n / (n + PRIOR)), m the median of ln(actual / raw) over the n past runs.

    Its range is exp(± h) around it. From 19 runs on, h is the ⌈(n + 1) 0.95⌉-th smallest |ln(actual / raw) − ln factor|
    (split conformal: Lei et al. 2018, algorithm 2); from 5 on Student's prediction t s √(1 + 1/n), and no less than the
    largest of these; with fewer the largest of these and of the range as it was.
    """
    logs = np.log([each.actual / each.raw for each in lessons])
    count = len(logs)
    correction = float(np.median(logs)) * count / (count + PRIOR)
    distances = np.sort(np.abs(logs - correction))
    if count >= CONFORMAL_FROM:
        half = float(distances[math.ceil((count + 1) * COVERAGE) - 1])
    elif count >= STUDENT_FROM:
        from scipy.stats import t

        spread = float(logs.std(ddof=1)) * math.sqrt(1 + 1 / count)
        half = max(float(t.ppf((1 + COVERAGE) / 2, count - 1)) * spread, float(distances[-1]))
    else:
        assert figure.low is not None and figure.high is not None, "a forecast has a range"
        half = max(math.log(figure.high / figure.value), math.log(figure.value / figure.low), float(distances[-1]))
    factor = math.exp(correction)
    value = figure.value * factor
    error = float(np.median([abs(each.actual / each.forecast - 1) for each in lessons]))
    interval = Interval(value, value * math.exp(-half), value * math.exp(half))
    return interval, Past(runs=count, error=error, factor=factor)


def _of(past: dict[str, Past], name: str) -> float:
    return past[name].factor if name in past else 1.0


def _entries(kind: str) -> Iterator[dict[str, Any]]:
    """The past runs of `kind` by this device, oldest first; a line that was cut short is passed over."""
    path, device = state_folder() / FILE, device_name(kind)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("kind") == kind and entry.get("device") == device:
            yield entry


def _processor() -> str:
    """The processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
