"""The linear model: support vectors for text, logistic regression for the rest, ridge for values.

The strength of regularisation and the calibration come from folds within train.
Dimensions: N examples, F features, K classes seen in train, C classes of the schema.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from modelwright.data.parts import targets_N as targets_of
from modelwright.models.features.design import Design, fit_design
from modelwright.models.features.landmarks import Landmarks
from modelwright.models.fitting.folds import folds_N
from modelwright.models.predictors import softmax
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
RIDGE_ALPHA = (1000.0, 100.0, 10.0, 1.0, 0.1, 0.01)
"""Regularisation tried for the rest, the strongest first; the search starts at START."""
START = 3
FEW = 2000
"""Up to so many examples 5 folds choose, beyond it 3: more examples need fewer folds."""
TUNING_COUNT = 10_000
"""Regularisation is chosen on at most this many examples: its best value hardly moves beyond."""


@dataclass(frozen=True, slots=True)
class Scores:
    """A fitted scorer: `features @ weights_FK + bias_K`."""

    weights_FK: np.ndarray
    bias_K: np.ndarray

    def of(self, features: Any) -> np.ndarray:
        """The scores of the examples with these features."""
        return np.asarray(features @ self.weights_FK + self.bias_K)


Solver = Callable[[Any, np.ndarray, float], Scores]


def fit_linear(schema: Schema, train: pl.DataFrame, *, seed: int) -> Linear:
    """The linear model of `train`, with everything that it needs chosen inside `train`."""
    targets_N = targets_of(schema, train)
    with one_thread():
        if schema.task == "regression":
            return _fit_values(schema, train, targets_N, seed)
        local_N = np.unique(targets_N, return_inverse=True)[1]
        fit = _fit_text if schema.kind == "text" else _fit_logistic
        design, scores = fit(schema, train, local_N, seed)
    return predictor_of(schema, design, scores, targets_N)


def predictor_of(schema: Schema, design: Design | Landmarks, scores: Scores, targets_N: np.ndarray) -> Linear:
    """The predictor with these scores: of the classes seen among the targets, or of standardised values."""
    if schema.task == "regression":
        mean, scale = float(targets_N.mean()), float(targets_N.std()) or 1.0
        margin = 0.1 * float(np.ptp(targets_N))
        limits = (float(targets_N.min()) - margin, float(targets_N.max()) + margin)
        return Linear(schema, design, scores.weights_FK * scale, scores.bias_K * scale + mean, limits)
    classes_K = np.unique(targets_N)
    weights_FC = np.zeros((len(scores.weights_FK), len(schema.classes)), dtype=scores.weights_FK.dtype)
    weights_FC[:, classes_K] = scores.weights_FK
    bias_C = np.full(len(schema.classes), UNSEEN)
    bias_C[classes_K] = scores.bias_K
    return Linear(schema, design, weights_FC, bias_C)


def _fit_text(schema: Schema, train: pl.DataFrame, local_N: np.ndarray, seed: int) -> tuple[Design, Scores]:
    """Linear support vector machines, one for each class, whose margins become log-odds."""
    design, features = fit_design(schema, train)
    classes = int(local_N.max()) + 1
    if classes < 2 or not features.shape[1]:
        return design, _shares(local_N, features.shape[1])
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
        margins_NK, held = held_margins(_svm, features[part], local_N[part], c, fold_n, rounds)
        scale, loss = _calibrate(margins_NK, local_N[part][held])
        if loss < best_loss:
            best_loss, best_c, best_scale = loss, c, scale
    scores = _svm(features, local_N, best_c)
    factor, shift = best_scale
    shift_K = np.array([0.0, shift]) if classes == 2 else np.zeros(classes)
    return design, Scores(scores.weights_FK * np.float32(factor), scores.bias_K * factor + shift_K)


def _svm(features: Any, local_N: np.ndarray, c: float) -> Scores:
    """Squared-hinge linear SVMs by dual coordinate descent (Hsieh et al. 2008), each class against the rest."""
    from sklearn.svm import LinearSVC

    machine = _quietly(LinearSVC(C=c, random_state=0, max_iter=1000), features, local_N)
    return _spread(machine.coef_.astype(np.float32), machine.intercept_)


def logistic(features: Any, local_N: np.ndarray, c: float) -> Scores:
    """Multinomial logistic regression; `c` is relative to one example, as in scikit-learn."""
    from sklearn.linear_model import LogisticRegression

    machine = _quietly(LogisticRegression(C=c, tol=1e-4, max_iter=300), features, local_N)
    return _spread(machine.coef_, machine.intercept_)


def ridge(features: Any, values_N: np.ndarray, alpha: float) -> Scores:
    """Least squares with an L2 penalty."""
    from sklearn.linear_model import Ridge

    sparse = not isinstance(features, np.ndarray)
    solver = "sparse_cg" if sparse or features.shape[1] > 3000 else "cholesky"
    machine = _quietly(Ridge(alpha=alpha, solver=solver, tol=1e-4, max_iter=500), features, values_N)
    return Scores(machine.coef_.reshape(-1, 1), np.atleast_1d(machine.intercept_))


def _quietly(machine: Any, features: Any, targets: np.ndarray) -> Any:
    """`machine` fitted; a solver that stops at its last iteration is near enough and says so to nobody."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return machine.fit(features, targets)


def _spread(coefficients_KF: np.ndarray, intercepts_K: np.ndarray) -> Scores:
    """scikit-learn's coefficients as one column for each class: two classes come as one."""
    if len(coefficients_KF) == 1:
        coefficients_KF = np.vstack([np.zeros_like(coefficients_KF), coefficients_KF])
        intercepts_K = np.array([0.0, float(intercepts_K[0])])
    return Scores(np.ascontiguousarray(coefficients_KF.T), np.asarray(intercepts_K, dtype=np.float64))


def _shares(local_N: np.ndarray, width: int) -> Scores:
    """Scores that answer with the shares of the classes, for features that tell nothing."""
    shares_K = np.bincount(local_N) / len(local_N)
    return Scores(np.zeros((width, len(shares_K)), dtype=np.float32), np.log(shares_K))


def held_margins(
    solver: Solver, features: Any, targets_N: np.ndarray, strength: float, fold_N: np.ndarray, rounds: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of held-out examples, and which these are; folds whose train lacks a class are left out."""
    width = int(targets_N.max()) + 1 if targets_N.dtype.kind == "i" else 1
    parts, helds = [], []
    for fold in range(rounds):
        held = np.flatnonzero(fold_N == fold)
        kept = np.flatnonzero(fold_N != fold)
        if not len(held) or not len(kept):
            continue
        present_K = np.arange(1) if width == 1 else np.unique(targets_N[kept])
        if width > 1 and len(present_K) < 2:
            continue
        local = targets_N[kept] if width == 1 else np.searchsorted(present_K, targets_N[kept])
        scores = solver(features[kept], local, strength).of(features[held])
        margins_NK = np.full((len(held), width), scores.min() if scores.size else 0.0)
        margins_NK[:, present_K] = scores
        parts.append(margins_NK)
        helds.append(held)
    if not parts:
        return np.zeros((0, width)), np.zeros(0, dtype=np.int64)
    return np.concatenate(parts), np.concatenate(helds)


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


def log_loss(probabilities_NC: np.ndarray, classes_N: np.ndarray) -> float:
    """The mean of -ln of the probability of the true class, floored at 1e-12."""
    true_N = probabilities_NC[np.arange(len(classes_N)), classes_N]
    return float(-np.log(np.maximum(true_N, 1e-12)).mean())


def _fit_logistic(schema: Schema, train: pl.DataFrame, local_N: np.ndarray, seed: int) -> tuple[Design, Scores]:
    """Logistic regression; whether numbers bend, and how strongly it is held back, by folds."""

    def loss(scores_NK: np.ndarray, held: np.ndarray) -> float:
        return log_loss(softmax(scores_NK), local_N[held]) if len(held) else np.inf

    if local_N.max() < 1:
        design, features = fit_design(schema, train)
        return design, _shares(local_N, features.shape[1])
    stratified = folds_N(local_N, 5, seed=seed, stratified=True)
    design, features, c = _choose(schema, train, local_N, logistic, LOGISTIC_C, stratified, loss, seed)
    if not features.shape[1]:
        return design, _shares(local_N, 0)
    return design, logistic(features, local_N, c)


def _fit_values(schema: Schema, train: pl.DataFrame, values_N: np.ndarray, seed: int) -> Linear:
    """Ridge regression on standardised values."""
    mean, scale = float(values_N.mean()), float(values_N.std()) or 1.0
    scaled_N = (values_N - mean) / scale

    def loss(scores_NK: np.ndarray, held: np.ndarray) -> float:
        return float(((scores_NK[:, 0] - scaled_N[held]) ** 2).mean()) if len(held) else np.inf

    fold_N = folds_N(scaled_N, 5, seed=seed, stratified=False)
    design, features, alpha = _choose(schema, train, scaled_N, ridge, RIDGE_ALPHA, fold_N, loss, seed)
    width = features.shape[1]
    scores = ridge(features, scaled_N, alpha) if width else Scores(np.zeros((0, 1)), np.zeros(1))
    return predictor_of(schema, design, scores, values_N)


def _choose(
    schema: Schema,
    train: pl.DataFrame,
    targets_N: np.ndarray,
    solver: Solver,
    strengths: Sequence[float],
    fold_N: np.ndarray,
    loss: Callable[[np.ndarray, np.ndarray], float],
    seed: int,
) -> tuple[Design, Any, float]:
    """The design (straight or bent), its features of `train`, and the strength with the least loss."""
    part = np.arange(len(train))
    if len(part) > TUNING_COUNT:
        part = np.sort(np.random.default_rng(seed).permutation(len(part))[:TUNING_COUNT])
    best: tuple[float, Design, Any, float] | None = None
    for bent in (False, True):
        design, features = fit_design(schema, train, bent=bent)
        if best is not None and features.shape[1] == best[2].shape[1]:
            break  # nothing bends

        def held_loss(strength: float, features: Any = features) -> float:
            rounds = 5 if len(part) <= FEW else 3
            scores, places = held_margins(solver, features[part], targets_N[part], strength, fold_N[part], rounds)
            return loss(scores, part[places])

        found, strength = least(held_loss, strengths)
        if best is None or found < best[0]:
            best = (found, design, features, strength)
        if not features.shape[1]:
            break
    assert best is not None
    return best[1], best[2], best[3]


def least(held_loss: Callable[[float], float], strengths: Sequence[float]) -> tuple[float, float]:
    """The least loss and its strength, walking from START downhill: the loss has one valley."""
    place, lowest = START, held_loss(strengths[START])
    for step in (-1, 1):
        while 0 <= place + step < len(strengths):
            found = held_loss(strengths[place + step])
            if found >= lowest:
                break
            place, lowest = place + step, found
        if place != START:
            break
    return lowest, strengths[place]
