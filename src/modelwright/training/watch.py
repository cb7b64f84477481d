"""What the losses of a run say about it while it trains: pure functions over steps and validations.

Each finding is one plain sentence with its figures and what to do. A run that went on is watched over its whole log
again, so it is told the same as one that was not interrupted. Thresholds were set on the recorded curves of the tests.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.records import Remark

WINDOW = 64
"""Steps whose losses are compared with; fewer say little of how far losses scatter."""
SPIKE_STEPS = 4
"""So many losses in a row above all of the WINDOW before: by chance alone once in 800,000 steps (1 / C(68, 4))."""
SPIKE_DEVIATIONS = 6.0
"""A spike also stands so many deviations (1.4826 x the median distance) above the median before."""
SPIKE_RATIO = 1.5
"""And it is at least so many times the median before: near nought, deviations are as small as the losses."""
BEGINNING = 8
"""Steps whose median is where the loss began, where nothing was validated before the first."""
OFTEN = 8
"""Whether the loss is lost is asked every so many steps: the answer can wait, and medians take time."""
GROWN = 1.5
"""A loss so many times where it began, and what knowing nothing gives, is lost."""
KNEW, KNOWS = 0.7, 0.95
"""A loss that began below KNEW of what knowing nothing gives and now is above KNOWS of it has lost what it knew."""
LOST_SHARE = 0.1
"""Of all steps, at least WINDOW of them: a loss that stays lost for so long does not come back. Chosen."""
EARLY = 0.3
"""Of all steps: what has not moved by then is told."""
MOVED = 0.03
"""A loss that fell by less than this, and by less than scatter explains, has not moved."""
ROOM = 0.5
"""Of what knowing nothing gives: below it a loss that does not move may be as low as it goes."""
RISE = 0.05
"""A validation loss that far above its lowest has turned (as evaluation.diagnose has it)."""
STILL_FALLING = 0.2
"""A training loss that fell by this share between the last two validations, at a rate that had gone to nought."""


class Watch:
    """Sees every step and validation of a run, and says what stands out.

    Args:
        steps: Of the whole run.
        learning_rate: Its peak, for the advice.
        chance: The loss of knowing nothing of the input; None where it is not known.
        metric: What validations are scored by; None where they are not.
    """

    def __init__(self, *, steps: int, learning_rate: float, chance: float | None, metric: str | None = None) -> None:
        self._steps, self._rate, self._chance, self._metric = steps, learning_rate, chance, metric
        self._began: float | None = None  # the loss on training examples before the first step
        self._beginning: list[float] = []
        self._calm: deque[float] = deque(maxlen=WINDOW)
        self._last: deque[float] = deque(maxlen=WINDOW)
        self._above = 0  # losses in a row above the calm ones
        self._lost_since: int | None = None
        self._sound = False  # validation, last asked, says that something is known still
        self._told: set[str] = set()
        self.remarks: list[Remark] = []

    def step(self, number: int, loss: float) -> list[Remark]:
        """What the loss of a step shows; of kind `lost` where going on is of no use."""
        if len(self._beginning) < WINDOW:
            self._beginning.append(loss)
        self._last.append(loss)
        found = [self._spike(number, loss), self._lost(number), self._slow(number)]
        return self._keep(found)

    def validation(self, history: Sequence[HistoryPoint], *, best_step: int) -> list[Remark]:
        """What the validations so far show; the last of them was just made."""
        if history[0].step == 0:
            self._began = history[0].train_loss
        first, last = history[0].validation_loss, history[-1].validation_loss
        if first is not None and last is not None:
            self._sound = len(history) > 1 and not is_lost(first, last, chance=self._chance)
        said = None if "overfitting" in self._told else overfitting(history, best_step=best_step)
        return self._keep([said, self._unscored(history[-1])])

    def end(self, history: Sequence[HistoryPoint]) -> list[Remark]:
        """What the whole run shows, where it took all its steps."""
        return self._keep([underfitting(history, chance=self._chance)])

    def _keep(self, found: Sequence[Remark | None]) -> list[Remark]:
        new = [remark for remark in found if remark is not None]
        self._told |= {remark.kind for remark in new}
        self.remarks += new
        return new

    def _unscored(self, last: HistoryPoint) -> Remark | None:
        if self._metric is None or last.validation_score is not None or "unscored" in self._told:
            return None
        return Remark(
            "unscored",
            last.step,
            f"after step {last.step:,} the validation examples give no {self._metric} (are all of one class?); without"
            " it the lower loss decides which checkpoint is the best. A larger validation part (data.split.validation)"
            " or another metric would help",
        )

    def _spike(self, number: int, loss: float) -> Remark | None:
        if len(self._calm) < WINDOW or not is_far_above(loss, self._calm):
            self._above = 0
            self._calm.append(loss)
            return None
        self._above += 1
        if self._above > WINDOW:  # not a spike but another level: it is what the next losses are compared with
            self._calm.extend(self._last)
            self._above = 0
        if self._above != SPIKE_STEPS:
            return None
        before, now = float(np.median(self._calm)), float(np.median(list(self._last)[-SPIKE_STEPS:]))
        return Remark(
            "spike",
            number,
            f"the loss jumped from about {before:.3g} to {now:.3g} at step {number - SPIKE_STEPS + 1:,} and stayed"
            f" there for {SPIKE_STEPS} steps; if it does not come back, or jumps again, set"
            f" training.learning_rate below {self._rate / 3:.2g}",
        )

    def _lost(self, number: int) -> Remark | None:
        if number % OFTEN or number < WINDOW + BEGINNING or "lost" in self._told:
            return None
        began = float(np.median(self._beginning[:BEGINNING])) if self._began is None else self._began
        now = float(np.median(self._last))
        if self._sound or not is_lost(began, now, chance=self._chance):  # dropout may hide what is known
            self._lost_since = None
            return None
        self._lost_since = self._lost_since or number
        if number - self._lost_since < max(WINDOW, LOST_SHARE * self._steps):
            return None
        nothing = f", and knowing nothing of the input gives {self._chance:.3g}" if self._chance is not None else ""
        return Remark(
            "lost",
            number,
            f"training diverged: the loss began at {began:.3g} and has been about {now:.3g} since step"
            f" {self._lost_since:,}{nothing}; set training.learning_rate below {self._rate / 3:.2g}",
        )

    def _slow(self, number: int) -> Remark | None:
        if number != max(2 * WINDOW, math.ceil(EARLY * self._steps)):
            return None
        first, last = np.array(self._beginning), np.array(self._last)
        if not has_not_moved(first, last) or (self._chance is not None and last.mean() < ROOM * self._chance):
            return None
        return Remark(
            "slow",
            number,
            f"the loss has hardly moved in {number:,} steps: {first.mean():.3g} at first, {last.mean():.3g} now; the"
            f" learning rate may be too low: try training.learning_rate {10 * self._rate:.2g}, or see whether the"
            " inputs say anything about the output",
        )


def is_far_above(loss: float, calm: Sequence[float] | deque[float]) -> bool:
    """Whether `loss` is above all of `calm`, and far above what they scatter."""
    if loss <= max(calm):
        return False
    median = float(np.median(calm))
    deviation = 1.4826 * float(np.median(np.abs(np.asarray(calm) - median)))
    return loss > max(median + SPIKE_DEVIATIONS * deviation, SPIKE_RATIO * median)


def is_lost(began: float, now: float, *, chance: float | None) -> bool:
    """Whether a loss that began at `began` and is `now` is worse than before anything was learnt."""
    if now > GROWN * max(began, chance if chance is not None else began):
        return True
    return chance is not None and began < KNEW * chance and now > KNOWS * chance


def has_not_moved(first: np.ndarray, last: np.ndarray) -> bool:
    """Whether the mean of `last` is that of `first`, but for scatter and a few percent."""
    fell = float(first.mean() - last.mean())
    error = math.sqrt(float(first.var()) / len(first) + float(last.var()) / len(last))
    return abs(fell) < max(2 * error, 1e-12) and abs(fell) < MOVED * abs(float(first.mean()))


def overfitting(history: Sequence[HistoryPoint], *, best_step: int) -> Remark | None:
    """Said where the validation loss has risen twice while the training loss fell, and the metric does not gain."""
    points = [each for each in history if each.validation_loss is not None and each.train_loss is not None]
    if len(points) < 3:
        return None
    losses = [float(each.validation_loss or 0.0) for each in points]
    lowest = int(np.argmin(losses))
    before, last = points[lowest], points[-1]
    risen = lowest < len(points) - 2 and losses[-1] > losses[-2] > losses[lowest] * (1 + RISE)
    fell = float(last.train_loss or 0.0) < float(before.train_loss or 0.0)
    if not (risen and fell) or best_step >= points[-2].step:
        return None
    return Remark(
        "overfitting",
        last.step,
        f"it begins to remember rather than learn: since epoch {before.epoch:.3g} the loss on validation examples rose"
        f" from {before.validation_loss:.3g} to {last.validation_loss:.3g} while that on training examples fell from"
        f" {before.train_loss:.3g} to {last.train_loss:.3g}; the checkpoint of step {best_step:,} is the best so far."
        f" Fewer epochs, more examples or a smaller model would help",
    )


def underfitting(history: Sequence[HistoryPoint], *, chance: float | None) -> Remark | None:
    """Said where a run that took all its steps ended too early, or has learnt hardly anything."""
    points = [each for each in history if each.validation_loss is not None and each.train_loss is not None]
    if len(points) < 2:
        return None
    last, before = points[-1], points[-2]
    now, then = float(last.train_loss or 0.0), float(before.train_loss or 0.0)
    if chance is not None and now > KNOWS * chance:
        said = f"the loss on training examples ended at {now:.3g}, and knowing nothing of the input gives {chance:.3g}"
        todo = "try a higher training.learning_rate, more epochs or a larger model, or see what the inputs say"
        return Remark("underfitting", last.step, f"it has learnt hardly anything: {said}; {todo}")
    lowest = all(float(last.validation_loss or 0.0) <= float(each.validation_loss or 0.0) for each in points)
    if lowest and then - now > STILL_FALLING * then and now > 1e-3:
        said = f"from {then:.3g} to {now:.3g} between the last two validations, and on validation examples too"
        return Remark("underfitting", last.step, f"the loss was still falling at the end: {said}; try more epochs")
    return None


def chance_loss(targets_N: np.ndarray, *, classes: int, smoothing: float = 0.0) -> float | None:
    """The least loss of an answer that does not look at the input.

    For classes the entropy of their shares, smoothed as the targets are; for a standardised value half of its variance.

    Args:
        targets_N: Of the training examples, as the objective takes them.
        classes: How many; 0 for a value.
        smoothing: Of the targets.
    """
    if not classes:
        return float(0.5 * np.var(targets_N))
    share_C = np.bincount(targets_N.astype(np.int64), minlength=classes) / len(targets_N)
    share_C = (1 - smoothing) * share_C + smoothing / classes
    return float(-(share_C[share_C > 0] * np.log(share_C[share_C > 0])).sum())
