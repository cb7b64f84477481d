"""Where the predictor is weaker or stronger than on the whole.

Slices are read off the inputs: each category, quarters of every number and date, short and long texts,
missing values. So many are asked that some look odd by chance; only those stay whose difference survives
Holm's correction over all of them (Holm 1979, "A simple sequentially rejective multiple test procedure").
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import polars as pl

from modelwright.evaluation import metrics
from modelwright.evaluation.compare import LEVEL
from modelwright.evaluation.intervals import Z, interval
from modelwright.evaluation.words import number
from modelwright.models.predictors import Predictions
from modelwright.records import Column, Interval, Schema, SliceFigures

AT_LEAST = 30
"""Examples of a slice: under this, the interval says next to nothing. Chosen, not measured."""

AT_MOST = 10
"""Slices that a reader is shown."""

CATEGORIES = 20
"""Values of one column that are looked at, the most frequent first."""

RESAMPLES = 300
"""Of a slice's interval; only its width is used for the choice."""

_COMPARABLE = {
    "macro_f1": "accuracy",
    "macro_precision": "accuracy",
    "macro_recall": "accuracy",
    "weighted_f1": "accuracy",
    "balanced_accuracy": "accuracy",
    "matthews": "accuracy",
    "calibration_error": "log_loss",
    "r2": "mae",
}
"""Metrics that move with the mix of classes or the spread of a slice -> what slices are compared by."""

_OF_SETS = {
    "macro_f1": "micro_f1",
    "macro_precision": "micro_precision",
    "macro_recall": "micro_recall",
    "weighted_f1": "micro_f1",
    "mean_average_precision": "micro_f1",
}
"""The same where an answer is several labels or spans."""


def slice_metric(metric: str, schema: Schema) -> str:
    """The metric that slices are judged by where the report is about `metric`."""
    table = _OF_SETS if schema.task in ("multilabel", "tagging") else _COMPARABLE
    return table.get(metric, metric)


def slice_figures(
    metric: str, schema: Schema, examples: pl.DataFrame, truth_N: np.ndarray, predictions: Predictions
) -> tuple[SliceFigures, ...]:
    """The slices that differ from the whole by more than chance, worst first, ten at most.

    The score is that of `slice_metric`. A slice is compared with the whole that it is part of: the variance
    of that difference is the slice's own times the share of the examples outside.
    """
    asked = slice_metric(metric, schema)
    whole = metrics.score(asked, schema, truth_N, predictions)
    found: list[tuple[float, SliceFigures]] = []
    for name, inside_N in _slices(schema, examples):
        size = int(inside_N.sum())
        if size < AT_LEAST or size == len(truth_N):
            continue
        part = predictions.take(inside_N)
        score = interval(asked, schema, truth_N[inside_N], part, resamples=RESAMPLES)
        p = _p(score, whole, 1 - size / len(truth_N))
        if p is not None:
            found.append((p, SliceFigures(name, size, score)))
    kept = _holm(found)
    worst_first = sorted(kept, key=lambda each: each.score.value, reverse=_errors(asked))
    return tuple(worst_first[:AT_MOST])


def _errors(metric: str) -> bool:
    return not metrics.find(metric).higher_is_better


def _p(score: Interval, whole: float, outside: float) -> float | None:
    if score.low is None or score.high is None or not math.isfinite(score.value + whole):
        return None
    error = (score.high - score.low) / (2 * Z) * math.sqrt(outside)
    if error <= 0:
        return None
    return math.erfc(abs(score.value - whole) / error / math.sqrt(2))


def _holm(found: list[tuple[float, SliceFigures]]) -> list[SliceFigures]:
    kept = []
    for rank, (p, figures) in enumerate(sorted(found, key=lambda each: (each[0], each[1].name))):
        if p > LEVEL / (len(found) - rank):
            break
        kept.append(figures)
    return kept


def _slices(schema: Schema, examples: pl.DataFrame) -> Iterator[tuple[str, np.ndarray]]:
    """Name and members of every slice."""
    for column in schema.inputs:
        if column.name not in examples.columns:
            continue
        values = examples[column.name]
        missing_N = values.is_null().to_numpy()
        if missing_N.any():
            yield f"{column.name} is missing", missing_N
        yield from _of_column(column, values)


def _of_column(column: Column, values: pl.Series) -> Iterator[tuple[str, np.ndarray]]:
    if column.kind in ("category", "boolean"):
        frequent = values.drop_nulls().value_counts(sort=True).head(CATEGORIES)[column.name]
        for value in frequent.sort().to_list():
            yield f"{column.name} = {value}", (values == value).fill_null(False).to_numpy()
    elif column.kind == "text" and values.dtype == pl.String:
        lengths = values.str.len_chars().cast(pl.Float64)
        yield from _quarters(f"characters of {column.name}", lengths)
    elif column.kind == "number" and values.dtype.is_numeric():
        yield from _quarters(column.name, values.cast(pl.Float64))
    elif column.kind == "date" and values.dtype.is_temporal():
        yield from _quarters(column.name, values.to_physical().cast(pl.Float64), values)


def _quarters(name: str, values: pl.Series, shown: pl.Series | None = None) -> Iterator[tuple[str, np.ndarray]]:
    """The four quarters of the values, fewer where many are alike."""
    value_N = values.to_numpy()
    finite_N = np.isfinite(value_N)
    if not finite_N.any():
        return
    edges = np.unique(np.quantile(value_N[finite_N], [0.25, 0.5, 0.75], method="higher"))
    quarter_N = np.where(finite_N, np.searchsorted(edges, value_N, side="left"), -1)
    for quarter in range(len(edges) + 1):
        inside_N = quarter_N == quarter
        if inside_N.any():
            ends = [int(np.flatnonzero(inside_N)[pick(value_N[inside_N])]) for pick in (np.argmin, np.argmax)]
            low, high = (str(shown[end]) if shown is not None else number(value_N[end]) for end in ends)
            yield (f"{name} {low} to {high}" if low != high else f"{name} = {low}"), inside_N
