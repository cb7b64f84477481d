"""Over- or underfitting in plain words, the figures it rests on, and one next thing to try.

The order of the questions is the method: can we tell at all; are the labels the limit; does it remember
rather than learn; has it learned too little; otherwise it fits. Thresholds are chosen, not measured, and
each stands next to its reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from modelwright.evaluation.intervals import Z
from modelwright.evaluation.words import count as counted
from modelwright.evaluation.words import figure, with_interval
from modelwright.records import Diagnosis, Interval

WIDE = 0.30
"""An interval wider than this, on a scale of 1, cannot tell a good predictor from a poor one."""

GAP = 0.10
"""A lead of the training figure, on a scale of 1, that a reader would call large."""

RATIO = 1.5
"""The same for errors without a scale: validation error over training error."""

RISE = 0.05
"""A validation loss this much above its lowest point has turned, and is not only noisy."""

STILL_FALLING = 0.02
"""A training loss that fell by this share in its last epoch has not settled."""

NOTHING_LEFT = 0.005
"""Of a figure that is this near to perfect nobody asks for more."""

FEW = 1000
"""Below this many training examples, more of them is the first thing to try."""


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """Where training stood at one validation; null where it was not measured."""

    epoch: float
    step: int
    train_loss: float | None
    validation_loss: float | None
    train_score: float | None = None
    validation_score: float | None = None


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the questions are asked of; `sign` turns every figure so that more is better."""

    metric: str
    sign: float
    history: Sequence[HistoryPoint]
    train: Interval
    validation: Interval
    baseline: float | None
    goal: float | None
    ceiling: float | None
    count: int
    more: str

    @property
    def figures(self) -> str:
        train, validation = figure(self.metric, self.train.value), with_interval(self.metric, self.validation)
        return f"{self.metric} is {train} on training examples and {validation} on validation examples"


def diagnose(
    metric: str,
    higher_is_better: bool,
    history: Sequence[HistoryPoint],
    *,
    train: Interval,
    validation: Interval,
    baseline: float | None,
    goal: float | None,
    count: int,
    label_ceiling: float | None = None,
    more: str = "label more examples",
) -> Diagnosis:
    """How the predictor relates to its data: the verdict, its evidence, and one next thing to try.

    Args:
        metric: The figure that is spoken of.
        higher_is_better: Its direction.
        history: Losses by epoch, oldest first; empty for predictors that have no epochs.
        train: The figure on examples that were learned from.
        validation: The figure on examples that were not.
        baseline: The figure of the predictor to beat on the same validation examples.
        goal: The figure to reach.
        count: Training examples.
        label_ceiling: The best figure that the labels support, where the data step could tell.
        more: What getting more data means here.
    """
    facts = _Facts(
        metric,
        1.0 if higher_is_better else -1.0,
        history,
        train,
        validation,
        baseline,
        goal,
        label_ceiling,
        count,
        more,
    )
    for question in (_cannot_tell, _labels, _remembers, _learned_too_little):
        found = question(facts)
        if found:
            return found
    return _fits(facts)


def _cannot_tell(facts: _Facts) -> Diagnosis | None:
    low, high = facts.validation.low, facts.validation.high
    if not math.isfinite(facts.validation.value) or not math.isfinite(facts.train.value):
        evidence = f"{facts.metric} is not defined on the training or the validation examples"
        return Diagnosis("not enough data", evidence, "collect examples of every class, then prepare again")
    if facts.sign > 0 and low is not None and high is not None and high - low > WIDE:
        evidence = f"{facts.figures}: an interval of {high - low:.2f} cannot tell good from poor"
        return Diagnosis("not enough data", evidence, f"{facts.more}, for validation first of all")
    return None


def _labels(facts: _Facts) -> Diagnosis | None:
    if facts.ceiling is None or facts.sign < 0 or facts.goal is None:
        return None
    reached = facts.validation.high if facts.validation.high is not None else facts.validation.value
    if facts.goal > facts.ceiling and reached >= facts.ceiling:
        ceiling, goal = figure(facts.metric, facts.ceiling), figure(facts.metric, facts.goal)
        evidence = f"{facts.figures}; the labels support about {ceiling} only, and the goal is {goal}"
        return Diagnosis("labels may be wrong", evidence, "have the suspected label errors checked by people")
    return None


def _remembers(facts: _Facts) -> Diagnosis | None:
    """Much better on what it has seen, by more than chance."""
    turned = _turned(facts.history)
    if not _large_gap(facts):
        return None
    if facts.count < FEW:
        evidence = f"{facts.figures}; there are only {counted(facts.count, 'training example')}"
        return Diagnosis("not enough data", evidence, f"{facts.more}, of the rarest kinds first")
    if turned is not None:
        evidence = f"{facts.figures}; the validation loss turned up after epoch {turned:g}"
        return Diagnosis("overfits", evidence, f"train for {turned:g} epochs, or with a smaller model")
    todo = "a simpler model, stronger regularisation, or more examples"
    return Diagnosis("overfits", f"{facts.figures}: part of it is remembered", f"try {todo}")


def _large_gap(facts: _Facts) -> bool:
    gap = facts.sign * (facts.train.value - facts.validation.value)
    if gap <= Z * math.hypot(_error(facts.train), _error(facts.validation)):
        return False
    if facts.sign > 0:
        return gap > GAP
    return facts.validation.value > RATIO * facts.train.value


def _error(interval: Interval) -> float:
    """The standard error that the interval stands for; 0 where it has none."""
    if interval.low is None or interval.high is None:
        return 0.0
    return (interval.high - interval.low) / (2 * Z)


def _turned(history: Sequence[HistoryPoint]) -> float | None:
    """The epoch of the lowest validation loss, where the loss is clearly higher at the end."""
    points = [(each.validation_loss, each.epoch) for each in history if each.validation_loss is not None]
    if len(points) < 2:
        return None
    lowest, epoch = min(points)
    return epoch if points[-1][0] > lowest * (1 + RISE) + 1e-12 and epoch > 0 else None


def _learned_too_little(facts: _Facts) -> Diagnosis | None:
    value, metric = facts.validation.value, facts.metric
    perfect = 1.0 if facts.sign > 0 else 0.0
    if _still_falling(facts.history) and abs(value - perfect) > NOTHING_LEFT:
        evidence = f"{facts.figures}; the training loss was still falling when training ended"
        if facts.goal is None or facts.sign * (value - facts.goal) < 0:
            return Diagnosis("underfits", evidence, "train for more epochs, or with a higher learning rate")
    if facts.baseline is not None and facts.sign * (value - facts.baseline) < 0:
        evidence = f"{facts.figures}, behind the baseline's {figure(metric, facts.baseline)}"
        return Diagnosis("underfits", evidence, "train longer or choose a larger model, or keep the baseline")
    if facts.goal is not None and facts.sign * (facts.train.value - facts.goal) < 0:
        evidence = f"{facts.figures}: even what it has seen stays short of {figure(metric, facts.goal)}"
        return Diagnosis("underfits", evidence, "give it better inputs, or choose a larger model")
    return None


def _still_falling(history: Sequence[HistoryPoint]) -> bool:
    losses = [each.train_loss for each in history if each.train_loss is not None]
    seen = [each.validation_loss for each in history if each.validation_loss is not None]
    if len(losses) < 2 or losses[-2] <= 0:
        return False
    lowest_at_end = not seen or seen[-1] <= min(seen)
    return losses[-2] - losses[-1] > STILL_FALLING * losses[-2] and lowest_at_end


def _fits(facts: _Facts) -> Diagnosis:
    evidence = f"{facts.figures}: neither over nor under"
    turned = _turned(facts.history)
    if turned is not None:
        evidence += f"; the validation loss was lowest at epoch {turned:g}, and later epochs did not help"
    short = facts.goal is not None and facts.sign * (facts.validation.value - facts.goal) < 0
    if short:
        return Diagnosis("fits well", evidence, "look at the worst errors: the inputs may lack what decides")
    return Diagnosis("fits well", evidence, "package it, once the sealed test part agrees")
