"""The lines of the page's tables, with every figure already in words."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from modelwright.evaluation.intervals import wilson
from modelwright.evaluation.metrics import METRICS
from modelwright.evaluation.words import count, figure, number, with_interval
from modelwright.records import Dataset, Interval, Report, Verdict

FEW = 10
"""Examples of a class under which its figures are set in grey: one example moves them by a tenth."""

WORST_CLASSES = 20
"""Classes that are shown at once; the others unfold."""


@dataclass(frozen=True, slots=True)
class Strip:
    """A small picture of an interval, in percent of its width from the left."""

    low: float
    value: float
    high: float
    goal: float | None = None


@dataclass(frozen=True, slots=True)
class FactLine:
    """One of the tiles under the headline."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class RungLine:
    """A line of the ladder."""

    name: str
    describes: str
    score: str
    strip: Strip | None
    latency: str
    cost: str
    fit: str
    skipped: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class FigureLine:
    """A line of the table of metrics."""

    name: str
    describes: str
    value: str
    limits: str
    strip: Strip | None
    main: bool


@dataclass(frozen=True, slots=True)
class ClassLine:
    """A line of the table of classes; `bar` is its F1 in percent."""

    name: str
    count: str
    precision: str
    recall: str
    recall_limits: str
    f1: str
    bar: float
    few: bool


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the confusion matrix; `share` of the examples of its true class, in percent."""

    count: int
    share: float
    hit: bool


def strip(metric: str, interval: Interval | None, goal: float | None = None) -> Strip | None:
    """The interval on a scale from 0 to 1; None for figures that have no such scale."""
    found = METRICS.get(metric)
    if found is None or interval is None or found.unit != "share" or not found.higher_is_better:
        return None
    ends = (interval.low, interval.value, interval.high)
    low, value, high = (100 * min(max(interval.value if e is None else e, 0.0), 1.0) for e in ends)
    return Strip(low, value, high, None if goal is None else 100 * min(max(goal, 0.0), 1.0))


def facts(report: Report, dataset: Dataset) -> list[FactLine]:
    """What a reader wants to know next: how much data, how fast, how dear."""
    left_out = sum(dataset.dropped.values())
    judged_on = "sealed test examples" if report.split == "test" else "validation examples"
    lines = [
        FactLine("Learned from", f"{dataset.parts.get('train', 0):,}", "examples"),
        FactLine("Judged on", f"{report.count:,}", judged_on),
    ]
    if report.split != "test":
        lines.append(FactLine("Still sealed", f"{dataset.parts.get('test', 0):,}", "test examples"))
    lines.append(FactLine("Left out", f"{left_out:,}", "each with its reason" if left_out else "examples"))
    if dataset.classes:
        what = "Classes" if dataset.schema.task == "classification" else "Labels"
        lines.append(FactLine(what, f"{len(dataset.classes):,}"))
    if report.latency_ms:
        p50, p95 = milliseconds(report.latency_ms.p50), milliseconds(report.latency_ms.p95)
        lines.append(FactLine("One answer", p50, f"95% within {p95.removeprefix('under ')}"))
    if report.cost_per_1000 is not None:
        lines.append(FactLine("1,000 answers", dollars(report.cost_per_1000), "on a rented computer"))
    return lines


def dollars(value: float) -> str:
    """A price with two significant digits, and cents from a dime on: $0.000022, $0.12, $3.50."""
    if value < 1e-6:
        return "$0" if value == 0 else "under $0.000001"
    places = 2 if value >= 0.1 else 1 - math.floor(math.log10(value))
    return f"${value:,.{places}f}"


def milliseconds(value: float) -> str:
    """A time to two decimals; what is shorter than a hundredth says so."""
    return "under 0.01 ms" if value < 0.01 else f"{number(round(value, 2))} ms"


def ladder(report: Report, verdict: Verdict | None) -> list[RungLine]:
    """The rungs as they were measured, in their order."""
    if verdict is None:
        return []
    return [
        RungLine(
            name=rung.name,
            describes=rung.describes,
            score=with_interval(verdict.metric, rung.score) if rung.score else "",
            strip=strip(verdict.metric, rung.score),
            latency=milliseconds(rung.latency_ms.p50) if rung.latency_ms else "",
            cost=dollars(rung.cost_per_1000) if rung.cost_per_1000 is not None else "",
            fit=f"{max(rung.fit_seconds, 0.1):,.1f} s" if rung.fit_seconds is not None else "",
            skipped=rung.skipped or "",
            chosen=rung.name == verdict.chosen,
        )
        for rung in verdict.rungs
    ]


def figures(report: Report) -> list[FigureLine]:
    """Every metric with its interval, the one that the goal is about first."""
    names = sorted(report.metrics, key=lambda name: name != report.metric)
    return [
        FigureLine(
            name=name,
            describes=METRICS[name].describes if name in METRICS else "",
            value=figure(name, report.metrics[name].value),
            limits=_limits(name, report.metrics[name]),
            strip=strip(name, report.metrics[name]),
            main=name == report.metric,
        )
        for name in names
    ]


def _limits(metric: str, interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return "–"
    return f"{figure(metric, interval.low)} to {figure(metric, interval.high)}"


def classes(report: Report) -> list[ClassLine]:
    """Every class that occurs, the worst F1 first."""
    occurring = [each for each in report.classes if each.count or each.precision]
    lines = []
    for each in sorted(occurring, key=lambda each: (each.f1, each.name)):
        low, high = wilson(each.recall * each.count, each.count)
        lines.append(
            ClassLine(
                name=each.name,
                count=f"{each.count:,}",
                precision=figure("precision", each.precision),
                recall=figure("recall", each.recall),
                recall_limits=f"{low:.2f} to {high:.2f}",
                f1=figure("f1", each.f1),
                bar=100 * each.f1,
                few=each.count < FEW,
            )
        )
    return lines


def confusion(report: Report) -> tuple[tuple[Cell, ...], ...]:
    """The confusion matrix as cells; rows are true classes."""
    return tuple(
        tuple(Cell(size, 100 * size / max(sum(line), 1), row == column) for column, size in enumerate(line))
        for row, line in enumerate(report.confusion)
    )


REASONS = {
    "unreadable": "could not be read",
    "missing_output": "had no output",
    "exact_duplicate": "repeated another example exactly",
    "near_duplicate": "repeated another example but for trifles",
    "conflicting_label": "had the same input as another and another output",
}
"""Reason of the data step -> what it means."""


def left_out(dataset: Dataset) -> list[tuple[str, str]]:
    """How many examples were left out, and why, the most frequent reason first."""
    ordered: Iterable[tuple[str, int]] = sorted(dataset.dropped.items(), key=lambda each: (-each[1], each[0]))
    return [(count(size, "example"), REASONS.get(reason, reason)) for reason, size in ordered if size]
