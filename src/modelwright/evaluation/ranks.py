"""The sampling error of the area under the ROC curve, without resampling.

Each example's pull on the area is known in closed form, so variances and paired covariances of any number
of classes cost one sort each. DeLong, DeLong & Clarke-Pearson 1988, "Comparing the areas under two or more
correlated receiver operating characteristic curves"; fast ranks after Sun & Xu 2014.
"""

from __future__ import annotations

import numpy as np


def area_influence(truth_N: np.ndarray, probabilities_NC: np.ndarray, positive: int | None) -> tuple[float, np.ndarray]:
    """The area (macro one-vs-rest for more than two classes) and each example's influence on it.

    The standard error of the area is `influence_N.std(ddof=1) / sqrt(N)`; that of a difference of two areas
    is the same of the difference of influences. NaN where only one class occurs.
    """
    classes = np.unique(truth_N) if positive is None else np.array([positive])
    total, influence_N = 0.0, np.zeros(len(truth_N))
    for klass in classes:
        area, each_N = _one_class(truth_N == klass, probabilities_NC[:, klass])
        total += area
        influence_N += each_N
    return total / max(len(classes), 1), influence_N / max(len(classes), 1)


def _one_class(is_class_N: np.ndarray, score_N: np.ndarray) -> tuple[float, np.ndarray]:
    inside = int(is_class_N.sum())
    outside = len(is_class_N) - inside
    influence_N = np.full(len(is_class_N), np.nan)
    if not inside or not outside:
        return float("nan"), influence_N
    rank_N = mid_ranks(score_N)
    # An example of the class beats this share of the others; one of the others loses to that share of it.
    beats_I = (rank_N[is_class_N] - mid_ranks(score_N[is_class_N])) / outside
    loses_O = 1 - (rank_N[~is_class_N] - mid_ranks(score_N[~is_class_N])) / inside
    area = float(beats_I.mean())
    influence_N[is_class_N] = (beats_I - area) * len(is_class_N) / inside
    influence_N[~is_class_N] = (loses_O - area) * len(is_class_N) / outside
    return area, influence_N


def mid_ranks(values_N: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, group_N, size_T = np.unique(values_N, return_inverse=True, return_counts=True)
    mean_rank_T: np.ndarray = np.cumsum(size_T) - (size_T - 1) / 2
    return mean_rank_T[group_N]
