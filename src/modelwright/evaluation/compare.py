"""Is one predictor better than another on the same examples, or is it luck?"""

from __future__ import annotations

import math

import numpy as np

from modelwright.evaluation import metrics
from modelwright.evaluation.intervals import Z
from modelwright.evaluation.metrics import Metric
from modelwright.evaluation.ranks import area_influence
from modelwright.evaluation.resample import resampled_SR
from modelwright.models.predictors import Predictions
from modelwright.records import Comparison, Schema

LEVEL = 0.05
"""Below this p a difference counts as real: the convention that readers know."""

RESAMPLES = 2000
"""A p of .05 is then known to about .01: sqrt(.05 * .95 / 2000) = .005, twice."""

POWER_Z = 0.8416212335729143
"""80% quantile of the standard normal: a real difference of the size named is found 4 times in 5."""


def compare(
    metric: str,
    schema: Schema,
    truth_N: np.ndarray,
    ours: Predictions,
    theirs: Predictions,
    *,
    to: str,
    seed: int = 0,
) -> Comparison:
    """Ours minus theirs on the same examples, turned so that more is better, with 95% interval and p.

    p is of the exact McNemar test for accuracy, of DeLong's test for the area under the ROC curve, and
    of the paired bootstrap otherwise. `real` asks for both: p under .05 and an interval without 0.

    Raises:
        UnknownNameError: there is no such metric.
    """
    found = metrics.find(metric)
    difference, difference_R, error = _paired(found, schema, truth_N, ours, theirs, seed=seed)
    if not math.isfinite(difference) or (difference_R is not None and len(difference_R) == 0):
        return Comparison(to, difference, difference, difference, 1.0, False)
    if difference_R is None:
        low, high = difference - Z * error, difference + Z * error
        p = _normal_p(difference, error)
    else:
        low, high = (float(end) for end in np.quantile(difference_R, [0.025, 0.975]))
        low, high = min(low, difference), max(high, difference)
        p = _bootstrap_p(difference_R)
    if metric == "accuracy":
        p = mcnemar(truth_N, ours.indices_N, theirs.indices_N)
    return Comparison(to, difference, low, high, p, bool(p < LEVEL and (low > 0 or high < 0)))


def paired_standard_error(
    metric: str,
    schema: Schema,
    truth_N: np.ndarray,
    ours: Predictions,
    theirs: Predictions,
    *,
    seed: int = 0,
) -> tuple[float, float]:
    """The difference (ours minus theirs, more is better) and its standard error on the same examples.

    Raises:
        UnknownNameError: there is no such metric.
    """
    difference, _, error = _paired(metrics.find(metric), schema, truth_N, ours, theirs, seed=seed)
    return difference, error


def detectable(comparison: Comparison) -> float:
    """The smallest true difference that these examples would have shown 4 times in 5.

    (z_.975 + z_.80) standard errors: Cohen 1988, "Statistical power analysis", section 2.4.
    """
    return (Z + POWER_Z) * (comparison.high - comparison.low) / (2 * Z)


def mcnemar(truth_N: np.ndarray, ours_N: np.ndarray, theirs_N: np.ndarray) -> float:
    """Two-sided p of the exact McNemar test: are we right as often as they are where only one is?

    McNemar 1947, "Note on the sampling error of the difference between correlated proportions".
    """
    from scipy.stats import binomtest

    ours_right_N, theirs_right_N = ours_N == truth_N, theirs_N == truth_N
    only_ours = int((ours_right_N & ~theirs_right_N).sum())
    only_theirs = int((~ours_right_N & theirs_right_N).sum())
    if only_ours + only_theirs == 0:
        return 1.0
    return float(binomtest(only_ours, only_ours + only_theirs, 0.5).pvalue)


def _paired(
    metric: Metric, schema: Schema, truth_N: np.ndarray, ours: Predictions, theirs: Predictions, *, seed: int
) -> tuple[float, np.ndarray | None, float]:
    """The difference, its bootstrap (None where a formula serves), and its standard error."""
    sign = 1.0 if metric.higher_is_better else -1.0
    our_score = metrics.score(metric.name, schema, truth_N, ours)
    difference = sign * (our_score - metrics.score(metric.name, schema, truth_N, theirs))
    if metric.name == "roc_auc":
        positive = metrics.positive_index(schema)
        assert ours.probabilities_NC is not None and theirs.probabilities_NC is not None
        influence_N = area_influence(truth_N, ours.probabilities_NC, positive)[1]
        influence_N = influence_N - area_influence(truth_N, theirs.probabilities_NC, positive)[1]
        error = float(influence_N.std(ddof=1)) / math.sqrt(len(truth_N)) if len(truth_N) > 1 else math.nan
        return difference, None, error
    if len(truth_N) == 0:
        return difference, np.empty(0), math.nan
    sheets = resampled_SR(metric, schema, truth_N, [ours, theirs], seed=seed, resamples=RESAMPLES)
    difference_R = sign * (sheets[0] - sheets[1])
    difference_R = difference_R[np.isfinite(difference_R)]
    error = float(difference_R.std(ddof=1)) if len(difference_R) > 1 else math.nan
    return difference, difference_R, error


def _normal_p(difference: float, error: float) -> float:
    if error < 1e-12:
        return 1.0 if abs(difference) < 1e-12 else 0.0
    return math.erfc(abs(difference) / error / math.sqrt(2))


def _bootstrap_p(difference_R: np.ndarray) -> float:
    """Twice the share of resamples on the far side of 0, never below what R resamples can show.

    Davison & Hinkley 1997, "Bootstrap methods and their application", eq. 4.11.
    """
    far = min(np.sum(difference_R <= 0), np.sum(difference_R >= 0))
    return float(min(1.0, 2 * (far + 1) / (len(difference_R) + 1)))
