"""The constant answer: the class shares of train, or the mean of its values."""

from __future__ import annotations

import numpy as np
import polars as pl

from modelwright.data.parts import targets_N as targets_of
from modelwright.models.predictors.constant import Constant
from modelwright.records import Schema


def fit_constant(schema: Schema, train: pl.DataFrame, *, seed: int) -> Constant:
    """The constant that loses least on `train`: in log loss, or in squared error."""
    targets_N = targets_of(schema, train)
    if schema.task == "regression":
        return Constant(schema, (float(targets_N.mean()),))
    shares_C = np.bincount(targets_N, minlength=len(schema.classes)) / len(targets_N)
    return Constant(schema, tuple(shares_C.tolist()))
