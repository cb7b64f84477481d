"""One line for each record, each figure with its interval: the story of a run in a screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelwright.cli.trials import trials_made, trials_planned
from modelwright.cli.words import duration, milliseconds, percent, place, size
from modelwright.records import Interval

if TYPE_CHECKING:
    from modelwright.deployment.server.serve import Serving
    from modelwright.problem import Problem
    from modelwright.records import Dataset, Estimate, LearningCurve, Package, Plan, Report, Run, RungScore, Verdict
    from modelwright.workflow import Check, Started, Status

Line = tuple[str, str]
"""A label, empty where the line goes on, and what is said."""

FINDINGS_SHOWN = 4
SHOWN = 12

_DROPPED = {
    "unreadable": "unreadable",
    "missing_output": "without an output",
    "exact_duplicate": "exact duplicates",
    "near_duplicate": "near duplicates",
    "conflicting_label": "with two labels",
}
_METHODS = {
    "classical": "tuned",
    "scratch": "from scratch",
    "full": "full fine-tuning",
    "lora": "LoRA",
    "qlora": "QLoRA",
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
_TOLD = ("learning_rate", "batch_size", "precision", "budget_seconds")
"""Settings that the story shows with their origins; `plan` shows all."""


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


def about_plan(plan: Plan, *, every: bool = False) -> Iterator[Line]:
    """The model and what it will take; then settings, each with where it comes from."""
    parts = [plan.model, _METHODS.get(plan.method, plan.method)]
    epochs = plan.settings.get("epochs")
    if epochs is not None:
        parts.append(f"{epochs.value:g} epochs")
    estimate = plan.estimate
    memory = size(estimate.peak_memory_bytes.value)
    takes = f"about {_range(estimate.seconds)}, {memory}, ${estimate.cost.value:.2f} here"
    yield "Plan", ", ".join(parts) + " · " + takes
    if plan.search is not None:
        yield "", trials_planned(plan.search)
    past = estimate.past.get("seconds")
    if past is not None:
        runs = "1 run" if past.runs == 1 else f"median of {past.runs} runs"
        yield "", f"forecasts of time here were off by {percent(past.error)} ({runs}), and this one is corrected for it"
    if every or estimate.tier != "laptop":  # what is done here overnight need not be rented for
        yield from _elsewhere(estimate)
    if plan.curve is not None:
        yield "", _more_data(plan.curve)
    elif plan.no_curve:
        yield "", f"what more data would bring is not known: {plan.no_curve}"
    yield from _seen(plan, every=every)
    shown = plan.settings if every else {name: plan.settings[name] for name in _TOLD if name in plan.settings}
    settings = [f"{name} {_value(each.value)}, from: {each.origin}" for name, each in shown.items()]
    if every:
        yield from (("", setting) for setting in settings)
        for candidate in plan.candidates:
            fits = "fits" if candidate.fits else "does not fit"
            yield "", f"{candidate.model}, {candidate.method}: {fits}, {candidate.reason}"
    elif settings:
        yield "", " · ".join(settings)


def _elsewhere(estimate: Estimate) -> Iterator[Line]:
    """What the job calls for, and what it would take on the cheapest and the fastest rented machine."""
    if estimate.tier:
        yield "", f"calls for: {estimate.tier} ({estimate.tier_reason}) · {size(estimate.disk_bytes)} of disk"
    if not estimate.rented:
        return
    cheapest, fastest = estimate.rented[0], min(estimate.rented, key=lambda each: each.hours.value)
    chosen = {"cheapest": cheapest, "fastest": fastest} if fastest != cheapest else {"cheapest and fastest": cheapest}
    for word, each in chosen.items():
        cost = f"${each.cost.value:.2f} [{each.cost.low:.2f}, {each.cost.high:.2f}]"
        seconds = Interval(*(3600 * (hours or 0.0) for hours in (each.hours.value, each.hours.low, each.hours.high)))
        rate = f"${each.dollars_per_hour:g} an hour on {each.as_of}"
        yield "", f"rented, {word}: {each.name}, {_range(seconds)}, {cost} ({each.provider}, {rate})"


def _more_data(curve: LearningCurve) -> str:
    """What twice the data would likely bring, and what the goal takes."""
    from modelwright.evaluation.words import figure, with_interval

    size, score = list(curve.scores.items())[-1]
    said = f"{curve.model} reaches {curve.metric} {figure(curve.metric, score)} on {int(size):,} examples"
    said += f"; twice all the data would likely bring {with_interval(curve.metric, curve.doubled)}"
    if curve.needed is not None:
        said += f"; the goal likely takes {curve.needed.value:,.0f} examples"
        said += f" [{curve.needed.low:,.0f}, {curve.needed.high:,.0f}] with such a model"
    elif curve.reachable is False:
        said += "; more data alone will not bring such a model to the goal"
    return said


def _seen(plan: Plan, *, every: bool) -> Iterator[Line]:
    """What was seen before the run."""
    seen = plan.preflight
    if seen is None:
        return
    if seen.examples_cut:
        yield "", f"! {seen.examples_cut:,} texts are cut: half of these lose {seen.tokens_cut:,} tokens or more"
    yield from (("", f"! {note}") for note in seen.notes)
    if not every:
        return
    for each in seen.shown:
        answer = f" → {each.label}" if each.label else ""
        yield "", f"the network sees ({each.tokens} tokens; «» carries the loss): {each.text}{answer}"
    if seen.labels:
        counts = [f"{name} {count:,}" for name, count in list(seen.labels.items())[:SHOWN]]
        yield "", "labels: " + ", ".join(counts) + (" …" if len(seen.labels) > SHOWN else "")
    yield (
        "",
        f"learns a few examples by heart: loss {seen.first_loss:.2f} → {seen.last_loss:.2f} above the least possible",
    )


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _range(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return duration(interval.value)
    if interval.value < 90:
        return f"{interval.value:.0f} s [{interval.low:.0f}, {interval.high:.0f}]"
    return f"{interval.value / 60:.1f} min [{interval.low / 60:.1f}, {interval.high / 60:.1f}]"


def about_run(run: Run, metric: str) -> Iterator[Line]:
    """What training reached, how long it took, and how far off the forecast was."""
    from modelwright.evaluation.words import with_interval

    ended = {"completed": "done", "stopped_early": "stopped early: no longer better", "budget": "the budget is spent"}
    parts = [f"{run.steps:,} steps, best after {run.best_step:,}"]
    if metric in run.validation:
        parts.append(f"validation {with_interval(metric, run.validation[metric])}")
    off = run.forecast_error.get("seconds")
    forecast = f" (forecast off by {percent(off)})" if off is not None else ""
    parts.append(f"{ended[run.status]} in {duration(run.seconds)}{forecast}")
    yield "Train", " · ".join(parts)
    yield from (("", said) for said in trials_made(run))
    yield from (("", f"not exact: {reason}") for reason in run.not_exact)
    yield from (("", f"! {remark.sentence}") for remark in run.remarks)


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


def about_package(package: Package) -> Iterator[Line]:
    """Where it is, whether its golden cases pass, and how fast it answers."""
    golden = package.golden
    passed = f"{golden.passed}" if golden.passed == golden.count else f"{golden.passed} of {golden.count}"
    parts = [place(package.path), f"{passed} golden cases pass"]
    if package.latency_ms is not None:
        parts.append(milliseconds(package.latency_ms.p95))
    yield "Package", " · ".join(parts)


def about_next(package: Package) -> Iterator[Line]:
    """What to do now."""
    yield "Next", f"modelwright serve {place(package.path)}"


def about_started(started: Started) -> Iterator[Line]:
    """What was inferred, why, and what to do now."""
    from modelwright.evaluation.words import count

    kind = count(len(started.inputs), "column") if started.kind == "table" else started.kind
    what = "class" if started.task == "classification" else "label"
    classes = (
        f", {count(len(started.classes), what, f'{what}es' if what == 'class' else None)}" if started.classes else ""
    )
    what = f"{started.output} from {kind}" if started.output else kind
    yield "Problem", f"{started.task}{classes}: {what} · {started.examples:,} examples"
    yield "Input", ", ".join(started.inputs[:SHOWN]) + (" …" if len(started.inputs) > SHOWN else "")
    if started.classes:
        shown = [f"{name} {count:,}" for name, count in list(started.classes.items())[:SHOWN]]
        yield "Output", ", ".join(shown) + (" …" if len(started.classes) > SHOWN else "")
    for number, note in enumerate(started.notes):
        yield "" if number else "Why", note
    for name, why in list(started.excluded.items())[:SHOWN]:
        yield "", f"{name} is not used: it {why}"
    yield "Written", place(started.path)
    folder = place(Path(started.path).parent)
    yield "Next", f"say in it what a correct answer is, then: modelwright run {folder}"


def about_check(found: Check, folder: Path) -> Iterator[Line]:
    """The notes, the questions, and what to do now; faults are said elsewhere."""
    for note in found.notes:
        yield "Note", note
    for question in found.questions:
        yield "Question", f"{question.where}: {question.question}"
    if found.faults:
        yield "Next", f"mend what is at fault, then: modelwright check {place(folder)}"
    else:
        said = "no fault" if found.questions else "no fault and no question"
        yield "Next", f"{said}: modelwright run {place(folder)}"


def about_status(status: Status) -> Iterator[Line]:
    """Each step with its state, the looks at the test part, and the next command."""
    yield "Project", f"{status.name} in {place(status.folder)}"
    for step in status.steps:
        made = f" · {step.id} · {step.made_at[:19]}" if step.id and step.made_at else ""
        yield "", f"{step.step:<9} {step.state}{made}"
    if status.looks_used is not None:
        yield "Seal", f"{status.looks_used} of {status.looks_allowed} looks used"
    yield "Next", status.next


def about_serving(serving: Serving) -> Iterator[Line]:
    """Where it listens, and how to ask it."""
    yield "Serving", f"{serving.url} · docs at {serving.url}/docs · stop with Ctrl-C"
    if serving.token is not None:
        yield "Token", serving.token
