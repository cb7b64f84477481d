"""What each text column of a table says by itself, as columns for trees.

Trees split one column at a time and cannot add up thousands of words; a linear model can, and trees weigh its
opinion together with the other columns (stacked generalisation, Wolpert 1992).
Dimensions: N examples, K classes seen in train, or one for values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from modelwright.models.features.design import fit_text, text_groups
from modelwright.models.features.text import Opinion
from modelwright.models.fitting.folds import folds_N
from modelwright.models.fitting.linear import svm
from modelwright.models.fitting.ridge import ridge
from modelwright.models.fitting.strength import Scores
from modelwright.models.threads import one_thread
from modelwright.records import Schema

FOLDS = 5
MAX_CLASSES = 20
"""With more classes their scores would crowd out the other columns."""
WITH_CHARACTERS = 5_000_000
"""Characters of text up to which n-grams of characters are counted too: about half a minute. Chosen."""
MAX_CHARACTERS = 50_000_000
SVM_C, RIDGE_ALPHA = 0.3, 1.0
"""Not searched for: trees mind the order of scores more than their scale."""


def fit_opinions(
    schema: Schema, train: pl.DataFrame, targets_N: np.ndarray, *, seed: int
) -> tuple[tuple[Opinion, ...], list[np.ndarray]]:
    """Opinions fitted on all of `train`, and those about each training example by models that did not see it.

    Args:
        targets_N: Classes counted from 0 among those seen, or values.
        seed: Draws the folds.

    Returns:
        One opinion for each text column of a table, none elsewhere, and its scores (N, K).
    """
    classes = int(targets_N.max(initial=0)) + 1 if schema.task == "classification" else 0
    if schema.kind != "table" or classes == 1 or classes > MAX_CLASSES:
        return (), []
    opinions: list[Opinion] = []
    held_out: list[np.ndarray] = []
    fold_N = folds_N(targets_N, FOLDS, seed=seed, stratified=classes > 0)
    for columns in text_groups(schema):
        length = int(sum(train[name].str.len_chars().sum() or 0 for name in columns))
        if length > MAX_CHARACTERS:
            continue
        with one_thread():
            text, weights = fit_text(train, columns, characters=length <= WITH_CHARACTERS)
            if not weights.shape[1]:
                continue
            scores = _fit(weights, targets_N, classes)
            answers_NK = np.zeros((len(train), len(scores.bias_K)))
            for fold in np.unique(fold_N):
                kept, held = np.flatnonzero(fold_N != fold), np.flatnonzero(fold_N == fold)
                answers_NK[held] = _fit(weights[kept], targets_N[kept], classes).of(weights[held])
        opinions.append(Opinion(text, scores.weights_FK, scores.bias_K))
        held_out.append(answers_NK)
    return tuple(opinions), held_out


def _fit(features: Any, targets_N: np.ndarray, classes: int) -> Scores:
    """Scores of all classes, those that are not among the targets at the margin of what is not it; or values."""
    if not classes:
        return ridge(features, targets_N, RIDGE_ALPHA)
    weights_FK, bias_K = np.zeros((features.shape[1], classes), dtype=np.float32), np.full(classes, -1.0)
    present_K, local_N = np.unique(targets_N, return_inverse=True)
    if len(present_K) > 1:
        found = svm(features, local_N, SVM_C)
        weights_FK[:, present_K], bias_K[present_K] = found.weights_FK, found.bias_K
    return Scores(weights_FK, bias_K)
