"""A dataset of texts that the tiny encoder can learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelwright.problem import Problem, parse
from modelwright.records import POSITION, Column, Dataset, Schema, Seal

WORDS = ["card", "cash", "lost", "rate", "fee", "top", "up", "late", "help", "please", "my", "the"]
"""Words that the tiny encoder knows."""


def texts(count: int, seed: int) -> pl.DataFrame:
    """Texts of 3 to 12 words; the class is said by which of three words stands in them."""
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        label = int(generator.integers(3))
        words = list(generator.choice(WORDS[3:], size=int(generator.integers(2, 12))))
        words.insert(int(generator.integers(len(words))), WORDS[label])
        rows.append({"text": " ".join(words), "label": f"class {label}"})
    return pl.DataFrame(rows)


@pytest.fixture
def text_dataset(tmp_path: Path) -> Dataset:
    folder = tmp_path / "dataset"
    folder.mkdir()
    frame = texts(240, seed=1).with_row_index(POSITION).with_columns(pl.col(POSITION).cast(pl.Int64))
    frame[:180].write_parquet(folder / "train.parquet")
    frame[180:].write_parquet(folder / "validation.parquet")
    classes = ("class 0", "class 1", "class 2")
    schema = Schema("classification", "text", (Column("text", "text"),), "label", classes)
    return Dataset(
        id="d",
        path=str(folder),
        schema=schema,
        parts={"train": 180, "validation": 60, "test": 0},
        classes=classes,
        dropped={},
        findings=(),
        seal=Seal(0, 0, 20),
        source="",
        source_sha256="",
        split="",
        seconds=0.0,
    )


@pytest.fixture
def problem(tiny_encoder: Path) -> Problem:
    found, _ = parse(
        {
            "name": "tiny",
            "output": "label",
            "data": {"source": "none"},
            "model": {"base": str(tiny_encoder)},
            "training": {"epochs": 3, "learning_rate": 1e-3, "batch_size": 16, "precision": "fp32"},
        }
    )
    return found
