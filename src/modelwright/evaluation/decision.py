"""Which classes to answer, given probabilities: the likeliest, unless the metric asks for something else.

Accuracy is best served by the likeliest class. F1 and figures that count every class the same are not: a rare
class is worth answering before it is the likeliest (Lipton, Elkan & Naryanaswamy 2014, "Optimal thresholding of
classifiers to maximize F1 measure"). One number decides: class c is answered where p_c / share_c^a is largest. At
a = 0 that is the likeliest class, at a = 1 the one whose probability rose most over its share. One number fitted on
hundreds of examples cannot learn them by heart, as a threshold for each class could.

Where an example may have several labels, one half is the threshold that makes fewest mistakes, and F1 again asks for
another. One number decides here too: a threshold for all labels or, where every label counts the same, half of
(share_c / largest share)^a, so that rare ones are answered sooner.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from modelwright.evaluation.compare import paired_standard_error
from modelwright.evaluation.metrics import find, score
from modelwright.models.predictors import Predictions, Predictor
from modelwright.models.predictors.decision import Decision
from modelwright.records import Schema

METRICS = frozenset({"f1", "macro_f1", "weighted_f1", "balanced_accuracy", "matthews"})
"""Where the likeliest class need not be the best answer, and the best answer is not always the same class."""
EXPONENTS = np.round(np.arange(-0.4, 1.45, 0.1), 1)
"""Values of a that are tried. Chosen: below 0 a common class gains, above 1 a rare one gains more than it lost."""
SET_METRICS = frozenset({"micro_f1", "macro_f1", "weighted_f1", "subset_accuracy"})
"""Where one half need not be the best threshold."""
LEVELS = np.round(np.arange(0.05, 1.0, 0.05), 2)
"""Thresholds for all labels that are tried."""
RARER = np.round(np.arange(0, 1.05, 0.1), 1)
"""Values of a that are tried for thresholds by share."""
FEWEST = 100
"""Examples without which nothing is decided: the choice would be luck. Chosen."""


def class_weights(
    metric: str, schema: Schema, truth_N: np.ndarray, predictions: Predictions, *, seed: int = 0
) -> np.ndarray | None:
    """The weights (C,) that make the most of `metric`, or None: none do clearly better than the likeliest class.

    Args:
        metric: The figure that decides.
        schema: Of the predictor.
        truth_N: The classes of N examples that the predictor was not fitted on.
        predictions: Its answers to them.
        seed: Of the comparison: weights must gain more than its standard error.
    """
    if metric not in METRICS or len(truth_N) < FEWEST:
        return None
    counts_C = np.bincount(truth_N, minlength=len(schema.classes))
    share_C = np.maximum(counts_C, 0.5) / len(truth_N)
    tried = [replace(predictions, weights_C=share_C**-a / (share_C**-a).max()) for a in EXPONENTS]
    sign = 1 if find(metric).higher_is_better else -1
    scores = np.array([sign * score(metric, schema, truth_N, each) for each in tried])
    best = tried[int(np.nanargmax(_smooth(scores)))]
    gain, error = paired_standard_error(metric, schema, truth_N, best, predictions, seed=seed)
    return None if best.weights_C is None or gain <= error else best.weights_C


def thresholds(
    metric: str, schema: Schema, truth_NC: np.ndarray, predictions: Predictions, *, seed: int = 0
) -> np.ndarray | None:
    """The thresholds (C,) that make the most of `metric`, or None: none do clearly better than one half.

    Args:
        metric: The figure that decides.
        schema: Of the predictor.
        truth_NC: Whether each label fits, of N examples that the predictor was not fitted on.
        predictions: Its answers to them.
        seed: Of the comparison, as for `class_weights`.
    """
    if metric not in SET_METRICS or len(truth_NC) < FEWEST:
        return None
    share_C = np.maximum(truth_NC.mean(axis=0), 0.5 / len(truth_NC))
    families = [[np.full(len(share_C), level) for level in LEVELS]]
    if metric == "macro_f1":
        families.append([0.5 * (share_C / share_C.max()) ** a for a in RARER])
    best: tuple[float, Predictions] | None = None
    for family in families:
        tried = [replace(predictions, thresholds_C=each) for each in family]
        scores = _smooth(np.array([score(metric, schema, truth_NC, each) for each in tried]))
        place = int(np.nanargmax(scores))
        if best is None or scores[place] > best[0]:
            best = float(scores[place]), tried[place]
    assert best is not None
    gain, error = paired_standard_error(metric, schema, truth_NC, best[1], predictions, seed=seed)
    return best[1].thresholds_C if gain > error else None


def decided(
    predictor: Predictor, answers: Predictions, metric: str, truth_N: np.ndarray, *, seed: int = 0
) -> tuple[Predictor, Predictions]:
    """`predictor` and its `answers`, with the weights or thresholds that serve `metric` best where some clearly do.

    Args:
        predictor: What is saved.
        answers: To N examples that it was not fitted on.
        metric: The figure that decides.
        truth_N: The targets of these examples.
        seed: See `class_weights`.
    """
    if answers.probabilities_NC is None:
        return predictor, answers
    several = predictor.schema.task == "multilabel"
    find_best, name = (thresholds, "thresholds_C") if several else (class_weights, "weights_C")
    found_C = find_best(metric, predictor.schema, truth_N, answers, seed=seed)
    if found_C is None:
        return predictor, answers
    return Decision(predictor, **{name: found_C}), replace(answers, **{name: found_C})


def _smooth(scores: np.ndarray) -> np.ndarray:
    """Each score's mean with its neighbours': a lone peak is noise."""
    padded = np.pad(scores, 1, mode="edge")
    return np.asarray((padded[:-2] + padded[1:-1] + padded[2:]) / 3)
