"""Figures that need only counts: hits, true totals and predicted totals of each class.

Letters: R resamples, C classes, N examples, K cells. Every figure takes `Counts` of R resamples at once
and returns its R values, so a thousand bootstraps cost one call. A share of nothing (the precision of a
class that was never predicted) counts as 0, as in scikit-learn with `zero_division=0`. Formulas, unless
another source is named: Sokolova & Lapalme 2009, "A systematic analysis of performance measures for
classification tasks", tables 2 and 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Counts:
    """What R resamples say of C classes.

    Args:
        hits_RC: Examples of the class that were answered with it.
        truth_RC: Examples of the class.
        predicted_RC: Examples answered with the class.
        positive: Index of the class that precision, recall and F1 of a two-class task are about.
    """

    hits_RC: np.ndarray
    truth_RC: np.ndarray
    predicted_RC: np.ndarray
    positive: int | None = None


def count(
    truth_K: np.ndarray, answers_K: np.ndarray, weights_RK: np.ndarray, classes: int, positive: int | None
) -> Counts:
    """Counts of R weighted copies of K cells (or examples) with these true and predicted classes."""
    hit_K = truth_K == answers_K
    return Counts(
        hits_RC=_sum_by_class(truth_K[hit_K], weights_RK[:, hit_K], classes),
        truth_RC=_sum_by_class(truth_K, weights_RK, classes),
        predicted_RC=_sum_by_class(answers_K, weights_RK, classes),
        positive=positive,
    )


def _sum_by_class(class_K: np.ndarray, weights_RK: np.ndarray, classes: int) -> np.ndarray:
    sums_RC = np.zeros((len(weights_RK), classes))
    if len(class_K):
        order = np.argsort(class_K, kind="stable")
        present, starts = np.unique(class_K[order], return_index=True)
        sums_RC[:, present] = np.add.reduceat(weights_RK[:, order], starts, axis=1)
    return sums_RC


def share(part: np.ndarray, whole: np.ndarray, *, of_nothing: float = 0.0) -> np.ndarray:
    """The ratio of part and whole, and `of_nothing` where the whole is 0."""
    shares = np.full(np.broadcast(part, whole).shape, of_nothing)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares


def precision_RC(counts: Counts) -> np.ndarray:
    """Of the answers with this class, the share that is right: TP / (TP + FP)."""
    return share(counts.hits_RC, counts.predicted_RC)


def recall_RC(counts: Counts) -> np.ndarray:
    """Of the examples of this class, the share that is found: TP / (TP + FN)."""
    return share(counts.hits_RC, counts.truth_RC)


def f1_RC(counts: Counts) -> np.ndarray:
    """Harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN)."""
    return share(2 * counts.hits_RC, counts.truth_RC + counts.predicted_RC)


def _macro(values_RC: np.ndarray, counts: Counts) -> np.ndarray:
    """The mean over the classes that occur, in truth or among the answers."""
    occurs_RC = (counts.truth_RC + counts.predicted_RC) > 0
    return share((values_RC * occurs_RC).sum(axis=1), occurs_RC.sum(axis=1))


def accuracy(counts: Counts) -> np.ndarray:
    """The share of right answers."""
    return share(counts.hits_RC.sum(axis=1), counts.truth_RC.sum(axis=1))


def balanced_accuracy(counts: Counts) -> np.ndarray:
    """The mean recall over the classes that occur in truth.

    Brodersen et al. 2010, "The balanced accuracy and its posterior distribution".
    """
    return share(recall_RC(counts).sum(axis=1), (counts.truth_RC > 0).sum(axis=1))


def precision(counts: Counts) -> np.ndarray:
    """Precision of the positive class."""
    return precision_RC(counts)[:, _positive(counts)]


def recall(counts: Counts) -> np.ndarray:
    """Recall of the positive class."""
    return recall_RC(counts)[:, _positive(counts)]


def f1(counts: Counts) -> np.ndarray:
    """F1 of the positive class."""
    return f1_RC(counts)[:, _positive(counts)]


def micro_precision(counts: Counts) -> np.ndarray:
    """Precision of all classes' answers together."""
    return share(counts.hits_RC.sum(axis=1), counts.predicted_RC.sum(axis=1))


def micro_recall(counts: Counts) -> np.ndarray:
    """Recall of all classes together."""
    return share(counts.hits_RC.sum(axis=1), counts.truth_RC.sum(axis=1))


def micro_f1(counts: Counts) -> np.ndarray:
    """F1 of all classes together; of spans, what is called entity-level F1."""
    return share(2 * counts.hits_RC.sum(axis=1), counts.truth_RC.sum(axis=1) + counts.predicted_RC.sum(axis=1))


def macro_precision(counts: Counts) -> np.ndarray:
    """The mean precision over the classes that occur; each class counts the same."""
    return _macro(precision_RC(counts), counts)


def macro_recall(counts: Counts) -> np.ndarray:
    """The mean recall over the classes that occur; each class counts the same."""
    return _macro(recall_RC(counts), counts)


def macro_f1(counts: Counts) -> np.ndarray:
    """The mean F1 over the classes that occur; each class counts the same."""
    return _macro(f1_RC(counts), counts)


def weighted_f1(counts: Counts) -> np.ndarray:
    """The mean F1 of the classes, each weighing as many examples as it has."""
    return share((f1_RC(counts) * counts.truth_RC).sum(axis=1), counts.truth_RC.sum(axis=1))


def matthews(counts: Counts) -> np.ndarray:
    """Matthews correlation of truth and answers, -1 to 1; 0 where either has one class only.

    With c hits of s examples, t_k true and p_k predicted totals:
    (c s - sum t_k p_k) / sqrt((s^2 - sum p_k^2) (s^2 - sum t_k^2)).
    Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient", eq. 8.
    """
    total_R = counts.truth_RC.sum(axis=1)
    agreement_R = counts.hits_RC.sum(axis=1) * total_R
    agreement_R = agreement_R - (counts.truth_RC * counts.predicted_RC).sum(axis=1)
    spread_R = (total_R**2 - (counts.predicted_RC**2).sum(axis=1)) * (total_R**2 - (counts.truth_RC**2).sum(axis=1))
    return share(agreement_R, np.sqrt(np.maximum(spread_R, 0)))


def _positive(counts: Counts) -> int:
    assert counts.positive is not None  # `suits` turns such a metric away before it gets here
    return counts.positive
