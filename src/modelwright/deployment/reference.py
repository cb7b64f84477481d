"""How the inputs and the answers were spread when the package was made (reference.json): what drift is
measured against. Only counts, shares and quantiles; a value that fewer than `RARE` examples have is not
named, so that no single example can be read out of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from modelwright.data.hidden import asked_bytes
from modelwright.data.parts import targets_N
from modelwright.deployment.signature import RARE
from modelwright.models.predictors import Predictions
from modelwright.records import Column, Schema

QUANTILES = (0.01, 0.05, *(round(step / 10, 1) for step in range(1, 10)), 0.95, 0.99)
CATEGORIES = 100  # the rest are counted together; chosen, not measured
BINS = 20  # of confidence


def sketch(schema: Schema, examples: pl.DataFrame, predictions: Predictions) -> dict[str, Any]:
    """The content of reference.json.

    Args:
        schema: Of the predictor.
        examples: What it was asked, with the output column where calibration is wanted.
        predictions: What it answered.
    """
    return {
        "count": len(examples),
        "columns": {column.name: _column(column, examples[column.name]) for column in schema.inputs},
        "answers": _answers(schema, examples, predictions),
    }


def _column(column: Column, values: pl.Series) -> dict[str, Any]:
    if values.dtype.is_float():
        values = values.fill_nan(None)
    about: dict[str, Any] = {"kind": column.kind, "missing": values.null_count() / max(len(values), 1)}
    values = values.drop_nulls()
    match column.kind:
        case "number":
            return about | _quantiles(values.cast(pl.Float64, strict=False).drop_nulls().to_numpy())
        case "text":
            return about | {"characters": _quantiles(values.str.len_chars().to_numpy())}
        case "image":
            return about | {"bytes": _quantiles(values.bin.size().to_numpy())}
        case "date" if values.dtype.is_temporal():
            return about | {"quantiles": _dates(values)}
        case "identifier":
            return about
        case _:
            return about | _counts(values.cast(pl.String))


def _quantiles(values_N: np.ndarray) -> dict[str, Any]:
    values_N = values_N[np.isfinite(values_N)]
    if not len(values_N):
        return {"quantiles": {}, "mean": None, "deviation": None}
    found = np.quantile(values_N, QUANTILES)
    return {
        "quantiles": {f"{share:g}": float(value) for share, value in zip(QUANTILES, found, strict=True)},
        "mean": float(values_N.mean()),
        "deviation": float(values_N.std()),
    }


def _dates(values: pl.Series) -> dict[str, str]:
    values = values.sort()
    last = len(values) - 1
    return {f"{share:g}": values[round(share * last)].isoformat() for share in QUANTILES} if last >= 0 else {}


def _counts(values: pl.Series) -> dict[str, Any]:
    counts = values.alias("value").value_counts(name="count").sort(["count", "value"], descending=[True, False])
    named = counts.filter(pl.col("count") >= RARE).head(CATEGORIES)
    return {
        "counts": dict(zip(named["value"].to_list(), named["count"].to_list(), strict=True)),
        "others": len(values) - int(named["count"].sum()),
    }


def _answers(schema: Schema, examples: pl.DataFrame, predictions: Predictions) -> dict[str, Any]:
    """What was answered: values, or classes with how sure and how often right (bins of confidence)."""
    if schema.task == "language-modeling":
        sizes_N = asked_bytes(schema, examples).to_numpy()
        return _quantiles(predictions.array[sizes_N > 0] / sizes_N[sizes_N > 0]) | {"of": "bits_per_byte"}
    if predictions.texts_N is not None:
        return _quantiles(np.array([len(text) for text in predictions.texts_N])) | {"of": "characters"}
    if predictions.values_N is not None:
        return _quantiles(predictions.values_N)
    if predictions.spans_N is not None:
        return _spans(schema, predictions)
    assert predictions.probabilities_NC is not None
    if schema.task == "multilabel":
        answered_NC = predictions.answered_NC
        return _several(schema, answered_NC.sum(axis=0), answered_NC.sum(axis=1))
    confidence_N = predictions.probabilities_NC.max(axis=1)
    bin_N = np.minimum((confidence_N * BINS).astype(int), BINS - 1)
    counts_C = np.bincount(predictions.indices_N, minlength=len(schema.classes))
    found: dict[str, Any] = {
        "counts": dict(zip(schema.classes, counts_C.tolist(), strict=True)),
        "confidence": {"bins": BINS, "counts": np.bincount(bin_N, minlength=BINS).tolist()},
    }
    if schema.output in examples.columns and examples[schema.output].null_count() == 0:
        right_N = predictions.indices_N == targets_N(schema, examples)
        found["confidence"]["right"] = np.bincount(bin_N, weights=right_N, minlength=BINS).astype(int).tolist()
        found["confidence"]["sums"] = np.bincount(bin_N, weights=confidence_N, minlength=BINS).tolist()
    return found


def _several(schema: Schema, count_C: np.ndarray, size_N: np.ndarray) -> dict[str, Any]:
    """How often each label was answered, and how many of them at a time."""
    counts = dict(zip(schema.classes, count_C.astype(int).tolist(), strict=True))
    return {"counts": counts, "sizes": np.bincount(size_N.astype(int)).tolist()}


def _spans(schema: Schema, predictions: Predictions) -> dict[str, Any]:
    assert predictions.spans_N is not None
    given = [schema.classes.index(span.label) for spans in predictions.spans_N for span in spans]
    sizes_N = np.array([len(spans) for spans in predictions.spans_N])
    found = _several(schema, np.bincount(given, minlength=len(schema.classes)), sizes_N)
    if predictions.confidences_N is not None:
        shares = np.array([share for each in predictions.confidences_N for share in each])
        bins = np.minimum((shares * BINS).astype(int), BINS - 1)
        found["confidence"] = {"bins": BINS, "counts": np.bincount(bins, minlength=BINS).tolist()}
    return found
