"""Gradient-boosted trees."""

from __future__ import annotations

import polars as pl

from modelwright.ladder.rung import Described, Rung, text_characters
from modelwright.models.features.ordinals import TOPICS
from modelwright.models.fitting.trees import fit_each_trees, fit_trees
from modelwright.records import Schema

MAX_TEXT_CLASSES = 20
MAX_TEXT_CELLS = 2.5e6
"""Text is given to trees as topics; more classes or examples would take minutes and lose to the linear model."""


MAX_LABELS = 30
"""Of a table: each has trees of its own."""


def _applies(schema: Schema, count: int) -> str | None:
    if schema.task == "tagging":
        return "trees on topics say nothing of single words"
    if schema.task == "multilabel" and schema.kind == "text":
        return "trees on topics for each label take long and lose to words"
    if schema.task == "multilabel" and len(schema.classes) > MAX_LABELS:
        return f"{len(schema.classes)} labels, each with trees of its own, would take long"
    if schema.kind == "image":
        return "trees do not see pixels as a picture"
    if schema.kind == "text" and len(schema.classes) > MAX_TEXT_CLASSES:
        return f"{len(schema.classes)} classes of text: trees on topics take long and lose to words"
    if schema.kind == "text" and count * TOPICS * max(1, len(schema.classes)) > MAX_TEXT_CELLS:
        return f"{count:,} texts in {len(schema.classes)} classes: trees on topics would take over 30 s"
    return None


def _seconds(schema: Schema, train: pl.DataFrame) -> float:
    several = len(schema.classes) > 2 or schema.task == "multilabel"
    trees = len(schema.classes) if several else 1
    width = TOPICS if schema.kind == "text" else len(schema.inputs)
    cells = len(train) * (width + 10) + 20_000
    opinions = 4e-6 if schema.kind == "table" else 0.0
    at_most = 40.0 * (trees if schema.task == "multilabel" else 1)
    return min(at_most, 1 + cells * trees * 600 / 4e7) + (2e-6 + opinions) * text_characters(schema, train)


def _fit(schema: Schema, train: pl.DataFrame, *, seed: int) -> Described:
    fit = fit_each_trees if schema.task == "multilabel" else fit_trees
    found: Described = fit(schema, train, seed=seed)
    return found


RUNG = Rung("classical", _fit, _applies, _seconds)
