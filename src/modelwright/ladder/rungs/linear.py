"""A linear model on words and characters, on scaled numbers and one-hot categories, or on pixels."""

from __future__ import annotations

import polars as pl

from modelwright.ladder.rung import Rung, text_characters
from modelwright.models.fitting.linear import fit_linear
from modelwright.models.fitting.ridge import GRAM_COUNT
from modelwright.records import Schema


def _seconds(schema: Schema, train: pl.DataFrame) -> float:
    characters, classes = text_characters(schema, train), max(1, len(schema.classes))
    if schema.kind == "image":
        return 1 + 6e-4 * len(train) * classes
    table = 1.5e-5 * len(train) * len(schema.inputs) * max(1, classes - 1) ** 0.5
    reading = characters * (3e-6 + 1.2e-7 * classes)
    if not characters:
        return float(0.5 + table)
    if schema.task == "regression":  # by inner products, on both scales
        return float(0.5 + table + 2 * reading + 2e-6 * min(len(train), GRAM_COUNT) ** 2)
    search = 4e-4 * len(train) * (classes if classes > 2 else 1) if schema.kind == "table" else 0.0
    return float(0.5 + table + reading + search)


RUNG = Rung("classical", fit_linear, lambda schema, count: None, _seconds)
