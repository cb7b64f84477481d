"""Folds for cross-validation within train, and the predictions that come from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl

from modelwright.data.labels import several, strata_of
from modelwright.data.parting import TWINS_TOGETHER
from modelwright.data.parts import targets_N as targets_of
from modelwright.data.twins import together
from modelwright.models.predictors import Predictions, Predictor, as_predictions
from modelwright.records import Dataset, Schema

Fit = Callable[..., Predictor]

ENOUGH = 1000
"""Validation examples from which on they alone are scored, and train is not folded: an accuracy of .9 is then known
to .02."""


def folds_N(
    targets_N: np.ndarray, count: int, *, seed: int, stratified: bool, groups_N: np.ndarray | None = None
) -> np.ndarray:
    """The fold of each example, 0 to count - 1, as even as can be.

    Args:
        targets_N: Class indices where `stratified`: each class is dealt out evenly.
        count: How many folds.
        seed: Draws who goes where.
        stratified: Deal out class by class.
        groups_N: Where given, examples of one group go into one fold, largest groups first (the classes
            then fall as they may).
    """
    generator = np.random.default_rng(seed)
    fold_N = np.empty(len(targets_N), dtype=np.int64)
    if groups_N is not None:
        _, group_N = np.unique(groups_N, return_inverse=True)
        sizes_G = np.bincount(group_N)
        filled = np.zeros(count, dtype=np.int64)
        fold_G = np.empty(len(sizes_G), dtype=np.int64)
        shuffled = generator.permutation(len(sizes_G))
        for group in shuffled[np.argsort(-sizes_G[shuffled], kind="stable")]:
            fold_G[group] = filled.argmin()
            filled[fold_G[group]] += sizes_G[group]
        return fold_G[group_N]
    order = generator.permutation(len(targets_N))
    if stratified:
        order = order[np.argsort(targets_N[order], kind="stable")]
    fold_N[order] = np.arange(len(order)) % count
    return fold_N


def folds_within(dataset: Dataset, train: pl.DataFrame, count: int, *, seed: int) -> np.ndarray | None:
    """The folds of `train` that keep apart what the split kept apart; None where that cannot be done.

    A split by time, or in the order of a text, says that what is earlier answers for what is later: folds would let
    the later answer for the earlier. Groups are not in the parts. Twins stay in one fold.
    """
    ordered = any(said in dataset.split for said in (" by time (", " kept whole", " in the order of the text"))
    if len(train) < count or ordered:
        return None
    schema = dataset.schema
    groups_N = None
    if TWINS_TOGETHER in dataset.split:
        groups_N = together(train, schema)
    if several(schema.task):
        strata_N = strata_of(train[schema.output])
        return folds_N(strata_N, count, seed=seed, stratified=True, groups_N=groups_N)
    classes = schema.task == "classification"
    return folds_N(targets_of(schema, train), count, seed=seed, stratified=classes, groups_N=groups_N)


def out_of_fold(fit: Fit, schema: Schema, train: pl.DataFrame, fold_N: np.ndarray, *, seed: int) -> Predictions:
    """The answer to each example of `train` by a predictor fitted on the other folds.

    Where the predictor sets thresholds itself, those of the first fold decide for all.
    """
    answers: np.ndarray | None = None
    thresholds_C: np.ndarray | None = None
    for fold in range(int(fold_N.max()) + 1):
        held = fold_N == fold
        if not held.any():
            continue
        found = fit(schema, train.filter(~held), seed=seed).predict(train.filter(held))
        part = found.array
        if answers is None:
            answers, thresholds_C = np.empty((len(train), *part.shape[1:]), dtype=part.dtype), found.thresholds_C
        answers[held] = part
    assert answers is not None
    return replace(as_predictions(schema, answers), thresholds_C=thresholds_C)
