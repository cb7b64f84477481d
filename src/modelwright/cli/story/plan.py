"""What is told of the plan: what it will take, here and elsewhere, and what was seen before it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from modelwright.cli.story.line import SHOWN, Line
from modelwright.cli.trials import trials_planned
from modelwright.cli.words import duration, percent, size
from modelwright.records import Interval
from modelwright.training.crowd import CROWDED

if TYPE_CHECKING:
    from modelwright.records import Estimate, LearningCurve, Plan

_METHODS = {
    "classical": "tuned",
    "scratch": "from scratch",
    "full": "full fine-tuning",
    "lora": "LoRA",
    "qlora": "QLoRA",
}
_TOLD = ("learning_rate", "batch_size", "precision", "budget_seconds")
"""Settings that the story shows with their origins, and `compile` where it is on; `plan` shows all."""


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
    if estimate.crowd > CROWDED:
        share = percent(estimate.crowd)
        yield "", f"other programs took {share} of the processor while this was measured: alone it may be quicker"
    if every or estimate.tier != "laptop":  # what is done here overnight need not be rented for
        yield from _elsewhere(estimate)
    if plan.curve is not None:
        yield "", _more_data(plan.curve)
    elif plan.no_curve:
        yield "", f"what more data would bring is not known: {plan.no_curve}"
    yield from _seen(plan, every=every)
    told = [name for name in _TOLD if name in plan.settings]
    told += ["compile"] if "compile" in plan.settings and plan.settings["compile"].value else []
    shown = plan.settings if every else {name: plan.settings[name] for name in told}
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
