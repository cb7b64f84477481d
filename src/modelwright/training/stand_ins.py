"""The cheap models that stand in for a network where learning curves are drawn: the ladder's, nothing searched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from modelwright.data.parts import targets_N as targets_of
from modelwright.models.features.design import fit_design
from modelwright.models.fitting.chain import fit_chain
from modelwright.models.fitting.each import label_scores
from modelwright.models.fitting.linear import logistic, predictor_of, shares, svm
from modelwright.models.fitting.nearest_answer import nearest_by_words
from modelwright.models.fitting.ngram import fit_ngram
from modelwright.models.fitting.ridge import ridge
from modelwright.models.predictors import Predictor
from modelwright.models.predictors.linear import Linear
from modelwright.records import Schema, Task

STRENGTH, ALPHA = 1.0, 10.0
"""Of regularisation, fixed: what is compared is sizes. Chosen."""
ORDER = 6
"""Bytes of an n-gram. Chosen: the ladder's own search takes 6 or 7 on texts of megabytes."""


@dataclass(frozen=True, slots=True)
class StandIn:
    """One of them.

    Args:
        name: What it is called in a sentence.
        fit: On a part.
        seconds: What a character of the part takes on a slow core, fitted and asked once (measured on banking77 and on
            words with tags); nothing where 8,000 examples take about a second anyway.
    """

    name: str
    fit: Callable[[Schema, pl.DataFrame], Predictor]
    seconds: Callable[[Schema], float] = lambda schema: 0.0


def _linear(schema: Schema, part: pl.DataFrame) -> Linear:
    design, features = fit_design(schema, part)
    targets_N = targets_of(schema, part)
    if schema.task == "regression":
        deviation = float(targets_N.std()) or 1.0
        scores = ridge(features, (targets_N - targets_N.mean()) / deviation, ALPHA)
        return predictor_of(schema, design, scores, targets_N)
    local_N = np.unique(targets_N, return_inverse=True)[1]
    if local_N.max() < 1 or not features.shape[1]:  # a part may show one class alone
        return predictor_of(schema, design, shares(local_N, features.shape[1]), targets_N)
    fit = svm if schema.kind == "text" else logistic
    return predictor_of(schema, design, fit(features, local_N, STRENGTH), targets_N)


def _each_label(schema: Schema, part: pl.DataFrame) -> Linear:
    design, features = fit_design(schema, part)
    scores = label_scores(features, targets_of(schema, part), svm if schema.kind == "text" else logistic, STRENGTH)
    return Linear(schema, design, scores.weights_FK, scores.bias_K)


STAND_INS: dict[Task, StandIn] = {
    "classification": StandIn("a linear model", _linear),
    "regression": StandIn("a linear model", _linear),
    "multilabel": StandIn(
        "a linear model of each label", _each_label, lambda schema: 4e-6 + 3e-7 * len(schema.classes)
    ),
    "tagging": StandIn(
        "a linear tagger",
        lambda schema, part: fit_chain(schema, part, seed=0),
        lambda schema: 2e-5 + 2e-6 * (1 + 2 * len(schema.classes)),
    ),
    "generation": StandIn("the answer to the nearest prompt", nearest_by_words, lambda schema: 6e-6),
    "language-modeling": StandIn(
        "an n-gram model", lambda schema, part: fit_ngram(schema, part, seed=0, order=ORDER), lambda schema: 3e-6
    ),
}
"""By task; what a network makes of the same examples lies higher."""
