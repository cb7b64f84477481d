"""Reading the parts that may be read freely: train and validation. The sealed part is seal.py's."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from modelwright.disk import file_sha256
from modelwright.errors import IntegrityError
from modelwright.records import Dataset, Schema, Span

OpenPart = Literal["train", "validation"]
OPEN: tuple[OpenPart, ...] = ("train", "validation")
_AGAIN = "run `modelwright prepare --force` to make it again"


def part_file(folder: Path | str, part: OpenPart) -> Path:
    """Where in a dataset's folder the examples of `part` are."""
    return Path(folder) / f"{part}.parquet"


def read_part(dataset: Dataset, part: OpenPart, *, columns: list[str] | None = None) -> pl.DataFrame:
    """The examples of `part`: `__position__`, the input columns and the output column, or `columns` alone.

    Raises:
        IntegrityError: the file is gone or is not Parquet.
    """
    path = part_file(dataset.path, part)
    try:
        return pl.read_parquet(path, columns=columns)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise IntegrityError(f"{path}: {error}; {_AGAIN}") from error


def part_sha256(dataset: Dataset, part: OpenPart) -> str:
    """The SHA-256 of the file of `part`, which is the one that `prepare` wrote, as far as that was kept.

    Raises:
        IntegrityError: the file is gone or was altered.
    """
    path = part_file(dataset.path, part)
    try:
        found = file_sha256(path)
    except OSError as error:
        raise IntegrityError(f"{path}: {error}; {_AGAIN}") from error
    if dataset.parts_sha256.get(part, found) != found:
        raise IntegrityError(f"{path}: altered since `modelwright prepare` wrote it; {_AGAIN}")
    return found


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
