"""Reading the parts that may be read freely: train and validation. The sealed part is seal.py's."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from modelwright.errors import IntegrityError
from modelwright.records import Dataset, Schema, Span


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


def objects(values: Iterable[Any]) -> np.ndarray:
    """`values` as an array of objects, (N,): spans or strings, which numpy would otherwise take apart."""
    return np.fromiter(values, dtype=object)


def targets_N(schema: Schema, examples: pl.DataFrame) -> np.ndarray:
    """What is to be predicted, one per example along the first axis.

    Classification: class indices, int64 (N,). Regression and language modeling: float64 (N,). Multilabel: whether
    each class fits, bool (N, C). Tagging: tuples of `Span`, and generation: strings, both dtype object (N,).
    """
    column = examples[schema.output]
    if schema.task in ("regression", "language-modeling"):
        return column.cast(pl.Float64).to_numpy()
    if schema.task == "generation":
        return objects(column.cast(pl.String).to_list())
    if schema.task == "tagging":
        return objects(tuple(Span(each["start"], each["end"], each["label"]) for each in one) for one in column)
    index = {name: position for position, name in enumerate(schema.classes)}
    if schema.task == "multilabel":
        fits_NC = np.zeros((len(column), len(schema.classes)), dtype=bool)
        for position, names in enumerate(column.to_list()):
            fits_NC[position, [index[name] for name in names]] = True
        return fits_NC
    return np.fromiter((index[name] for name in column.to_list()), dtype=np.int64, count=len(column))
