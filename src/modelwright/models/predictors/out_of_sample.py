"""Answers to examples that a predictor was not fitted on, kept beside it for comparison in pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from modelwright.data.parts import objects
from modelwright.models.predictors import Predictions
from modelwright.records import POSITION, Span

FILE = "out_of_sample.parquet"
_VALUE, _SPANS, _TEXT = "value", "spans", "text"
_PROBABILITY, _WEIGHT, _THRESHOLD = "p_", "weight_", "threshold_"
SPANS = pl.List(pl.Struct({"start": pl.Int64, "end": pl.Int64, "label": pl.String}))
"""How spans lie in a column."""


def as_frame(predictions: Predictions) -> pl.DataFrame:
    """`predictions` as columns that `from_frame` reads back; of classes, probabilities and how one is decided on."""
    if predictions.values_N is not None:
        return pl.DataFrame({_VALUE: predictions.values_N})
    if predictions.texts_N is not None:
        return pl.DataFrame({_TEXT: pl.Series(predictions.texts_N.tolist(), dtype=pl.String)})
    if predictions.spans_N is not None:
        spans = [[span._asdict() for span in spans] for spans in predictions.spans_N]
        return pl.DataFrame({_SPANS: pl.Series(spans, dtype=SPANS)})
    assert predictions.probabilities_NC is not None
    frame = pl.DataFrame({f"{_PROBABILITY}{c}": column for c, column in enumerate(predictions.probabilities_NC.T)})
    for prefix, decides_C in ((_WEIGHT, predictions.weights_C), (_THRESHOLD, predictions.thresholds_C)):
        each = () if decides_C is None else decides_C.tolist()
        frame = frame.with_columns(pl.lit(value).alias(f"{prefix}{c}") for c, value in enumerate(each))
    return frame


def from_frame(frame: pl.DataFrame) -> Predictions:
    """The predictions that `as_frame` made `frame` of."""
    if frame.columns == [_VALUE]:
        return Predictions(values_N=frame[_VALUE].to_numpy())
    if frame.columns == [_TEXT]:
        return Predictions(texts_N=objects(frame[_TEXT].to_list()))
    if frame.columns == [_SPANS]:
        return Predictions(spans_N=objects(tuple(Span(**each) for each in spans) for spans in frame[_SPANS].to_list()))
    weights_C, thresholds_C = (_decides_C(frame, prefix) for prefix in (_WEIGHT, _THRESHOLD))
    probabilities_NC = frame.select(name for name in frame.columns if name.startswith(_PROBABILITY)).to_numpy()
    return Predictions(probabilities_NC, weights_C=weights_C, thresholds_C=thresholds_C)


def _decides_C(frame: pl.DataFrame, prefix: str) -> np.ndarray | None:
    found = frame.select(name for name in frame.columns if name.startswith(prefix))
    return np.array(found.row(0)) if found.columns and len(frame) else None


def save_out_of_sample(folder: Path, positions_N: np.ndarray, predictions: Predictions) -> None:
    """Write `predictions` for the examples at `positions_N` of the source into `folder`."""
    as_frame(predictions).with_columns(pl.Series(POSITION, positions_N)).write_parquet(folder / FILE)


def load_out_of_sample(folder: Path) -> tuple[np.ndarray, Predictions]:
    """The positions (N,) and predictions that `save_out_of_sample` wrote into `folder`."""
    found = pl.read_parquet(folder / FILE)
    return found[POSITION].to_numpy(), from_frame(found.drop(POSITION))
