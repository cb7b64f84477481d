"""The constant answer."""

from __future__ import annotations

import polars as pl

from modelwright.ladder.rung import Described, Rung
from modelwright.models.fitting.constant import fit_constant
from modelwright.models.fitting.ngram import fit_frequencies
from modelwright.records import Schema


def _fit(schema: Schema, train: pl.DataFrame, *, seed: int) -> Described:
    fit = fit_frequencies if schema.task == "language-modeling" else fit_constant
    return fit(schema, train, seed=seed)


RUNG = Rung(
    "constant",
    _fit,
    lambda schema, count: None,
    lambda schema, train: 0.01,
    tasks=("classification", "regression", "generation", "language-modeling"),
)
