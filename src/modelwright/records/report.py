"""Step 5: how good a predictor is."""

from __future__ import annotations

from dataclasses import dataclass

from modelwright.records.figures import Interval, Latency


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """Precision, recall and F1 of one class."""

    name: str
    count: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Over- or underfitting in plain words, the evidence, and what to try next."""

    verdict: str
    evidence: str
    next: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A paired comparison: `difference` is ours minus theirs, oriented so that more is better."""

    to: str
    difference: float
    low: float
    high: float
    p: float
    real: bool


@dataclass(frozen=True, slots=True)
class SliceFigures:
    """The metric on one slice of the part, with its interval."""

    name: str
    count: int
    score: Interval


@dataclass(frozen=True, slots=True)
class Report:
    """Step 5: how good it is. A masked report (see the seal) has no figures, only `masked`."""

    id: str
    predictor: str
    split: str
    count: int
    metric: str
    metrics: dict[str, Interval]
    classes: tuple[ClassFigures, ...]
    diagnosis: Diagnosis | None
    meets: dict[str, bool | None]
    compared: Comparison | None
    confusion: tuple[tuple[int, ...], ...] = ()
    slices: tuple[SliceFigures, ...] = ()
    latency_ms: Latency | None = None
    cost_per_1000: float | None = None
    masked: str | None = None
    looks_used: int | None = None
    html: str | None = None
