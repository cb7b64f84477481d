"""Reading the parts that may be read freely: train and validation. The sealed part is seal.py's."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from modelwright.errors import IntegrityError
from modelwright.records import Dataset, Schema


def read_part(dataset: Dataset, part: Literal["train", "validation"]) -> pl.DataFrame:
    """The examples of `part`: `__position__`, the input columns and the output column.

    Raises:
        IntegrityError: the file is gone or is not Parquet.
    """
    path = Path(dataset.path) / f"{part}.parquet"
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise IntegrityError(f"{path}: {error}; run `modelwright prepare --force` to make it again") from error


def targets_N(schema: Schema, examples: pl.DataFrame) -> np.ndarray:
    """What is to be predicted, one per example: class indices (int64) or values (float64)."""
    column = examples[schema.output]
    if schema.task == "regression":
        return column.cast(pl.Float64).to_numpy()
    index = {name: position for position, name in enumerate(schema.classes)}
    return np.fromiter((index[name] for name in column.to_list()), dtype=np.int64, count=len(column))
