"""A table with a column of every kind, whose output can be learned."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest

from modelwright.records import Column, Schema

COLUMNS = (
    Column("age", "number"),
    Column("visits", "number"),
    Column("city", "category"),
    Column("member", "boolean"),
    Column("since", "date"),
    Column("note", "text"),
)


@dataclass(frozen=True)
class Toy:
    schema: Schema
    train: pl.DataFrame
    other: pl.DataFrame

    @property
    def values(self) -> Schema:
        """The same table as a regression."""
        return replace(self.schema, task="regression", output="bill", classes=(), positive=None)


@pytest.fixture(scope="session")
def toy() -> Toy:
    generator, count = np.random.default_rng(1), 240
    city = generator.choice(["Rome", "Oslo", "Lima", ""], count)
    visits = generator.integers(0, 9, count)
    bill = 10.0 * visits + 20 * (city == "Oslo")
    days = generator.integers(0, 900, count).astype("timedelta64[D]")
    examples = pl.DataFrame(
        {
            "age": pl.Series(generator.normal(40, 10, count)).set(pl.Series(generator.random(count) < 0.1), None),
            "visits": visits,
            "city": pl.Series(city).set(pl.Series(city == ""), None),
            "member": generator.random(count) < 0.5,
            "since": pl.Series(np.datetime64("2020-01-01") + days).cast(pl.Date),
            "note": generator.choice(["good as ever", "a bad day", "nothing was said"], count),
            "bill": bill,
            "churn": np.where(bill > 45, "yes", "no"),
        }
    )
    schema = Schema("classification", "table", COLUMNS, "churn", ("no", "yes"), "yes")
    return Toy(schema, examples[:180], examples[180:])
