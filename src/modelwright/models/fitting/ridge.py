"""Ridge regression of values, on features of any kind.

Dimensions: N examples, F features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from modelwright.models.features.design import Design
from modelwright.models.fitting.folds import folds_N
from modelwright.models.fitting.skewed import LINEAR_SKEWNESS, is_skewed
from modelwright.models.fitting.strength import Scores, by_fits, choose, designs_of, quietly
from modelwright.records import Schema

RIDGE_ALPHA = (1000.0, 100.0, 10.0, 1.0, 0.1, 0.01)
"""Strengths tried, as scikit-learn counts them: against the sum of the squared errors."""
GRAM_COUNT = 3000
"""Sparse features are tried on at most so many examples, by their inner products: 0.1 GB. Chosen."""


def ridge(features: Any, values_N: np.ndarray, alpha: float) -> Scores:
    """Least squares with an L2 penalty."""
    from sklearn.linear_model import Ridge

    sparse = not isinstance(features, np.ndarray)
    solver = "sparse_cg" if sparse or features.shape[1] > 3000 else "cholesky"
    machine = quietly(Ridge(alpha=alpha, solver=solver, tol=1e-4, max_iter=500), features, values_N)
    return Scores(machine.coef_.reshape(-1, 1), np.atleast_1d(machine.intercept_))


@dataclass(frozen=True, slots=True)
class RidgeFit:
    """A ridge regression of `targets_N`, which are the values or ln(1 + value), freed of mean and deviation.

    `error` is the mean squared error of held-out values on their own scale.
    """

    error: float
    design: Design
    scores: Scores
    targets_N: np.ndarray
    logarithm: bool


def fit_ridge(schema: Schema, train: pl.DataFrame, values_N: np.ndarray, *, seed: int) -> RidgeFit:
    """Ridge regression of values, or of their logarithms where that brings held-out values nearer."""
    scales = (False, True) if is_skewed(values_N, LINEAR_SKEWNESS) else (False,)
    designs = designs_of(schema, train)
    fitted = [_fit_scale(schema, designs, values_N, seed, logarithm=logarithm) for logarithm in scales]
    return min(fitted, key=lambda found: found.error)


def _fit_scale(
    schema: Schema, designs: list[tuple[Design, Any]], values_N: np.ndarray, seed: int, *, logarithm: bool
) -> RidgeFit:
    targets_N = np.log1p(values_N) if logarithm else values_N
    mean, scale = float(targets_N.mean()), float(targets_N.std()) or 1.0
    scaled_N = (targets_N - mean) / scale
    low, high = scaled_N.min(), scaled_N.max()

    def loss(scores_NK: np.ndarray, held: np.ndarray) -> float:
        answers = np.clip(scores_NK[:, 0], low, high) * scale + mean
        if logarithm:
            answers = np.expm1(answers)
        return float(((answers - values_N[held]) ** 2).mean()) if len(held) else np.inf

    fold_N = folds_N(scaled_N, 5, seed=seed, stratified=False)
    error, design, features, alpha = choose(schema, designs, scaled_N, held_values, RIDGE_ALPHA, fold_N, loss, seed)
    width = features.shape[1]
    scores = ridge(features, scaled_N, alpha) if width else Scores(np.zeros((0, 1)), np.zeros(1))
    return RidgeFit(error, design, scores, targets_N, logarithm)


def held_values(
    features: Any, values_N: np.ndarray, fold_N: np.ndarray, rounds: int
) -> Callable[[float], tuple[np.ndarray, np.ndarray]]:
    """As `strength.by_fits(ridge)`; sparse features by their inner products, which all strengths share.

    With K = X Xᵀ the answers of a ridge regression are ȳ + K_held,kept c, where (K_kept + alpha I) c = y - ȳ, all
    centred on the kept examples (Saunders et al. 1998, "Ridge regression learning algorithm in dual variables").
    """
    if isinstance(features, np.ndarray):
        return by_fits(ridge)(features, values_N, fold_N, rounds)
    part = np.unique(np.linspace(0, len(values_N) - 1, min(len(values_N), GRAM_COUNT)).astype(np.int64))
    few = features[part].astype(np.float64)
    gram_NN, y_N, fold_N = (few @ few.T).toarray(), values_N[part], fold_N[part]

    def scores_at(alpha: float) -> tuple[np.ndarray, np.ndarray]:
        answers, helds = [], []
        for fold in range(rounds):
            held, kept = np.flatnonzero(fold_N == fold), np.flatnonzero(fold_N != fold)
            if len(held) and len(kept):
                answers.append(_answers(gram_NN, y_N, kept, held, alpha))
                helds.append(held)
        if not helds:
            return np.zeros((0, 1)), np.zeros(0, dtype=np.int64)
        return np.concatenate(answers)[:, None], part[np.concatenate(helds)]

    return scores_at


def _answers(gram_NN: np.ndarray, y_N: np.ndarray, kept: np.ndarray, held: np.ndarray, alpha: float) -> np.ndarray:
    from scipy.linalg import solve

    inner = gram_NN[np.ix_(kept, kept)]
    mean_k = inner.mean(axis=0)
    centred = inner - mean_k - mean_k[:, None] + mean_k.mean()
    centred[np.diag_indices_from(centred)] += alpha
    mean = float(y_N[kept].mean())
    weights_k = solve(centred, y_N[kept] - mean, assume_a="pos", overwrite_a=True, check_finite=False)
    # The weights add up to nothing, so only what differs between the kept examples counts.
    return np.asarray(mean + (gram_NN[np.ix_(held, kept)] - mean_k) @ weights_k)
