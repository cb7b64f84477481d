"""Counts of each example by itself, for tasks whose examples hold several right answers: labels, or spans of a text.

Letters: N examples, C classes, R resamples. An example's counts do not depend on the others, so every resample of the
examples is a weighted sum of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from modelwright.evaluation.counts import Counts
from modelwright.models.predictors import Predictions
from modelwright.records import Schema, Span


@dataclass(frozen=True, slots=True)
class Tally:
    """What each example holds of each class, float64 (N, C).

    Args:
        hits_NC: Right answers.
        truth_NC: What was to be answered.
        predicted_NC: What was answered.
    """

    hits_NC: np.ndarray
    truth_NC: np.ndarray
    predicted_NC: np.ndarray

    def weighed(self, weights_RN: np.ndarray) -> Counts:
        """The counts of R weighted copies of the examples."""
        return Counts(weights_RN @ self.hits_NC, weights_RN @ self.truth_NC, weights_RN @ self.predicted_NC)


def tally(schema: Schema, truth_N: np.ndarray, predictions: Predictions) -> Tally:
    """The counts of each example.

    A span is hit where one with the same ends and the same label is answered, and not otherwise (Tjong Kim Sang &
    De Meulder 2003, "Introduction to the CoNLL-2003 shared task", section 2.3).

    Args:
        schema: Of multilabel or tagging task.
        truth_N: As `data.parts.targets_N` gives it.
        predictions: The answers.
    """
    if schema.task == "multilabel":
        answered_NC = predictions.answered_NC
        return Tally(*(each.astype(np.float64) for each in (truth_N & answered_NC, truth_N, answered_NC)))
    assert predictions.spans_N is not None
    hit_N = (set(truth) & set(answer) for truth, answer in zip(truth_N, predictions.spans_N, strict=True))
    index = {name: position for position, name in enumerate(schema.classes)}
    return Tally(*(_of_spans(index, spans_N, len(truth_N)) for spans_N in (hit_N, truth_N, predictions.spans_N)))


def as_answers(schema: Schema, truth_N: np.ndarray) -> Predictions:
    """The answers of one who knows the truth."""
    if schema.task == "multilabel":
        return Predictions(probabilities_NC=truth_N.astype(np.float64))
    return Predictions(spans_N=truth_N)


def _of_spans(index: dict[str, int], spans_N: Iterable[Iterable[Span]], count: int) -> np.ndarray:
    counts_NC = np.zeros((count, len(index)))
    for position, spans in enumerate(spans_N):
        for span in spans:
            counts_NC[position, index[span.label]] += 1
    return counts_NC
