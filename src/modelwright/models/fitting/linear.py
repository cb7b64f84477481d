"""The linear model: support vectors for text, logistic regression for the rest, ridge for values.

The strength of regularisation and the calibration come from folds within train.
Dimensions: N examples, F features, K classes seen in train, C classes of the schema.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from modelwright.data.parts import targets_N as targets_of
from modelwright.models.features.design import Design, fit_design
from modelwright.models.features.landmarks import Landmarks
from modelwright.models.fitting.each import fit_each_linear
from modelwright.models.fitting.folds import folds_N
from modelwright.models.fitting.ridge import fit_ridge
from modelwright.models.fitting.strength import TUNING_COUNT, Scores, by_fits, choose, designs_of, held_margins, quietly
from modelwright.models.predictors import log_loss, softmax
from modelwright.models.predictors.linear import Linear
from modelwright.models.threads import one_thread
from modelwright.records import Schema

UNSEEN = -20.0
"""The log-odds of a class that train does not hold: 2e-9, possible but not expected."""
SEARCH_WORK = 3e8
"""Non-zeros times classes times fits that the search for C may cost: about 15 s on a slow core (measured)."""
SVM_C = (1.0, 0.3, 3.0)
"""Regularisation tried for text, the likeliest first: a small budget tries only the first ones."""
LOGISTIC_C = (0.0003, 0.003, 0.03, 0.3, 3.0, 30.0)
"""Tried for the rest, the strongest first; the search starts at `strength.START`."""


def fit_linear(schema: Schema, train: pl.DataFrame, *, seed: int) -> Linear:
    """The linear model of `train`, with everything that it needs chosen inside `train`."""
    targets_N = targets_of(schema, train)
    with one_thread():
        if schema.task == "multilabel":
            return fit_each_linear(schema, train, svm if schema.kind == "text" else logistic, seed=seed)
        if schema.task == "regression":
            found = fit_ridge(schema, train, targets_N, seed=seed)
            return predictor_of(schema, found.design, found.scores, found.targets_N, logarithm=found.logarithm)
        local_N = np.unique(targets_N, return_inverse=True)[1]
        fit = _fit_vectors if schema.kind == "text" else _fit_logistic
        design, scores = fit(schema, train, local_N, seed)
    return predictor_of(schema, design, scores, targets_N)


def predictor_of(
    schema: Schema, design: Design | Landmarks, scores: Scores, targets_N: np.ndarray, *, logarithm: bool = False
) -> Linear:
    """The predictor with these scores: of the classes seen among the targets, or of standardised values.

    Args:
        logarithm: The targets are ln(1 + value).
    """
    if schema.task == "regression":
        mean, scale = float(targets_N.mean()), float(targets_N.std()) or 1.0
        margin = 0.1 * float(np.ptp(targets_N))
        limits = (float(targets_N.min()) - margin, float(targets_N.max()) + margin)
        return Linear(schema, design, scores.weights_FK * scale, scores.bias_K * scale + mean, limits, logarithm)
    classes_K = np.unique(targets_N)
    weights_FC = np.zeros((len(scores.weights_FK), len(schema.classes)), dtype=scores.weights_FK.dtype)
    weights_FC[:, classes_K] = scores.weights_FK
    bias_C = np.full(len(schema.classes), UNSEEN)
    bias_C[classes_K] = scores.bias_K
    return Linear(schema, design, weights_FC, bias_C)


def _fit_vectors(schema: Schema, train: pl.DataFrame, local_N: np.ndarray, seed: int) -> tuple[Design, Scores]:
    """Linear support vector machines, one for each class, whose margins become log-odds."""
    design, features = fit_design(schema, train)
    classes = int(local_N.max()) + 1
    if classes < 2 or not features.shape[1]:
        return design, shares(local_N, features.shape[1])
    cells = np.count_nonzero(features) if isinstance(features, np.ndarray) else features.nnz
    part = np.arange(len(train))
    if len(part) > TUNING_COUNT:
        part = np.sort(np.random.default_rng(seed).permutation(len(part))[:TUNING_COUNT])
    work = cells * len(part) / len(train) * (classes if classes > 2 else 1)
    affordable = int(SEARCH_WORK / max(1.0, work))
    fold_n = folds_N(local_N[part], 5, seed=seed, stratified=True)
    rounds = 5 if affordable >= 15 else 1
    tried = SVM_C[: max(1, min(len(SVM_C), affordable // rounds))]
    best_loss, best_c, best_scale = np.inf, SVM_C[0], np.array([1.0, 0.0])
    for c in tried:
        margins_NK, held = held_margins(svm, features[part], local_N[part], c, fold_n, rounds)
        scale, loss = _calibrate(margins_NK, local_N[part][held])
        if loss < best_loss:
            best_loss, best_c, best_scale = loss, c, scale
    scores = svm(features, local_N, best_c)
    factor, shift = best_scale
    shift_K = np.array([0.0, shift]) if classes == 2 else np.zeros(classes)
    return design, Scores(scores.weights_FK * np.float32(factor), scores.bias_K * factor + shift_K)


def svm(features: Any, local_N: np.ndarray, c: float) -> Scores:
    """Squared-hinge linear SVMs by dual coordinate descent (Hsieh et al. 2008), each class against the rest."""
    from sklearn.svm import LinearSVC

    machine = quietly(LinearSVC(C=c, random_state=0, max_iter=1000), features, local_N)
    return _spread(machine.coef_.astype(np.float32), machine.intercept_)


def logistic(features: Any, local_N: np.ndarray, c: float) -> Scores:
    """Multinomial logistic regression; `c` is relative to one example, as in scikit-learn."""
    from sklearn.linear_model import LogisticRegression

    machine = quietly(LogisticRegression(C=c, tol=1e-4, max_iter=300), features, local_N)
    return _spread(machine.coef_, machine.intercept_)


def _spread(coefficients_KF: np.ndarray, intercepts_K: np.ndarray) -> Scores:
    """scikit-learn's coefficients as one column for each class: two classes come as one."""
    if len(coefficients_KF) == 1:
        coefficients_KF = np.vstack([np.zeros_like(coefficients_KF), coefficients_KF])
        intercepts_K = np.array([0.0, float(intercepts_K[0])])
    return Scores(np.ascontiguousarray(coefficients_KF.T), np.asarray(intercepts_K, dtype=np.float64))


def shares(local_N: np.ndarray, width: int) -> Scores:
    """Scores that answer with the shares of the classes, for features that tell nothing."""
    shares_K = np.bincount(local_N) / len(local_N)
    return Scores(np.zeros((width, len(shares_K)), dtype=np.float32), np.log(shares_K))


def _calibrate(margins_NK: np.ndarray, local_N: np.ndarray) -> tuple[np.ndarray, float]:
    """Factor and shift that make margins log-odds, and the log loss that they reach.

    Two classes: Platt scaling (Platt 1999); more: one temperature (Guo et al. 2017), no shift.
    """
    from scipy.optimize import minimize

    if not len(margins_NK):
        return np.array([2.0, 0.0]), np.inf
    two = margins_NK.shape[1] == 2

    def loss(point: np.ndarray) -> float:
        scaled_NK = margins_NK * np.exp(point[0])
        if two:
            scaled_NK = scaled_NK + np.array([0.0, point[1]])
        return log_loss(softmax(scaled_NK), local_N)

    start = np.array([np.log(2.0), 0.0]) if two else np.array([np.log(3.0)])
    found = minimize(loss, start, method="Nelder-Mead", options={"maxiter": 200, "xatol": 1e-3, "fatol": 1e-6})
    factor = float(np.exp(np.clip(found.x[0], -5, 5)))
    return np.array([factor, float(found.x[1]) if two else 0.0]), float(found.fun)


def _fit_logistic(schema: Schema, train: pl.DataFrame, local_N: np.ndarray, seed: int) -> tuple[Design, Scores]:
    """Logistic regression; whether numbers bend, and how strongly it is held back, by folds."""

    def loss(scores_NK: np.ndarray, held: np.ndarray) -> float:
        return log_loss(softmax(scores_NK), local_N[held]) if len(held) else np.inf

    if local_N.max() < 1:
        design, features = fit_design(schema, train)
        return design, shares(local_N, features.shape[1])
    stratified = folds_N(local_N, 5, seed=seed, stratified=True)
    designs = designs_of(schema, train)
    _, design, features, c = choose(schema, designs, local_N, by_fits(logistic), LOGISTIC_C, stratified, loss, seed)
    if not features.shape[1]:
        return design, shares(local_N, 0)
    return design, logistic(features, local_N, c)
