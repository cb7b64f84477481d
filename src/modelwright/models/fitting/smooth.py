"""A smooth model of a small table: logistic or ridge regression on nearness to landmarks.

What a support vector machine with a Gaussian kernel is to scikit-learn's users: the best there is for a few
hundred examples of a smooth relation, where trees must approximate every slope by steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from modelwright.data.parts import targets_N as targets_of
from modelwright.models.features.design import fit_design
from modelwright.models.features.landmarks import Landmarks, at_landmarks, dense, squares_NL
from modelwright.models.fitting.folds import folds_N
from modelwright.models.fitting.linear import LOGISTIC_C, logistic, predictor_of
from modelwright.models.fitting.ridge import RIDGE_ALPHA, ridge
from modelwright.models.fitting.strength import FEW, held_margins, least
from modelwright.models.predictors import log_loss, softmax
from modelwright.models.predictors.linear import Linear
from modelwright.models.threads import one_thread
from modelwright.records import Schema

MOST = 600
"""Landmarks: the fit takes time with the square of them. Chosen, not measured."""
TUNING_COUNT = 3000
RATES = (0.1, 0.3, 1.0, 3.0)
"""Tried, as multiples of one over the median squared distance (Smola's heuristic puts the best near 1)."""


def fit_smooth(schema: Schema, train: pl.DataFrame, *, seed: int) -> Linear:
    """The smooth model of `train`, its width and strength chosen by folds within it."""
    with one_thread():
        return _fit(schema, train, seed)


def _fit(schema: Schema, train: pl.DataFrame, seed: int) -> Linear:
    targets_N = targets_of(schema, train)
    generator = np.random.default_rng(seed)
    design, features = fit_design(schema, train, with_text=False)
    coordinates_ND = dense(features)
    points_LD = coordinates_ND[np.sort(generator.permutation(len(train))[:MOST])]
    typical = float(np.median(squares_NL(points_LD, points_LD))) or 1.0
    part = np.sort(generator.permutation(len(train))[:TUNING_COUNT])
    best: tuple[float, Landmarks, float] | None = None
    held_loss, strengths = _plan(schema, targets_N, part, seed)
    for rate in RATES:
        landmarks = at_landmarks(design, points_LD, rate / typical)
        near = landmarks.near(coordinates_ND[part])
        loss, strength = least(lambda each, near=near: held_loss(near, each), strengths)  # type: ignore[misc]
        if best is not None and loss >= best[0]:
            break  # one valley, walked from the widest
        best = (loss, landmarks, strength)
    assert best is not None
    _, landmarks, strength = best
    return fit_near(schema, landmarks, landmarks.near(coordinates_ND), targets_N, strength)


def _plan(
    schema: Schema, targets_N: np.ndarray, part: np.ndarray, seed: int
) -> tuple[Callable[[Any, float], float], tuple[float, ...]]:
    """The held-out loss of a strength on `part`, and the strengths to try."""
    rounds = 5 if len(part) <= FEW else 3
    if schema.task == "regression":
        mean, scale = float(targets_N.mean()), float(targets_N.std()) or 1.0
        scaled_n = (targets_N[part] - mean) / scale
        fold_n = folds_N(scaled_n, 5, seed=seed, stratified=False)

        def squared(near: Any, alpha: float) -> float:
            scores, held = held_margins(ridge, near, scaled_n, alpha, fold_n, rounds)
            return float(((scores[:, 0] - scaled_n[held]) ** 2).mean()) if len(held) else np.inf

        return squared, RIDGE_ALPHA
    local_n = np.unique(targets_N[part], return_inverse=True)[1]
    fold_n = folds_N(local_n, 5, seed=seed, stratified=True)

    def logged(near: Any, c: float) -> float:
        scores, held = held_margins(logistic, near, local_n, c, fold_n, rounds)
        return log_loss(softmax(scores), local_n[held]) if len(held) else np.inf

    return logged, LOGISTIC_C


def fit_near(
    schema: Schema, landmarks: Landmarks, near_NL: np.ndarray, targets_N: np.ndarray, strength: float
) -> Linear:
    """The linear model on nearness: ridge regression of standardised values, or logistic regression."""
    if schema.task == "regression":
        mean, scale = float(targets_N.mean()), float(targets_N.std()) or 1.0
        return predictor_of(schema, landmarks, ridge(near_NL, (targets_N - mean) / scale, strength), targets_N)
    local_N = np.unique(targets_N, return_inverse=True)[1]
    return predictor_of(schema, landmarks, logistic(near_NL, local_N, strength), targets_N)
