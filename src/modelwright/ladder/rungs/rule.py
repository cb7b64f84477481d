"""One rule that a person can read; for spans, a list of known phrases."""

from __future__ import annotations

import polars as pl

from modelwright.ladder.rung import Described, Rung, text_characters
from modelwright.models.fitting.lexicon import fit_lexicon
from modelwright.models.fitting.rule import fit_rule
from modelwright.records import Schema


def _applies(schema: Schema, count: int) -> str | None:
    if schema.task == "multilabel":
        return "several labels would need a rule each"
    return "pixels give no rule that a person can read" if schema.kind == "image" else None


def _seconds(schema: Schema, train: pl.DataFrame) -> float:
    if schema.task == "tagging":
        return 0.1 + 3e-6 * text_characters(schema, train)
    return 0.1 + 3e-6 * len(train) * len(schema.inputs) + 2e-6 * text_characters(schema, train)


def _fit(schema: Schema, train: pl.DataFrame, *, seed: int) -> Described:
    fit = fit_lexicon if schema.task == "tagging" else fit_rule
    found: Described = fit(schema, train, seed=seed)
    return found


RUNG = Rung("rule", _fit, _applies, _seconds)
