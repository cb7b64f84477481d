"""Answers to examples that a predictor was not fitted on, kept beside it for comparison in pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from modelwright.models.predictors import Predictions
from modelwright.records import POSITION

FILE = "out_of_sample.parquet"


def save_out_of_sample(folder: Path, positions_N: np.ndarray, predictions: Predictions) -> None:
    """Write `predictions` for the examples at `positions_N` of the source into `folder`."""
    columns: dict[str, np.ndarray] = {POSITION: positions_N}
    if predictions.values_N is not None:
        columns["value"] = predictions.values_N
    else:
        assert predictions.probabilities_NC is not None
        columns |= {f"p_{k}": column for k, column in enumerate(predictions.probabilities_NC.T)}
    pl.DataFrame(columns).write_parquet(folder / FILE)


def load_out_of_sample(folder: Path) -> tuple[np.ndarray, Predictions]:
    """The positions (N,) and predictions that `save_out_of_sample` wrote into `folder`."""
    found = pl.read_parquet(folder / FILE)
    positions_N = found[POSITION].to_numpy()
    answers = found.drop(POSITION)
    if answers.columns == ["value"]:
        return positions_N, Predictions(values_N=answers["value"].to_numpy())
    return positions_N, Predictions(probabilities_NC=answers.to_numpy())


def joined(parts: Sequence[Predictions]) -> Predictions:
    """The answers of all parts, one after the other."""
    values = [part.values_N for part in parts if part.values_N is not None]
    if values:
        return Predictions(values_N=np.concatenate(values))
    tables = [part.probabilities_NC for part in parts if part.probabilities_NC is not None]
    return Predictions(probabilities_NC=np.concatenate(tables))
