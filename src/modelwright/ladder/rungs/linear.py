"""A linear model on words and characters, on scaled numbers and one-hot categories, on pixels, or on single words."""

from __future__ import annotations

import polars as pl

from modelwright.ladder.rung import Described, Rung, text_characters
from modelwright.models.fitting.chain import fit_chain
from modelwright.models.fitting.linear import fit_linear
from modelwright.models.fitting.ridge import GRAM_COUNT
from modelwright.records import Schema


def _seconds(schema: Schema, train: pl.DataFrame) -> float:
    characters, classes = text_characters(schema, train), max(1, len(schema.classes))
    if schema.task == "tagging":
        return float(2 + characters * (1.2e-5 + 2e-6 * (1 + 2 * classes)))
    if schema.kind == "image":
        return 1 + 6e-4 * len(train) * classes
    table = 1.5e-5 * len(train) * len(schema.inputs) * max(1, classes - 1) ** 0.5
    reading = characters * (3e-6 + 1.2e-7 * classes)
    if not characters:
        return float(0.5 + table)
    if schema.task == "regression":  # by inner products, on both scales
        return float(0.5 + table + 2 * reading + 2e-6 * min(len(train), GRAM_COUNT) ** 2)
    if schema.task == "multilabel":
        return float(0.5 + table + 3e-6 * characters * (1 + classes**0.5))
    search = 4e-4 * len(train) * (classes if classes > 2 else 1) if schema.kind == "table" else 0.0
    return float(0.5 + table + reading + search)


def _fit(schema: Schema, train: pl.DataFrame, *, seed: int) -> Described:
    fit = fit_chain if schema.task == "tagging" else fit_linear
    found: Described = fit(schema, train, seed=seed)
    return found


RUNG = Rung("classical", _fit, lambda schema, count: None, _seconds)
