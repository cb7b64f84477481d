"""Datasets on disk that a ladder climbs in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelwright.records import POSITION, Column, Dataset, Schema, Seal

COLUMNS = (Column("size", "number"), Column("colour", "category"))


def _examples(count: int, noise: float) -> pl.DataFrame:
    generator = np.random.default_rng(0)
    size, colour = generator.normal(size=count), generator.choice(["red", "green"], size=count)
    value = 3 * size + 4 * (colour == "red") + noise * generator.normal(size=count)
    columns = {"size": size, "colour": colour, "value": value, "big": np.where(value > 2, "yes", "no")}
    return pl.DataFrame(columns).with_row_index(POSITION).with_columns(pl.col(POSITION).cast(pl.Int64))


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Dataset]:
    """Makes a Dataset of a table, its parts on disk."""

    def make(
        task: str = "classification",
        *,
        count: int = 160,
        noise: float = 0.5,
        split: str = "80/20, stratified by big, seed 0",
        ceiling: float | None = None,
    ) -> Dataset:
        examples, cut = _examples(count, noise), count * 3 // 4
        path = tmp_path / "data"
        path.mkdir()
        examples[:cut].write_parquet(path / "train.parquet")
        examples[cut:].write_parquet(path / "validation.parquet")
        schema = Schema("classification", "table", COLUMNS, "big", ("no", "yes"), "yes")
        if task == "regression":
            schema = Schema("regression", "table", COLUMNS, "value")
        parts = {"train": cut, "validation": count - cut, "test": 0}
        seal = Seal(0, 0, 20)
        return Dataset(
            "toy", str(path), schema, parts, schema.classes, {}, (), seal, "", "", split, 0.0, label_ceiling=ceiling
        )

    return make
