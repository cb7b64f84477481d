"""The linear tagger: multinomial logistic regression of each word's tag, by L-BFGS on sparse features.

How strongly it is held back, and how much O is favoured, are chosen on a held-out fifth of the texts.
Dimensions: N texts, T words of all texts, F features, K tags.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from modelwright.data.labels import strata_of
from modelwright.data.parts import targets_N as targets_of
from modelwright.models.features.context import features_in, matrix_of, vocabulary_of
from modelwright.models.fitting.folds import folds_N
from modelwright.models.predictors import Predictions, softmax
from modelwright.models.predictors.chain import Chain, answers_of
from modelwright.models.threads import one_thread
from modelwright.models.words import Place, places_of, tags_of, texts_in
from modelwright.records import Schema

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

PENALTIES = (1.0, 0.3)
"""Of the squared weights, for all words together: tried while the time allows, the likeliest first."""
SEARCH_WORK = 2e8
"""Words' features times tags that the search may cost in one pass: beyond, the first penalty is taken."""
SHIFTS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
"""What is taken off the score of O: nearly all words are O, so a tag is worth a guess before it is the likeliest."""
STEPS = 40
"""Of L-BFGS, from nought and then from what the fit before ended with. Chosen."""
RARE_FROM = 20_000
"""With more words than this, a feature that stands once is left out."""
NEGLIGIBLE = 1e-3
"""Features whose weights are all smaller are dropped in the end."""


def fit_chain(schema: Schema, train: pl.DataFrame, *, seed: int) -> Chain:
    """The linear tagger of `train`, with everything that it needs chosen inside `train`."""
    texts, truth_N = texts_in(schema, train), targets_of(schema, train)
    places_N = [places_of(text) for text in texts]
    rows = [row for text, places in zip(texts, places_N, strict=True) for row in features_in(text, places)]
    pairs = zip(places_N, truth_N, strict=True)
    tags_T = np.concatenate(
        [np.zeros(0, np.int64), *(tags_of(places, spans, schema.classes) for places, spans in pairs)]
    )
    vocabulary = vocabulary_of(rows, least=2 if len(rows) > RARE_FROM else 1)
    features = matrix_of(rows, vocabulary)
    held_N = folds_N(strata_of(train[schema.output]), 5, seed=seed, stratified=True) == 0
    with one_thread():
        penalty, shift, start_FK = _chosen(schema, features, tags_T, places_N, truth_N, held_N)
        weights_FK = logistic_weights(features, tags_T, penalty, start_FK)
    kept_F = np.abs(weights_FK).max(axis=1) > NEGLIGIBLE
    names = [name for name, kept in zip(vocabulary, kept_F, strict=True) if kept]
    bias_K = np.zeros(weights_FK.shape[1], dtype=np.float32)
    bias_K[0] = -shift
    return Chain(schema, {name: row for row, name in enumerate(names)}, weights_FK[kept_F], bias_K)


def _chosen(
    schema: Schema,
    features: csr_matrix,
    tags_T: np.ndarray,
    places_N: list[list[Place]],
    truth_N: np.ndarray,
    held_N: np.ndarray,
) -> tuple[float, float, np.ndarray]:
    """The penalty and the shift of O with the best micro F1 of spans on the held-out texts, and the weights there."""
    held_T = np.repeat(held_N, [len(places) for places in places_N])
    held_places = [places for places, held in zip(places_N, held_N, strict=True) if held]
    tags = 1 + 2 * len(schema.classes)
    weights_FK = np.zeros((features.shape[1], tags), dtype=np.float32)
    best, kept_FK = (-1.0, PENALTIES[0], SHIFTS[0]), weights_FK
    tried = PENALTIES if features.nnz * tags <= SEARCH_WORK else PENALTIES[:1]
    for penalty in tried:
        weights_FK = logistic_weights(features[~held_T], tags_T[~held_T], penalty, weights_FK)
        scores_TK = np.asarray(features[held_T] @ weights_FK)
        for shift in SHIFTS:
            moved_TK = scores_TK.copy()
            moved_TK[:, 0] -= shift
            figure = _micro_f1(truth_N[held_N], answers_of(schema, held_places, softmax(moved_TK)))
            if figure > best[0]:
                best, kept_FK = (figure, penalty, shift), weights_FK
    return best[1], best[2], kept_FK


def _micro_f1(truth_N: np.ndarray, answers: Predictions) -> float:
    """2 hits / (true + answered), of whole spans."""
    pairs = [(set(truth), set(found)) for truth, found in zip(truth_N, answers.array, strict=True)]
    total = sum(len(truth) + len(found) for truth, found in pairs)
    return 2 * sum(len(truth & found) for truth, found in pairs) / total if total else 0.0


def logistic_weights(features: Any, tags_T: np.ndarray, penalty: float, start_FK: np.ndarray) -> np.ndarray:
    """argmin_W −Σ_t log softmax(x_t W)_{y_t} + penalty/2 ‖W‖², float32 (F, K), as far as STEPS lead from `start_FK`.

    Products are taken in float32, three times as fast as in float64.
    """
    from scipy.optimize import minimize

    across, rows_T = features.T.tocsr(), np.arange(len(tags_T))

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights_FK = flat.reshape(start_FK.shape)
        scores_TK = features @ weights_FK.astype(np.float32)
        scores_TK -= scores_TK.max(axis=1, keepdims=True)
        powers_TK = np.exp(scores_TK)
        sums_T = powers_TK.sum(axis=1)
        given = float((np.log(sums_T) - scores_TK[rows_T, tags_T]).sum(dtype=np.float64))
        powers_TK /= sums_T[:, None]
        powers_TK[rows_T, tags_T] -= 1
        slope_FK = (across @ powers_TK) + penalty * weights_FK
        return given + 0.5 * penalty * float(flat @ flat), slope_FK.ravel()

    options = {"maxiter": STEPS, "maxcor": 6}
    found = minimize(loss, start_FK.astype(np.float64).ravel(), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(found.x.reshape(start_FK.shape), dtype=np.float32)
