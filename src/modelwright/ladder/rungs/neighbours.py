"""The nearest known examples: by a sentence encoder for text, by features for tables and images.

Where texts are written, the answer to the nearest known prompt.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from modelwright.ladder.rung import Rung, reading_seconds
from modelwright.models.encode import find_encoder
from modelwright.models.fitting.nearest_answer import fit_nearest_answer
from modelwright.models.fitting.neighbours import fit_neighbours
from modelwright.models.predictors import Predictions
from modelwright.models.predictors.nearest_answer import NearestAnswer
from modelwright.models.predictors.neighbours import Neighbours
from modelwright.records import Schema

MAX_COLUMNS = 50
MAX_COUNT = 50_000
"""Beyond these distances say little and an answer takes long. Chosen, not measured."""


def _fit(schema: Schema, train: pl.DataFrame, *, seed: int) -> NearestAnswer | Neighbours:
    fit = fit_nearest_answer if schema.task == "generation" else fit_neighbours
    return fit(schema, train, seed=seed)


def _out_of_fold(predictor: NearestAnswer | Neighbours, fold_N: np.ndarray) -> Predictions:
    return predictor.out_of_fold(fold_N)


def _applies(schema: Schema, count: int) -> str | None:
    if schema.task == "tagging":
        return "texts that are alike have their spans in other places"
    if count < 2:
        return "one example has no neighbour"
    if schema.task == "generation":
        return None
    if schema.kind == "text":
        return None if find_encoder() is not None else "no pre-trained sentence encoder is on this machine"
    if schema.kind == "table" and len(schema.inputs) > MAX_COLUMNS:
        return f"{len(schema.inputs):,} columns: distances say little beyond {MAX_COLUMNS}"
    if schema.kind == "table" and all(column.kind == "text" for column in schema.inputs):
        return "the columns are all text"
    return f"{count:,} examples: an answer would look at all of them" if count > MAX_COUNT else None


def _seconds(schema: Schema, train: pl.DataFrame) -> float:
    if schema.kind == "text":
        return 3 + reading_seconds(schema, train) + 2e-7 * len(train) * min(len(train), 4000)
    return 0.5 + 1e-3 * len(train) * (schema.kind == "image") + 2e-8 * len(train) * 4000 * 5


RUNG = Rung(
    "classical", _fit, _applies, _seconds, 0.5, _out_of_fold, tasks=("classification", "regression", "generation")
)
