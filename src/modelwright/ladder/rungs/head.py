"""A linear head on a pre-trained sentence encoder that is left as it is: for text."""

from __future__ import annotations

import polars as pl

from modelwright.ladder.rung import Rung, reading_seconds
from modelwright.models.encode import find_encoder
from modelwright.models.fitting.head import FrozenEncoder, fit_head
from modelwright.records import Schema


def _applies(schema: Schema, count: int) -> str | None:
    if schema.task == "tagging":
        return "an embedding of the whole text says nothing of single words"
    if schema.kind != "text":
        return "for text only"
    if count < 10:
        return f"{count} examples are too few to choose a penalty by"
    return None if find_encoder() is not None else "no pre-trained sentence encoder is on this machine"


def _seconds(schema: Schema, train: pl.DataFrame) -> float:
    return 3 + reading_seconds(schema, train) + 4e-6 * len(train) * max(1, len(schema.classes))


RUNG = Rung("classical", fit_head, _applies, _seconds, 0.5, FrozenEncoder.out_of_fold)
