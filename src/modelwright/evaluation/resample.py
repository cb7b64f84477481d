"""Resamples of answer sheets: which examples a bootstrap draws, and what the metric makes of them.

Letters: R resamples, N examples, K cells, S sheets (answers of several predictors to the same examples).
All sheets are drawn together, so that their differences are paired. Efron & Tibshirani 1993, "An
introduction to the bootstrap", chapters 6 and 13.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from modelwright.evaluation import counts, metrics
from modelwright.evaluation.metrics import Metric
from modelwright.models.predictors import Predictions
from modelwright.records import Schema

BLOCK_BYTES = 32 * 2**20
"""Size of one block of weights. Chosen, not measured: fits a laptop's cache hierarchy and memory."""


def resampled_SR(
    metric: Metric,
    schema: Schema,
    truth_N: np.ndarray,
    sheets: Sequence[Predictions],
    *,
    seed: int,
    resamples: int,
) -> np.ndarray:
    """The metric of every sheet on each of R resamples of the N examples, drawn with replacement."""
    if metric.reads == "counts" and schema.task == "classification":
        return _resampled_cells_SR(metric, schema, truth_N, sheets, seed=seed, resamples=resamples)
    weighers = [metrics.weigher(metric, schema, truth_N, sheet) for sheet in sheets]
    blocks = [
        [weigher(weights_RN) for weigher in weighers]
        for weights_RN in draws(len(truth_N), seed=seed, resamples=resamples)
    ]
    return np.concatenate(blocks, axis=1)


def draws(size: int, *, seed: int, resamples: int) -> Iterator[np.ndarray]:
    """Blocks of weights_RN: how often each of N examples is drawn in each of R resamples."""
    generator = np.random.default_rng(seed)
    per_block = max(1, min(resamples, BLOCK_BYTES // (8 * size)))
    for start in range(0, resamples, per_block):
        weights_RN = np.empty((min(per_block, resamples - start), size))
        for weights_N in weights_RN:
            weights_N[:] = np.bincount(generator.integers(0, size, size), minlength=size)
        yield weights_RN


def _resampled_cells_SR(
    metric: Metric,
    schema: Schema,
    truth_N: np.ndarray,
    sheets: Sequence[Predictions],
    *,
    seed: int,
    resamples: int,
) -> np.ndarray:
    """As `resampled_SR`, drawing how many examples fall into each cell of truth and answers.

    Examples with the same truth and the same answers are alike to a metric of counts, so one multinomial
    draw over the cells is the same bootstrap as N draws of examples, and independent of N.
    """
    rows_KS1, weight_K = np.unique(
        np.stack([truth_N, *(sheet.indices_N for sheet in sheets)], axis=1), axis=0, return_counts=True
    )
    generator = np.random.default_rng(seed)
    weights_RK = generator.multinomial(len(truth_N), weight_K / len(truth_N), size=resamples).astype(float)
    positive, classes = metrics.positive_index(schema), len(schema.classes)
    return np.stack(
        [
            metric.function(counts.count(rows_KS1[:, 0], rows_KS1[:, 1 + s], weights_RK, classes, positive))
            for s in range(len(sheets))
        ]
    )
