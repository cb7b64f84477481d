"""The constant answer: the shares of the classes or labels in train, the mean of its values, no span, or its commonest
text.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from modelwright.data.parts import targets_N as targets_of
from modelwright.models.predictors.constant import Constant
from modelwright.records import Schema


def fit_constant(schema: Schema, train: pl.DataFrame, *, seed: int) -> Constant:
    """The constant that loses least on `train`: in log loss, or in squared error; of texts the commonest."""
    if schema.task == "generation":
        counts = train[schema.output].value_counts().sort("count", schema.output, descending=[True, False])
        return Constant(schema, str(counts[schema.output][0]))
    targets_N = targets_of(schema, train)
    if schema.task == "regression":
        return Constant(schema, (float(targets_N.mean()),))
    if schema.task == "tagging":
        return Constant(schema, ())
    if schema.task == "multilabel":
        shares_C = targets_N.mean(axis=0)
        return Constant(schema, tuple(shares_C.tolist()), _threshold(shares_C))
    shares_C = np.bincount(targets_N, minlength=len(schema.classes)) / len(targets_N)
    return Constant(schema, tuple(shares_C.tolist()))


def _threshold(shares_C: np.ndarray) -> float:
    """From which share on a label belongs to the set that has the best micro F1 of all constant sets on train.

    With the k commonest labels answered to every example that is 2 sum_k share / (k + sum of all shares).
    """
    common_C = np.sort(shares_C)[::-1]
    figures_C = 2 * common_C.cumsum() / (np.arange(1, len(common_C) + 1) + common_C.sum())
    return float(common_C[int(figures_C.argmax())])
