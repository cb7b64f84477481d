"""Several labels: a scorer for each against the rest, on the same features as one class of many has.

Binary relevance: Tsoumakas & Katakis 2007, "Multi-label classification: an overview", section 3.
Dimensions: N examples, F features, C labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from modelwright.data.labels import strata_of
from modelwright.data.parts import targets_N as targets_of
from modelwright.models.features.design import fit_design
from modelwright.models.fitting.folds import folds_N
from modelwright.models.fitting.strength import Scores, designs_of
from modelwright.models.predictors import label_loss, sigmoid
from modelwright.models.predictors.linear import Linear
from modelwright.records import Schema

NEVER = -20.0
"""The log-odds of a label that train does not show: 2e-9, possible but not expected."""
STRENGTHS = {"text": (1.0, 0.3, 3.0), "table": (0.3, 0.03, 3.0), "image": (0.03, 0.003, 0.3)}
"""Regularisation tried, the likeliest first: a small budget tries only the first."""
SEARCH_WORK = 3e8
"""Non-zeros times labels times fits that the search may cost: about 15 s on a slow core, as for classes."""

Solver = Callable[[Any, np.ndarray, float], Scores]


def fit_each_linear(schema: Schema, train: pl.DataFrame, solver: Solver, *, seed: int) -> Linear:
    """The linear model of `train`, with strength, design and calibration chosen on a held-out fifth of it.

    Args:
        solver: Features, two classes counted from 0 and a strength -> a scorer of both.
    """
    fits_NC = targets_of(schema, train)
    held_N = folds_N(strata_of(train[schema.output]), 5, seed=seed, stratified=True) == 0
    designs = designs_of(schema, train) if schema.kind != "text" else [fit_design(schema, train)]
    best: tuple[float, Any, Any, float, np.ndarray] | None = None
    for design, features in designs:
        cells = np.count_nonzero(features) if isinstance(features, np.ndarray) else features.nnz
        affordable = max(1, int(SEARCH_WORK / max(1.0, float(cells) * fits_NC.shape[1])))
        for strength in STRENGTHS[schema.kind][:affordable]:
            margins_nC = label_scores(features[~held_N], fits_NC[~held_N], solver, strength).of(features[held_N])
            scale, loss = _calibrated(margins_nC, fits_NC[held_N])
            if best is None or loss < best[0]:
                best = loss, design, features, strength, scale
    assert best is not None
    _, design, features, strength, (factor, shift) = best
    scores = label_scores(features, fits_NC, solver, strength)
    return Linear(schema, design, scores.weights_FK * np.float32(factor), scores.bias_K * factor + shift)


def label_scores(features: Any, fits_NC: np.ndarray, solver: Solver, strength: float) -> Scores:
    """The log-odds of each label, up to a factor and a shift that all of them share."""
    weights_FC = np.zeros((features.shape[1], fits_NC.shape[1]), dtype=np.float32)
    bias_C = np.empty(fits_NC.shape[1])
    for c, fits_N in enumerate(fits_NC.T):
        share = fits_N.mean()
        if share in (0.0, 1.0) or not features.shape[1]:
            bias_C[c] = np.log(share / (1 - share)) if 0 < share < 1 else NEVER if share == 0 else -NEVER
        else:
            both = solver(features, fits_N.astype(np.int64), strength)
            weights_FC[:, c] = both.weights_FK[:, 1] - both.weights_FK[:, 0]
            bias_C[c] = both.bias_K[1] - both.bias_K[0]
    return Scores(weights_FC, bias_C)


def _calibrated(margins_NC: np.ndarray, fits_NC: np.ndarray) -> tuple[np.ndarray, float]:
    """The factor and the shift that make margins log-odds (Platt 1999, one for all labels), and their log loss."""
    from scipy.optimize import minimize

    def loss(point: np.ndarray) -> float:
        return label_loss(sigmoid(margins_NC * np.exp(point[0]) + point[1]), fits_NC)

    found = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"maxiter": 200, "xatol": 1e-3, "fatol": 1e-6})
    return np.array([np.exp(np.clip(found.x[0], -5, 5)), found.x[1]]), float(found.fun)
