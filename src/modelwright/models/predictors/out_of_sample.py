"""Answers to examples that a predictor was not fitted on, kept beside it for comparison in pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from modelwright.models.predictors import Predictions
from modelwright.records import POSITION

FILE = "out_of_sample.parquet"
_VALUE, _PROBABILITY, _WEIGHT = "value", "p_", "weight_"


def as_frame(predictions: Predictions) -> pl.DataFrame:
    """`predictions` as columns that `from_frame` reads back: values, or probabilities and weights by class."""
    if predictions.values_N is not None:
        return pl.DataFrame({_VALUE: predictions.values_N})
    assert predictions.probabilities_NC is not None
    frame = pl.DataFrame({f"{_PROBABILITY}{c}": column for c, column in enumerate(predictions.probabilities_NC.T)})
    weights_C = () if predictions.weights_C is None else predictions.weights_C.tolist()
    return frame.with_columns(pl.lit(weight).alias(f"{_WEIGHT}{c}") for c, weight in enumerate(weights_C))


def from_frame(frame: pl.DataFrame) -> Predictions:
    """The predictions that `as_frame` made `frame` of."""
    if frame.columns == [_VALUE]:
        return Predictions(values_N=frame[_VALUE].to_numpy())
    weights = frame.select(name for name in frame.columns if name.startswith(_WEIGHT))
    probabilities_NC = frame.drop(weights.columns).to_numpy()
    return Predictions(probabilities_NC, weights_C=np.array(weights.row(0)) if weights.columns and len(frame) else None)


def save_out_of_sample(folder: Path, positions_N: np.ndarray, predictions: Predictions) -> None:
    """Write `predictions` for the examples at `positions_N` of the source into `folder`."""
    as_frame(predictions).with_columns(pl.Series(POSITION, positions_N)).write_parquet(folder / FILE)


def load_out_of_sample(folder: Path) -> tuple[np.ndarray, Predictions]:
    """The positions (N,) and predictions that `save_out_of_sample` wrote into `folder`."""
    found = pl.read_parquet(folder / FILE)
    return found[POSITION].to_numpy(), from_frame(found.drop(POSITION))
