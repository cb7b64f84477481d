"""Stop or train, and which rung stands if nothing better comes: the simplest within noise of the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from modelwright.evaluation.compare import paired_standard_error
from modelwright.evaluation.metrics import METRICS, find, right_share
from modelwright.models.predictors import Predictions
from modelwright.problem import Constraints
from modelwright.records import Dataset, Interval, RungScore, Schema

Ruling = tuple[Literal["stop", "train"], str, str]
"""The decision, the rung that stands, and why: what `decide` gives a verdict."""

FEW_ERRORS, FEW_SHARE = 2, 0.005
"""So near to perfect that no training could be shown to be better. Chosen: below the noise of any split."""
PERFECT_R2 = 0.995
RIGHT = ("exact_match", "number_match")
"""Metrics of written answers that are themselves the share of right ones."""
SMALL = 60
"""Training examples below which a tuned or fine-tuned model cannot be told from luck. Chosen."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A measured rung and what it answered to the examples that it was scored on."""

    rung: RungScore
    answers: Predictions

    @property
    def score(self) -> Interval:
        """The rung's figure."""
        assert self.rung.score is not None
        return self.rung.score


def decide(
    dataset: Dataset,
    truth_N: np.ndarray,
    standings: Sequence[Standing],
    metric: str,
    goal: float | None,
    constraints: Constraints,
    *,
    seed: int,
) -> Ruling:
    """Stop or train, the chosen rung, and why in one sentence.

    With a goal: stop at the simplest rung that meets it and every constraint. Without: train, unless the
    ladder stands at the ceiling or there is too little data for training to be shown to be better.

    Args:
        dataset: Where the ceiling and the number of training examples come from.
        truth_N: Class indices or values of the scored examples.
        standings: The measured rungs, one at least, cheapest first; all scored on the same examples, or some on the
            first of them only.
    """
    quick = [each for each in standings if not _too_dear(each.rung, constraints)]
    if goal is not None:
        for each in quick:
            if _reaches(each, metric, goal) and not _too_wrong(each.rung, constraints):
                return "stop", each.rung.name, _meets(each, metric, goal, constraints)
    eligible = quick or list(standings)
    best = eligible[_best(eligible, metric)]
    chosen = _simplest(eligible, best, dataset.schema, truth_N, metric, seed=seed)
    if goal is not None:
        return "train", chosen.rung.name, _short(best, metric, goal, constraints, any_quick=bool(quick))
    stop = _at_the_top(dataset, best, metric, len(best.answers))
    if stop is not None and not _too_wrong(chosen.rung, constraints):
        return "stop", chosen.rung.name, stop + _instead(chosen, best)
    return "train", chosen.rung.name, f"no goal is set, and training may beat {_shown(best, metric)}"


def _too_dear(rung: RungScore, constraints: Constraints) -> str | None:
    """Which limit on latency or cost the rung breaks."""
    limit_ms, limit = constraints.latency_ms, constraints.cost_per_1000
    if limit_ms is not None and rung.latency_ms is not None and rung.latency_ms.p95 > limit_ms:
        return f"takes {rung.latency_ms.p95:.3g} ms, over the limit of {limit_ms:g}"
    if limit is not None and rung.cost_per_1000 is not None and rung.cost_per_1000 > limit:
        return f"costs {rung.cost_per_1000:.3g} per 1,000, over the limit of {limit:g}"
    return None


def _too_wrong(rung: RungScore, constraints: Constraints) -> str | None:
    """Whether the rung errs more often than allowed; numbers cannot be plainly wrong."""
    limit, accuracy = constraints.error_rate, right_share(rung.metrics)
    if limit is not None and accuracy is not None and 1 - accuracy > limit:
        return f"errs in {1 - accuracy:.1%}, over the limit of {limit:.1%}"
    return None


def _gain(metric: str, value: float) -> float:
    return value if find(metric).higher_is_better else -value


def _reaches(standing: Standing, metric: str, goal: float) -> bool:
    return _gain(metric, standing.score.value) >= _gain(metric, goal)


def _best(standings: Sequence[Standing], metric: str) -> int:
    return int(np.argmax([_gain(metric, each.score.value) for each in standings]))


def _simplest(
    standings: Sequence[Standing], best: Standing, schema: Schema, truth_N: np.ndarray, metric: str, *, seed: int
) -> Standing:
    """The cheapest rung whose paired difference from the best is within one standard error of it.

    The one-standard-error rule: Breiman et al. 1984, "Classification and Regression Trees", 3.4.3.
    """
    for each in standings:
        if each is best:
            break
        common_N = np.arange(min(len(best.answers), len(each.answers)))
        theirs = best.answers.take(common_N), each.answers.take(common_N)
        behind, error = paired_standard_error(metric, schema, truth_N[common_N], *theirs, seed=seed)
        if math.isfinite(error) and behind <= error:
            return each
    return best


def _at_the_top(dataset: Dataset, best: Standing, metric: str, count: int) -> str | None:
    """Why no training could be shown to beat the best rung, or None."""
    value, row = best.score.value, find(metric)
    shown = _shown(best, metric)
    ceiling = dataset.label_ceiling
    if metric == "accuracy" and ceiling is not None and value >= ceiling:
        return f"{shown} stands at the ceiling of {ceiling:.3f} that the labels support"
    accuracy = value if metric in RIGHT else right_share(best.rung.metrics)
    if accuracy is not None and row.higher_is_better and row.unit == "share":
        errors = round((1 - accuracy) * count)
        if 1 - value <= FEW_SHARE or (errors <= FEW_ERRORS and value >= 0.95):
            return f"{shown} leaves {errors} errors in {count:,}: nothing could be shown to be better"
    r2 = best.rung.metrics.get("r2")
    if r2 is not None and r2 > PERFECT_R2:
        return f"{shown} leaves {1 - r2:.2%} of the variance unexplained: hardly anything is left to gain"
    room = abs(row.perfect - value)
    if room == 0 or (row.higher_is_better and row.unit == "share" and room <= FEW_SHARE):
        return f"{shown} is as good as {count:,} examples can show: nothing could be shown to be better"
    train = dataset.parts["train"]
    if train < SMALL:
        return f"with {train} training examples no training could be told from luck; {shown} stands"
    return None


def _shown(standing: Standing, metric: str) -> str:
    """`linear (accuracy 0.87 [0.85, 0.89])`."""
    return f"{standing.rung.name} ({metric} {_figure(standing.score, metric)})"


def _figure(score: Interval, metric: str) -> str:
    digits = ".3f" if metric in METRICS and METRICS[metric].unit != "output" else ".4g"
    if score.low is None or score.high is None:
        return format(score.value, digits)
    return f"{score.value:{digits}} [{score.low:{digits}}, {score.high:{digits}}]"


def _meets(standing: Standing, metric: str, goal: float, constraints: Constraints) -> str:
    """One sentence on the rung that meets the goal, and how sure that is."""
    edge = standing.score.low if find(metric).higher_is_better else standing.score.high
    sure = edge is not None and _gain(metric, edge) >= _gain(metric, goal)
    limits = [constraints.latency_ms, constraints.cost_per_1000, constraints.error_rate]
    also = " and keeps every limit" if any(limit is not None for limit in limits) else ""
    how = "surely: its whole interval does" if sure else "likely: its interval reaches to the other side"
    return f"{_shown(standing, metric)} meets the goal of {goal:g}{also}, {how}"


def _short(best: Standing, metric: str, goal: float, constraints: Constraints, *, any_quick: bool) -> str:
    """One sentence on what is missing to the goal."""
    if not any_quick:
        return f"no rung keeps the limits: {best.rung.name} {_too_dear(best.rung, constraints)}"
    if _reaches(best, metric, goal):
        return f"{_shown(best, metric)} meets the goal of {goal:g} but {_too_wrong(best.rung, constraints)}"
    missing = abs(goal - best.score.value)
    digits = ".3f" if find(metric).unit != "output" else ".4g"
    return f"the best rung, {_shown(best, metric)}, is {missing:{digits}} short of the goal of {goal:g}"


def _instead(chosen: Standing, best: Standing) -> str:
    if chosen is best:
        return ""
    return f"; {chosen.rung.name} is simpler and within noise of it"
