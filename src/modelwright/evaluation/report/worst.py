"""The answers that went most wrong, with their examples. Only ever called with validation examples."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
import polars as pl

from modelwright.data.parts import targets_N
from modelwright.evaluation.words import number
from modelwright.models.predictors import Predictions
from modelwright.records import POSITION, Schema

AT_MOST = 12
"""Errors that a reader is shown."""

CHARACTERS = 280
"""Of a text that is shown; a cut text says so."""

COLUMNS = 8
"""Columns of a table that are shown."""

SIDE = 72
"""Pixels of the longer side of a picture that is shown."""


@dataclass(frozen=True, slots=True)
class WorstError:
    """One wrong answer.

    Args:
        position: Of the example in the source, counted from 0.
        cells: Column name and what stands in it, as text.
        pictures: The example's images as data URIs.
        truth: What was to be answered.
        answer: What was answered.
        how: "97% sure", or by how much the number is off.
    """

    position: int | None
    cells: tuple[tuple[str, str], ...]
    pictures: tuple[str, ...]
    truth: str
    answer: str
    how: str


def worst_errors(schema: Schema, examples: pl.DataFrame, predictions: Predictions) -> tuple[WorstError, ...]:
    """Wrong answers by how sure they were, or the numbers that are furthest off, worst first."""
    truth_N = targets_N(schema, examples)
    if schema.task == "regression":
        assert predictions.values_N is not None
        badness_N = np.abs(predictions.values_N - truth_N)
    else:
        assert predictions.probabilities_NC is not None
        badness_N = predictions.probabilities_NC.max(axis=1)
        badness_N = np.where(predictions.indices_N == truth_N, 0.0, badness_N)
    worst = np.argsort(-badness_N, kind="stable")[:AT_MOST]
    return tuple(_error(schema, examples, predictions, truth_N, int(i)) for i in worst if badness_N[i] > 0)


def _error(schema: Schema, examples: pl.DataFrame, predictions: Predictions, truth_N: np.ndarray, i: int) -> WorstError:
    example = examples.row(i, named=True)
    shown = [column for column in schema.inputs if column.kind != "image"][:COLUMNS]
    pictures = [_thumbnail(example[column.name]) for column in schema.inputs if column.kind == "image"]
    if predictions.values_N is not None:
        value = float(predictions.values_N[i])
        truth, answer = number(float(truth_N[i])), number(value)
        how = f"off by {number(value - float(truth_N[i]))}"
    else:
        assert predictions.probabilities_NC is not None
        index = int(predictions.indices_N[i])
        truth, answer = schema.classes[truth_N[i]], schema.classes[index]
        how = f"{predictions.probabilities_NC[i, index]:.0%} sure"
    return WorstError(
        position=example.get(POSITION),
        cells=tuple((column.name, _text(example[column.name])) for column in shown),
        pictures=tuple(picture for picture in pictures if picture),
        truth=truth,
        answer=answer,
        how=how,
    )


def _text(value: object) -> str:
    if value is None:
        return "missing"
    if isinstance(value, float):
        return number(value)
    text = str(value)
    return text if len(text) <= CHARACTERS else text[:CHARACTERS] + " …"


def _thumbnail(encoded: bytes | None) -> str:
    """The picture as a small PNG in a data URI; empty where it cannot be read."""
    from PIL import Image

    if not encoded:
        return ""
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            image.thumbnail((SIDE, SIDE))
            small = image.convert("RGBA" if "A" in image.getbands() else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises on bad files
        return ""
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
