"""Gradient-boosted trees."""

from __future__ import annotations

import polars as pl

from modelwright.ladder.rung import Rung, text_characters
from modelwright.models.features.ordinals import TOPICS
from modelwright.models.fitting.trees import fit_trees
from modelwright.records import Schema

MAX_TEXT_CLASSES = 20
MAX_TEXT_CELLS = 2.5e6
"""Text is given to trees as topics; more classes or examples would take minutes and lose to the linear model."""


def _applies(schema: Schema, count: int) -> str | None:
    if schema.kind == "image":
        return "trees do not see pixels as a picture"
    if schema.kind == "text" and len(schema.classes) > MAX_TEXT_CLASSES:
        return f"{len(schema.classes)} classes of text: trees on topics take long and lose to words"
    if schema.kind == "text" and count * TOPICS * max(1, len(schema.classes)) > MAX_TEXT_CELLS:
        return f"{count:,} texts in {len(schema.classes)} classes: trees on topics would take over 30 s"
    return None


def _seconds(schema: Schema, train: pl.DataFrame) -> float:
    trees = len(schema.classes) if len(schema.classes) > 2 else 1
    width = TOPICS if schema.kind == "text" else len(schema.inputs)
    cells = len(train) * (width + 10) + 20_000
    opinions = 4e-6 if schema.kind == "table" else 0.0
    return min(40.0, 1 + cells * trees * 600 / 4e7) + (2e-6 + opinions) * text_characters(schema, train)


RUNG = Rung("classical", fit_trees, _applies, _seconds)
