"""The sentences of the page."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from modelwright.evaluation.compare import detectable
from modelwright.evaluation.latency import price
from modelwright.evaluation.metrics import METRICS
from modelwright.evaluation.report.story import Story
from modelwright.evaluation.report.worst import LEAST_BYTES
from modelwright.evaluation.words import count, figure, number, with_interval
from modelwright.problem import Problem
from modelwright.records import Comparison, Dataset, Report, Schema

Tone = Literal["good", "bad", "plain"]

PACKAGES = ("modelwright", "numpy", "polars", "scikit-learn", "lightgbm", "torch", "transformers")
"""Whose versions can change a figure."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """What is said, and whether it is good news."""

    text: str
    tone: Tone


def verdict(report: Report, goal: float | None) -> Sentence:
    """The report in one sentence."""
    if report.masked:
        return Sentence(f"No figures are shown: {report.masked}.", "plain")
    found = report.metrics.get(report.metric)
    if found is None:
        return Sentence(f"{report.metric} is not defined on these examples.", "bad")
    shown = f"{report.metric} is {with_interval(report.metric, found)}"
    if goal is None:
        return Sentence(f"{shown}. No goal was set.", "plain")
    sign = 1 if METRICS[report.metric].higher_is_better else -1
    aim = figure(report.metric, goal)
    if sign * (found.value - goal) < 0:
        short = figure(report.metric, abs(found.value - goal))
        return Sentence(f"{shown}: {short} short of the goal of {aim}.", "bad")
    worst = found.low if sign > 0 else found.high
    if worst is not None and sign * (worst - goal) < 0:
        text = f"{shown}: it reaches the goal of {aim}, though its interval ends short of it."
        return Sentence(text, "good")
    return Sentence(f"{shown}: it meets the goal of {aim}, as does its whole interval.", "good")


def gain(report: Report) -> Sentence | None:
    """Is it better than the baseline, and is that real?"""
    found = report.compared
    if found is None:
        return None
    metric = report.metric
    limits = f"[{figure(metric, found.low)}, {figure(metric, found.high)}]"
    if not found.real:
        least = f"These {count(report.count, 'example')} would have shown a gain of {figure(metric, detectable(found))}"
        return Sentence(
            f"The difference to {found.to} is {figure(metric, found.difference)} {limits} (p {_p(found)}): "
            f"it can be luck. {least} four times in five; a smaller one may go unseen.",
            "plain",
        )
    size = f"{figure(metric, abs(found.difference))}"
    if found.difference > 0:
        return Sentence(f"Better than {found.to} by {size} {limits} (p {_p(found)}): the gain is real.", "good")
    return Sentence(f"Worse than {found.to} by {size} {limits} (p {_p(found)}): the loss is real.", "bad")


def of_errors(schema: Schema) -> str:
    """In which order the worst errors stand."""
    return {
        "regression": "The answers that are furthest off.",
        "multilabel": "The answers with most labels missed or too many. Some may be wrong labels.",
        "tagging": "The texts with most spans missed or made up. Some may be wrong labels.",
        "generation": "The answers that have least in common with the right ones.",
        "language-modeling": f"The texts that take most bits per byte, of those with {LEAST_BYTES} bytes or more.",
    }.get(schema.task, "Wrong answers, the surest first. Some may be wrong labels.")


def _p(comparison: Comparison) -> str:
    return "< 0.001" if comparison.p < 0.001 else f"= {comparison.p:.3f}"


def limits_kept(report: Report, problem: Problem | None) -> list[tuple[str, bool]]:
    """Each limit that the problem sets, with whether it is kept."""
    if problem is None:
        return []
    constraints = problem.constraints
    set_limits = {
        "latency_ms": f"95% of answers within {number(constraints.latency_ms)} ms",
        "error_rate": f"at most {number(100 * (constraints.error_rate or 0))}% of answers wrong",
        "cost_per_1000": f"1,000 answers for at most ${number(constraints.cost_per_1000)}",
    }
    kept = ((text, report.meets.get(name)) for name, text in set_limits.items())
    return [(text, met) for text, met in kept if met is not None]


def limits(report: Report, dataset: Dataset, trials: int = 0) -> list[str]:
    """What the figures do not say; `trials` is how many trainings the model is the best of."""
    said = [
        "An interval covers which examples happened to be judged, 95 times in 100. It does not cover another "
        "training run, a mistake in the labels, or examples from elsewhere or from later.",
        f"The parts were divided so: {dataset.split}. The figures hold for examples that come the same way.",
    ]
    if report.split == "validation":
        said.append(
            "Choices were made on the validation part, so its figures lean to the bright side; the sealed test "
            "part has not been asked for this page."
        )
        if trials > 1:
            said[-1] += f" The trained network is the best of {trials} on these same examples, which flatters it."
    elif report.looks_used is not None:
        allowed = dataset.seal.looks_allowed
        said.append(
            f"This was look {report.looks_used} of {allowed} at the sealed test part. After the first, figures "
            "are released only where they beat the best so far by more than chance; no test example is shown."
        )
    if report.latency_ms:
        said.append("Times are of one answer at a time on the machine that made this page; others differ.")
    if report.cost_per_1000 is not None:
        rented = price()
        said.append(
            f"The cost takes the median time and {rented['computer']} at ${rented['price_per_hour']} an hour "
            f"(as of {rented['as_of']}), always busy and as fast as this machine."
        )
    return said


def made(report: Report, dataset: Dataset, story: Story, seed: int) -> list[tuple[str, str]]:
    """What one needs to make it again."""
    lines = [("report", report.id), ("predictor", report.predictor)]
    if story.run:
        lines += [("run", story.run.id), ("weights (SHA-256)", story.run.weights_sha256)]
    if story.plan:
        trials = story.run.trials if story.run else ()
        method = next((str(each.settings["method"]) for each in trials if each.chosen), story.plan.method)
        lines += [("plan", story.plan.id), ("model", f"{story.plan.model}, {method}")]
    lines += [
        ("dataset", dataset.id),
        ("source", dataset.source),
        ("source (SHA-256)", dataset.source_sha256),
        ("split", dataset.split),
        ("seed of the intervals", str(seed)),
        ("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
    ]
    return lines + [(name, _version(name)) for name in PACKAGES]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
