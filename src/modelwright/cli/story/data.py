"""What is told of the problem and of the data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from modelwright.cli.story.line import Line
from modelwright.cli.words import milliseconds, percent

if TYPE_CHECKING:
    from modelwright.problem import Problem
    from modelwright.records import Dataset

FINDINGS_SHOWN = 4

_DROPPED = {
    "unreadable": "unreadable",
    "missing_output": "without an output",
    "exact_duplicate": "exact duplicates",
    "near_duplicate": "near-duplicates",
    "conflicting_label": "with two labels",
}
_ANSWERED = {
    "language-modeling": "how it goes on,",
    "regression": "{}, a number,",
    "generation": "{}, written",
    "tagging": "{}",
    "multilabel": "{}",
    "classification": "{}",
}
"""What is answered, where there are no classes to count."""


def about_problem(problem: Problem, dataset: Dataset, metric: str) -> Iterator[Line]:
    """What is to be found out, and what is good enough."""
    from modelwright.evaluation.metrics import METRICS
    from modelwright.evaluation.words import count, figure

    schema = dataset.schema
    source = count(len(schema.inputs), "column") if schema.kind == "table" else schema.kind
    answered = f"{len(schema.classes):,} classes of {schema.output}" if schema.classes else _ANSWERED[schema.task]
    answered = "its hidden words," if schema.masked else answered
    what = f"{answered.format(schema.output)} from {source}"
    sign = "≥" if METRICS[metric].higher_is_better else "≤"
    goal = f"no goal: the best {metric}"
    if problem.goal is not None:
        goal = f"goal {metric} {sign} {figure(metric, problem.goal)}"
    parts = [what, goal]
    limits = problem.constraints
    if limits.latency_ms is not None:
        parts.append(f"answer within {milliseconds(limits.latency_ms)}")
    if limits.error_rate is not None:
        parts.append(f"at most {percent(limits.error_rate)} wrong")
    if limits.cost_per_1000 is not None:
        parts.append(f"1,000 answers for ${limits.cost_per_1000:g}")
    yield "Problem", " · ".join(parts)


def about_dataset(dataset: Dataset) -> Iterator[Line]:
    """How many examples, what was left out, how the test part stands, and what is suspicious."""
    parts = [f"{sum(dataset.parts.values()):,} examples"]
    dropped = {reason: count for reason, count in dataset.dropped.items() if count}
    if dropped:
        reasons = ", ".join(f"{count:,} {_DROPPED.get(reason, reason)}" for reason, count in dropped.items())
        parts.append(f"{sum(dropped.values()):,} left out: {reasons}")
    seal = dataset.seal
    parts.append(f"test sealed ({seal.count:,}), {seal.looks_used} of {seal.looks_allowed} looks used")
    yield "Data", " · ".join(parts)
    serious = [finding for finding in dataset.findings if finding.severity != "info"]
    for finding in serious[:FINDINGS_SHOWN]:
        shown = f" ({', '.join(finding.examples[:2])})" if finding.examples else ""
        yield "", f"! {finding.kind.replace('_', ' ')}: {finding.count:,}{shown:.120}; {finding.next}"
    if len(serious) > FINDINGS_SHOWN:
        yield "", f"! and {len(serious) - FINDINGS_SHOWN} more: modelwright prepare --json"
    if dataset.excluded:
        left = ", ".join(f"{name} ({why})" for name, why in list(dataset.excluded.items())[:FINDINGS_SHOWN])
        more = len(dataset.excluded) - FINDINGS_SHOWN
        yield "", f"not used: {left}" + (f" and {more} more" if more > 0 else "")
