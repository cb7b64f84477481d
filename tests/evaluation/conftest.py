from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelwright.data.parts import objects
from modelwright.data.seal import close_seal
from modelwright.models.predictors import Predictions
from modelwright.records import POSITION, Column, Dataset, Finding, Schema, Span


def spans_drawn(generator: np.random.Generator, schema: Schema) -> tuple[Span, ...]:
    """Up to three spans, each in one of four places."""
    starts = sorted(generator.choice(4, generator.integers(0, 4), replace=False).tolist())
    return tuple(Span(5 * start, 5 * start + 3, str(generator.choice(schema.classes))) for start in starts)


@pytest.fixture
def two() -> Schema:
    return Schema("classification", "table", (Column("x", "number"),), "y", ("no", "yes"), "yes")


@pytest.fixture
def three() -> Schema:
    return Schema("classification", "table", (Column("x", "number"),), "y", ("a", "b", "c"))


@pytest.fixture
def numbers() -> Schema:
    return Schema("regression", "table", (Column("x", "number"),), "y")


@pytest.fixture
def labels() -> Schema:
    return Schema("multilabel", "table", (Column("x", "number"),), "y", ("a", "b", "c"))


@pytest.fixture
def spans() -> Schema:
    return Schema("tagging", "text", (Column("x", "text"),), "y", ("name", "place"))


@pytest.fixture
def drawn() -> Callable[..., tuple[np.ndarray, Predictions]]:
    """Random truth and answers that are right more often than not."""

    def draw(schema: Schema, count: int, *, seed: int = 0, strength: float = 2.0) -> tuple[np.ndarray, Predictions]:
        generator = np.random.default_rng(seed)
        if schema.task == "regression":
            truth_N = generator.normal(3, 2, count)
            return truth_N, Predictions(values_N=truth_N + generator.normal(0, 2 / strength, count))
        size = len(schema.classes)
        if schema.task == "multilabel":
            truth_NC = generator.random((count, size)) < [0.5, 0.2, 0.1]
            odds_NC = np.exp(generator.normal(size=(count, size)) + strength * (truth_NC - 0.5))
            return truth_NC, Predictions(probabilities_NC=odds_NC / (1 + odds_NC))
        if schema.task == "tagging":
            sheets = [[spans_drawn(generator, schema) for _ in range(count)] for _ in range(2)]
            right_N = generator.random(count) < strength / 4
            answers = [own if right else other for own, other, right in zip(*sheets, right_N, strict=True)]
            return objects(sheets[0]), Predictions(spans_N=objects(answers))
        truth_N = generator.choice(size, count, p=np.arange(1, size + 1) / (size * (size + 1) / 2))
        logits_NC = generator.normal(size=(count, size))
        logits_NC[np.arange(count), truth_N] += strength
        odds_NC = np.exp(logits_NC)
        return truth_N, Predictions(probabilities_NC=odds_NC / odds_NC.sum(axis=1, keepdims=True))

    return draw


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Dataset]:
    """A dataset on disk with the three parts of `examples`, the last one sealed."""

    def make(schema: Schema, examples: pl.DataFrame, *, looks: int = 20) -> Dataset:
        folder = tmp_path / "dataset"
        folder.mkdir()
        examples = examples.with_row_index(POSITION)
        first, second = int(0.6 * examples.height), int(0.8 * examples.height)
        examples[:first].write_parquet(folder / "train.parquet")
        examples[first:second].write_parquet(folder / "validation.parquet")
        seal = close_seal(folder, examples[second:], looks=looks)
        return Dataset(
            id="0123456789abcdef",
            path=str(folder),
            schema=schema,
            parts={"train": first, "validation": second - first, "test": examples.height - second},
            classes=schema.classes,
            dropped={"exact_duplicate": 3},
            findings=(Finding("label_error", "warning", 2, ("7",), "have <b>them</b> checked"),),
            seal=seal,
            source="data.csv",
            source_sha256="ab" * 32,
            split="random, 60/20/20",
            seconds=0.1,
            excluded={"id": "every value occurs once"},
        )

    return make
