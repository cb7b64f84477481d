"""Counts of a few bytes in a row: what a language model must beat."""

from __future__ import annotations

import polars as pl

from modelwright.ladder.rung import Rung, text_characters
from modelwright.models.fitting.ngram import LEARNT_BYTES, fit_ngram
from modelwright.records import Schema


def _seconds(schema: Schema, train: pl.DataFrame) -> float:
    return 0.5 + 6e-6 * min(text_characters(schema, train), LEARNT_BYTES)


RUNG = Rung("classical", fit_ngram, lambda schema, count: None, _seconds, tasks=("language-modeling",))
