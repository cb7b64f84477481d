"""What is told of what was measured: the ladder, the training, the report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from modelwright.cli.story.line import Line
from modelwright.cli.trials import trials_made
from modelwright.cli.words import duration, milliseconds, percent, place, size

if TYPE_CHECKING:
    from modelwright.records import Report, Run, RungScore, Verdict


def about_verdict(verdict: Verdict) -> Iterator[Line]:
    """Each rung's score, the best one's interval and latency, and what follows."""
    rungs = [_rung(rung, verdict) for rung in verdict.rungs if rung.score is not None]
    yield "Ladder", " · ".join([*rungs, f"→ {verdict.decision}: {verdict.reason}"])
    skipped: dict[str, list[str]] = {}
    for rung in verdict.rungs:
        if rung.skipped:
            skipped.setdefault(rung.skipped, []).append(rung.name)
    if skipped:
        yield "", "skipped " + " · ".join(f"{', '.join(names)} ({why})" for why, names in skipped.items())


def _rung(rung: RungScore, verdict: Verdict) -> str:
    from modelwright.evaluation.words import figure, with_interval

    assert rung.score is not None
    if rung.name != verdict.chosen:
        return f"{rung.name} {figure(verdict.metric, rung.score.value)}"
    latency = f" {milliseconds(rung.latency_ms.p95)}" if rung.latency_ms else ""
    return f"{rung.name} {with_interval(verdict.metric, rung.score)}{latency}"


def about_run(run: Run, metric: str) -> Iterator[Line]:
    """What training reached, what it took, and how far off the forecasts were."""
    from modelwright.evaluation.words import with_interval

    ended = {"completed": "done", "stopped_early": "stopped early: no longer better", "budget": "the budget is spent"}
    parts = [f"{run.steps:,} steps, best after {run.best_step:,}"]
    if metric in run.validation:
        parts.append(f"validation {with_interval(metric, run.validation[metric])}")
    off = run.forecast_error.get("seconds")
    forecast = f" (forecast off by {percent(off)})" if off is not None else ""
    parts.append(f"{ended[run.status]} in {duration(run.seconds)}{forecast}")
    yield "Train", " · ".join(parts)
    yield from (("", said) for said in filter(None, [_beside_forecast(run)]))
    yield from (("", said) for said in trials_made(run))
    yield from (("", f"not exact: {reason}") for reason in run.not_exact)
    yield from (("", f"! {remark.sentence}") for remark in run.remarks)


def _beside_forecast(run: Run) -> str:
    """What it took besides time, as far as it was foreseen."""
    took = {
        "peak_memory_bytes": f"{size(run.peak_memory_bytes)} of memory",
        "disk_bytes": f"{size(run.disk_bytes)} of disk",
        "cost": f"${run.cost:.2f}",
    }
    off = run.forecast_error
    return " · ".join(f"{said} (forecast off by {percent(off[name])})" for name, said in took.items() if name in off)


def about_report(report: Report) -> Iterator[Line]:
    """The metric with its interval, whether the gain is real, the fit, and what was missed."""
    from modelwright.evaluation.words import figure, with_interval

    parts = [f"{report.predictor} on {report.count:,} {report.split} examples"]
    if report.metric in report.metrics:
        parts.append(f"{report.metric} {with_interval(report.metric, report.metrics[report.metric])}")
    if report.looks_used is not None:
        parts.append(f"look {report.looks_used}")
    if report.masked:
        parts.append(report.masked)
    compared = report.compared
    if compared is not None:
        amount, low, high = (
            figure(report.metric, each) for each in (abs(compared.difference), compared.low, compared.high)
        )
        verb = "beats" if compared.difference >= 0 else "is behind"
        real = "real" if compared.real else "could be luck"
        parts.append(f"{verb} {compared.to} by {amount} [{low}, {high}]: {real}")
    if report.diagnosis is not None:
        parts.append(report.diagnosis.verdict)
    yield "Report", " · ".join(parts)
    kept = {name: met for name, met in report.meets.items() if met is not None}
    if kept:
        said = " · ".join(f"{name} {'met' if met else 'NOT met'}" for name, met in kept.items())
        yield "", said
    if report.html:
        yield "", place(report.html)
