"""One rule that a person can read."""

from __future__ import annotations

import polars as pl

from modelwright.ladder.rung import Rung, text_characters
from modelwright.models.fitting.rule import fit_rule
from modelwright.records import Schema


def _applies(schema: Schema, count: int) -> str | None:
    return "pixels give no rule that a person can read" if schema.kind == "image" else None


def _seconds(schema: Schema, train: pl.DataFrame) -> float:
    return 0.1 + 3e-6 * len(train) * len(schema.inputs) + 2e-6 * text_characters(schema, train)


RUNG = Rung("rule", fit_rule, _applies, _seconds)
