"""The constant answer: the class shares of train, the mean of its values, or its commonest text."""

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
    shares_C = np.bincount(targets_N, minlength=len(schema.classes)) / len(targets_N)
    return Constant(schema, tuple(shares_C.tolist()))
