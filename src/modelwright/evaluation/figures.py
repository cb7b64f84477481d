"""Figures that need every single answer: of probabilities, and of predicted numbers.

Letters: R resamples, N examples, C classes, B bins. Every figure takes R rows of weights at once (how often
each example is in the resample; all 1 for the plain figure) and returns its R values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from modelwright.evaluation.counts import share

BINS = 15
"""Bins of the calibration error; the number that Guo et al. 2017 use."""

SMALLEST = float(np.finfo(np.float64).eps)
"""Probabilities are kept this far from 0 and 1 in the logarithmic loss, as scikit-learn does."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Truth, answers and R rows of weights of N examples.

    Args:
        truth_N: Class indices, numbers, or whether each class fits, (N, C).
        answers: Probabilities of shape (N, C), or numbers of shape (N,).
        weights_RN: How often each example counts in each resample.
        positive: Index of the positive class of a two-class task.
    """

    truth_N: np.ndarray
    answers: np.ndarray
    weights_RN: np.ndarray
    positive: int | None = None


def _mean(values_N: np.ndarray, answers: Answers) -> np.ndarray:
    return share(answers.weights_RN @ values_N, answers.weights_RN.sum(axis=1))


def log_loss(answers: Answers) -> np.ndarray:
    """The mean of -ln(probability given to the true class): 0 is perfect, ln C is a shrug.

    Good 1952, "Rational decisions".
    """
    given_N = answers.answers[np.arange(len(answers.truth_N)), answers.truth_N]
    return _mean(-np.log(np.clip(given_N, SMALLEST, 1.0)), answers)


def calibration_bins(probabilities_NC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The confidence of each answer and the index of its bin, at most 15 bins of equal mass.

    Equal confidences share a bin, so that the order of the examples says nothing.
    """
    confidence_N = probabilities_NC.max(axis=1)
    edges = np.unique(np.quantile(confidence_N, np.linspace(0, 1, BINS + 1)[1:-1]))
    return confidence_N, np.searchsorted(edges, confidence_N, side="right")


def calibration_error(answers: Answers) -> np.ndarray:
    """Top-label expected calibration error: how far confidence and share of right answers are apart.

    sum over bins of |sum in bin of (confidence - right)| / N, with equal-mass bins: Guo et al. 2017, "On
    calibration of modern neural networks", eq. 3; equal mass after Nguyen & O'Connor 2015, "Posterior
    calibration and exploratory analysis for natural language processing models", section 3. Finite
    samples make it larger than it is: a perfectly calibrated model shows more than 0.
    """
    confidence_N, bin_N = calibration_bins(answers.answers)
    gap_N = confidence_N - (answers.answers.argmax(axis=1) == answers.truth_N)
    order_N = np.argsort(bin_N, kind="stable")
    starts_B = np.unique(bin_N[order_N], return_index=True)[1]
    gaps_RB = np.add.reduceat(answers.weights_RN[:, order_N] * gap_N[order_N], starts_B, axis=1)
    return share(np.abs(gaps_RB).sum(axis=1), answers.weights_RN.sum(axis=1))


def roc_auc(answers: Answers) -> np.ndarray:
    """The chance that an example of the class scores above one that is not of it; ties count half.

    Two classes: of the positive. More: the mean over the classes that occur, each against the rest.
    Hanley & McNeil 1982, "The meaning and use of the area under a ROC curve".
    """
    if answers.positive is not None:
        return _area(answers, answers.positive)
    areas = [_area(answers, each) for each in np.unique(answers.truth_N)]
    return np.mean(areas, axis=0) if areas else np.full(len(answers.weights_RN), np.nan)


def _area(answers: Answers, klass: int) -> np.ndarray:
    order_N, starts = _ties(answers.answers[:, klass])
    weights_RN = answers.weights_RN[:, order_N]
    is_class_N = answers.truth_N[order_N] == klass
    inside_RT = np.add.reduceat(weights_RN * is_class_N, starts, axis=1)
    outside_RT = np.add.reduceat(weights_RN * ~is_class_N, starts, axis=1)
    below_RT = np.cumsum(outside_RT, axis=1) - outside_RT / 2
    pairs_R = inside_RT.sum(axis=1) * outside_RT.sum(axis=1)
    won_R = (inside_RT * below_RT).sum(axis=1)
    return share(won_R, pairs_R, of_nothing=np.nan)


def _ties(scores_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order of the scores, lowest first, and where each group of equal scores starts in it."""
    order_N = np.argsort(scores_N, kind="stable")
    return order_N, np.unique(scores_N[order_N], return_index=True)[1]


def average_precision(answers: Answers) -> np.ndarray:
    """Precision averaged over recall: sum of (recall_t - recall_{t-1}) precision_t, thresholds falling.

    The step form without interpolation: Su, Yuan & Zhu 2015, "A relationship between the average
    precision and the area under the ROC curve".
    """
    assert answers.positive is not None
    return _area_of_precision(
        answers.answers[:, answers.positive], answers.truth_N == answers.positive, answers.weights_RN
    )


def mean_average_precision(answers: Answers) -> np.ndarray:
    """`average_precision` of each class by itself, averaged over those that occur: of several labels.

    Truth is bool (N, C). Sorower 2010, "A literature survey on algorithms for multi-label learning", section 7.
    """
    each = [
        _area_of_precision(answers.answers[:, c], answers.truth_N[:, c], answers.weights_RN)
        for c in np.flatnonzero(answers.truth_N.any(axis=0))
    ]
    if not each:
        return np.full(len(answers.weights_RN), np.nan)
    known_R = np.sum(np.isfinite(each), axis=0)  # a resample may lack a class
    return share(np.nansum(each, axis=0), known_R, of_nothing=np.nan)


def _area_of_precision(scores_N: np.ndarray, is_class_N: np.ndarray, weights_RN: np.ndarray) -> np.ndarray:
    order_N, starts = _ties(-scores_N)
    weights_RN = weights_RN[:, order_N]
    found_RT = np.add.reduceat(weights_RN * is_class_N[order_N], starts, axis=1)
    hits_RT = np.cumsum(found_RT, axis=1)
    taken_RT = np.cumsum(np.add.reduceat(weights_RN, starts, axis=1), axis=1)
    gained_R = (found_RT * share(hits_RT, taken_RT)).sum(axis=1)
    total_R = found_RT.sum(axis=1)
    return share(gained_R, total_R, of_nothing=np.nan)


def mae(answers: Answers) -> np.ndarray:
    """Mean absolute error, in the unit of the output."""
    return _mean(np.abs(answers.truth_N - answers.answers), answers)


def rmse(answers: Answers) -> np.ndarray:
    """Root of the mean squared error, in the unit of the output; large errors weigh more."""
    mean_square_R = _mean((answers.truth_N - answers.answers) ** 2, answers)
    return np.asarray(np.sqrt(mean_square_R))


def r2(answers: Answers) -> np.ndarray:
    """The share of the variance that is explained: 1 - sum (y - answer)^2 / sum (y - mean y)^2.

    1 is perfect, 0 is what always answering the mean earns. Not defined where all y are equal.
    Draper & Smith 1998, "Applied regression analysis", section 1.3.
    """
    centred_N = answers.truth_N - answers.truth_N.mean()  # the same value, without cancellation
    squares_R = answers.weights_RN @ (answers.truth_N - answers.answers) ** 2
    spread_R = answers.weights_RN @ centred_N**2
    spread_R = spread_R - share((answers.weights_RN @ centred_N) ** 2, answers.weights_RN.sum(axis=1))
    # Rounding leaves a spread of about 1e-16 of the squares where there is none.
    spread_R[spread_R <= 1e-12 * (answers.weights_RN @ centred_N**2)] = 0
    return 1 - share(squares_R, spread_R, of_nothing=np.nan)


def median_absolute_error(answers: Answers) -> np.ndarray:
    """The median of the absolute errors: half of the answers are closer; blind to a few wild ones."""
    error_N = np.abs(answers.truth_N - answers.answers)
    order_N = np.argsort(error_N, kind="stable")
    reached_RN = np.cumsum(answers.weights_RN[:, order_N], axis=1)
    error_N = error_N[order_N]
    medians = []
    for reached_N in reached_RN:
        middle = reached_N[-1] / 2
        lower = np.searchsorted(reached_N, middle, side="left")
        upper = np.searchsorted(reached_N, middle, side="right")
        medians.append((error_N[lower] + error_N[min(upper, len(error_N) - 1)]) / 2)
    return np.array(medians)


def mape(answers: Answers) -> np.ndarray:
    """Mean absolute error as a share of the true value; not defined where a true value is 0.

    Hyndman & Koehler 2006, "Another look at measures of forecast accuracy", section 2.2.
    """
    if not np.all(answers.truth_N):
        return np.full(len(answers.weights_RN), np.nan)
    return _mean(np.abs((answers.truth_N - answers.answers) / answers.truth_N), answers)


def bits_per_byte(answers: Answers) -> np.ndarray:
    """Bits that a model needs for the texts, over their bytes: 8 is no model, and no tokenizer makes it look better.

    The cross-entropy of Shannon 1951, "Prediction and entropy of printed English", in bits by byte of UTF-8.
    """
    return share(answers.weights_RN @ answers.answers, answers.weights_RN @ answers.truth_N)


def is_right(truth: Any, answer: Any) -> float:
    """1 where a set of labels or spans is answered as a whole, 0 where any is missed or too many: of one example."""
    same = set(truth) == set(answer) if isinstance(truth, tuple) else bool((truth == answer).all())
    return float(same)


def share_wrong(truth_C: np.ndarray, answer_C: np.ndarray) -> float:
    """The share of labels that are missed or too many: of one example (Schapire & Singer 1999, section 3)."""
    return float((truth_C != answer_C).mean())
