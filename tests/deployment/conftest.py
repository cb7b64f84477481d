"""Packages of the fake predictor, one for each kind of input, made once."""

from __future__ import annotations

import datetime
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelwright.deployment.load import Loaded, load_package
from modelwright.deployment.package import package
from modelwright.models.fitting.ngram import fit_ngram
from modelwright.models.predictors import Predictor
from modelwright.models.predictors.fake import Fake
from modelwright.records import Column, Package, Schema

COUNT = 120
EXCLUDED = {"customer_id": "it is an identifier"}
LINEAGE: dict[str, object] = {
    "problem": {"name": "demo", "statement": "Say whether the customer stays.", "goal": 0.8},
    "dataset": "d" * 16,
    "report": {
        "id": "e" * 16,
        "metric": "macro_f1",
        "split": "test",
        "count": 300,
        "metrics": {"macro_f1": {"value": 0.9, "low": 0.85, "high": 0.94}},
        "meets": {"goal": True},
    },
}


@dataclass(frozen=True)
class Case:
    """What one package is made from."""

    predictor: Predictor
    examples: pl.DataFrame


@pytest.fixture(scope="session")
def table() -> Case:
    start = datetime.date(2024, 1, 1)
    examples = pl.DataFrame(
        {
            "__position__": range(COUNT),
            "age": [18 + i % 60 for i in range(COUNT)],
            "income": [None if i % 7 == 0 else i * 1.5 for i in range(COUNT)],
            "city": [("Bern", "Basel", "Chur", None)[i % 4] if i else "Genf" for i in range(COUNT)],
            "member": [i % 3 == 0 for i in range(COUNT)],
            "since": [start + datetime.timedelta(days=i) for i in range(COUNT)],
            "stays": [("no", "yes")[i % 5 == 0] for i in range(COUNT)],
        }
    )
    kinds = {"age": "number", "income": "number", "city": "category", "member": "boolean", "since": "date"}
    columns = tuple(Column(name, kind) for name, kind in kinds.items())  # type: ignore[arg-type]
    schema = Schema("classification", "table", columns, "stays", ("no", "yes"), "yes")
    return Case(Fake(schema), examples)


@pytest.fixture(scope="session")
def text() -> Case:
    classes = tuple(f"intent {i:02d}" for i in range(30))
    examples = pl.DataFrame(
        {
            "message": [f"message number {i} — ünïcode 😀" for i in range(COUNT)],
            "intent": [classes[i % 30] for i in range(COUNT)],
        }
    )
    return Case(Fake(Schema("classification", "text", (Column("message", "text"),), "intent", classes)), examples)


@pytest.fixture(scope="session")
def image() -> Case:
    examples = pl.DataFrame({"photo": [png(i) for i in range(20)], "label": [("cat", "dog")[i % 2] for i in range(20)]})
    schema = Schema("classification", "image", (Column("photo", "image"),), "label", ("cat", "dog"))
    return Case(Fake(schema), examples)


@pytest.fixture(scope="session")
def price() -> Case:
    generator = np.random.default_rng(0)
    examples = pl.DataFrame({"rooms": generator.uniform(1, 9, COUNT), "price": generator.uniform(1, 5, COUNT)})
    return Case(Fake(Schema("regression", "table", (Column("rooms", "number"),), "price")), examples)


@pytest.fixture(scope="session")
def written() -> Case:
    asked = [f"what comes after number {i}?" for i in range(COUNT)]
    examples = pl.DataFrame({"ask": asked, "say": [f"number {i + 1}" for i in range(COUNT)]})
    return Case(Fake(Schema("generation", "text", (Column("ask", "text"),), "say")), examples)


@pytest.fixture(scope="session")
def modelled() -> Case:
    texts = [f"the {('red', 'blue', 'old')[i % 3]} house – number {i}" for i in range(COUNT)]
    examples = pl.DataFrame({"line": texts, "bytes": [float(len(text.encode())) for text in texts]})
    schema = Schema("language-modeling", "text", (Column("line", "text"),), "bytes")
    return Case(fit_ngram(schema, examples, seed=0, order=5), examples)


def png(shade: int, side: int = 8) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (side, side), (shade % 256, 0, 9)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def make() -> Callable[..., Package]:
    def made(case: Case, to: Path, name: str = "demo") -> Package:
        return package(
            case.predictor,
            name=name,
            to=to,
            examples=case.examples,
            lineage=LINEAGE,
            seed=0,
            excluded=EXCLUDED,
        )

    return made


@pytest.fixture(scope="session")
def loaded(
    request: pytest.FixtureRequest, make: Callable[..., Package], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Loaded]:
    """The loaded package of a kind, by the name of its fixture; made once."""
    known: dict[str, Loaded] = {}

    def of(kind: str) -> Loaded:
        if kind not in known:
            folder = tmp_path_factory.mktemp(kind)
            known[kind] = load_package(make(request.getfixturevalue(kind), folder).path)
        return known[kind]

    return of
