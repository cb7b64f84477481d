"""The answers that went most wrong, with their examples. Only ever called with validation examples."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from modelwright.data.parts import targets_N
from modelwright.data.upright import upright
from modelwright.evaluation.metrics import each_N, find
from modelwright.evaluation.report.marked import Piece, marked
from modelwright.evaluation.words import figure, number
from modelwright.models.predictors import Predictions
from modelwright.records import LANGUAGE_TASKS, POSITION, Schema

AT_MOST = 12
"""Errors that a reader is shown."""

CHARACTERS = 280
"""Of a text that is shown; a cut text says so."""

COLUMNS = 8
"""Columns of a table that are shown."""

LEAST_BYTES = 20
"""Bytes of a text without which it is not shown among those that surprise most. Chosen."""

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
        written: Whether truth and answer are texts, and need room.
        pieces: Of spans: the text with what is true and what was answered.
    """

    position: int | None
    cells: tuple[tuple[str, str], ...]
    pictures: tuple[str, ...]
    truth: str
    answer: str
    how: str
    written: bool = False
    pieces: tuple[Piece, ...] = ()


def worst_errors(
    schema: Schema, examples: pl.DataFrame, predictions: Predictions, metric: str
) -> tuple[WorstError, ...]:
    """Wrong answers by how sure they were, numbers and texts by how far they are off, worst first.

    Args:
        schema: Of the predictor.
        examples: Of validation.
        predictions: To them.
        metric: What written answers are ranked by.
    """
    truth_N = targets_N(schema, examples)
    if schema.task in LANGUAGE_TASKS:
        return _worst_texts(schema, examples, truth_N, predictions, metric)
    badness_N = _badness_N(schema, truth_N, predictions)
    worst = np.argsort(-badness_N, kind="stable")[:AT_MOST]
    return tuple(_error(schema, examples, predictions, truth_N, int(i)) for i in worst if badness_N[i] > 0)


def _worst_texts(
    schema: Schema, examples: pl.DataFrame, truth_N: np.ndarray, predictions: Predictions, metric: str
) -> tuple[WorstError, ...]:
    found = find(metric)
    figure_N = each_N(found, schema, truth_N, predictions)
    badness_N = found.perfect - figure_N if found.higher_is_better else figure_N
    if schema.task == "language-modeling" and (truth_N >= LEAST_BYTES).any():  # a short text is all beginning and end
        badness_N = np.where(truth_N >= LEAST_BYTES, badness_N, 0.0)
    worst = np.argsort(-badness_N, kind="stable")[:AT_MOST]
    return tuple(
        _written(schema, examples.row(int(i), named=True), truth_N[i], predictions.array[i], metric, figure_N[i])
        for i in worst
        if badness_N[i] > 0
    )


def _written(schema: Schema, example: dict[str, Any], truth: Any, answer: Any, metric: str, value: float) -> WorstError:
    cells = tuple((name, _text(example[name])) for name in schema.names)
    how = f"{metric} {figure(metric, value)}"
    if schema.task == "language-modeling":
        how = f"{value:.2f} bits per byte: {answer:,.0f} bits for {truth:,.0f} bytes"
        return WorstError(example.get(POSITION), cells, (), "", "", how, written=True)
    return WorstError(example.get(POSITION), cells, (), _text(truth), _text(answer) or "nothing", how, written=True)


def _badness_N(schema: Schema, truth_N: np.ndarray, predictions: Predictions) -> np.ndarray:
    """How wrong each answer is; 0 where it is right."""
    if schema.task == "regression":
        return np.asarray(np.abs(predictions.array - truth_N))
    if schema.task == "classification":
        assert predictions.probabilities_NC is not None
        sure_N = predictions.probabilities_NC.max(axis=1)
        return np.where(predictions.indices_N == truth_N, 0.0, sure_N)
    if schema.task == "multilabel":
        assert predictions.probabilities_NC is not None
        wrong_NC = truth_N != predictions.answered_NC
        off_NC = np.abs(truth_N - predictions.probabilities_NC)  # of two with as many mistakes the surer is worse
        return np.asarray((wrong_NC + 0.01 * off_NC * wrong_NC).sum(axis=1))
    assert predictions.spans_N is not None
    pairs = zip(truth_N, predictions.spans_N, strict=True)
    return np.array([float(len(set(truth) ^ set(found))) for truth, found in pairs])


def _sets(schema: Schema, truth_C: np.ndarray, answer_C: np.ndarray) -> tuple[str, str, str]:
    """The true and the answered labels, and how many are missed and too many."""
    said = [", ".join(schema.classes[c] for c in np.flatnonzero(each)) or "nothing" for each in (truth_C, answer_C)]
    return said[0], said[1], _missed(int((truth_C & ~answer_C).sum()), int((answer_C & ~truth_C).sum()))


def _missed(missed: int, wrong: int) -> str:
    counts = [f"{missed} missed"] if missed else []
    return ", ".join([*counts, *([f"{wrong} too many"] if wrong else [])])


def _error(schema: Schema, examples: pl.DataFrame, predictions: Predictions, truth_N: np.ndarray, i: int) -> WorstError:
    example = examples.row(i, named=True)
    shown = [column for column in schema.inputs if column.kind != "image"][:COLUMNS]
    pictures = [_thumbnail(example[column.name]) for column in schema.inputs if column.kind == "image"]
    pieces: tuple[Piece, ...] = ()
    if schema.task == "multilabel":
        truth, answer, how = _sets(schema, truth_N[i], predictions.answered_NC[i])
    elif predictions.spans_N is not None:
        true, found = truth_N[i], predictions.spans_N[i]
        truth, answer = (", ".join(dict.fromkeys(span.label for span in each)) or "nothing" for each in (true, found))
        how = _missed(len(set(true) - set(found)), len(set(found) - set(true)))
        pieces, shown = marked(example[schema.names[0]], true, found), []
    elif predictions.values_N is not None:
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
        pieces=pieces,
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
            image.draft(None, (2 * SIDE, 2 * SIDE))
            small = upright(image)
            small.thumbnail((SIDE, SIDE))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises on bad files
        return ""
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
