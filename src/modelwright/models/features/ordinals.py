"""Columns as trees want them: numbers as they are, categories as codes, texts as topics.

Dimensions: N examples, P columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from modelwright.models.features.categories import Categories, fit_categories
from modelwright.models.features.design import of_kind
from modelwright.models.features.numbers import raw_names, raw_NP
from modelwright.models.features.stored import State
from modelwright.models.features.text import Topics, fit_topics
from modelwright.records import Schema

TOPICS = 32
"""Components of each text column: latent semantic analysis gains little beyond (Deerwester et al. 1990 use
100 for retrieval; trees want fewer, denser columns). Chosen, not measured."""
MAX_VALUES = 500
"""Values of one category that are told apart: LightGBM sorts them all at each split."""


@dataclass(frozen=True, slots=True)
class Ordinals:
    """Numbers, parts of dates, codes of categories and topics of texts, side by side."""

    numbers: tuple[str, ...]
    dates: tuple[str, ...]
    categories: Categories
    topics: tuple[Topics, ...]

    @property
    def names(self) -> list[str]:
        """What each column of `transform` is, in words."""
        spoken = [
            f"topic {place + 1} of {' and '.join(topics.text.columns)}"
            for topics in self.topics
            for place in range(topics.components_FK.shape[1])
        ]
        return [*raw_names(self.numbers, self.dates), *self.categories.columns, *spoken]

    @property
    def coded(self) -> list[int]:
        """Which columns of `transform` hold codes of categories."""
        first = len(raw_names(self.numbers, self.dates))
        return list(range(first, first + len(self.categories.columns)))

    def transform(self, examples: pl.DataFrame) -> np.ndarray:
        """float64 (N, P); NaN where missing or a category that training did not see."""
        codes_NP = self.categories.codes_NP(examples).astype(np.float64)
        codes_NP[codes_NP < 0] = np.nan
        blocks = [raw_NP(examples, self.numbers, self.dates), codes_NP]
        return np.hstack(blocks + [topics.transform(examples) for topics in self.topics])

    def state(self) -> State:
        """What `from_state` needs."""
        return {
            "numbers": self.numbers,
            "dates": self.dates,
            "categories": self.categories.state(),
            "topics": [topics.state() for topics in self.topics],
        }

    @classmethod
    def from_state(cls, state: State) -> Ordinals:
        """The encoder that `state` came from."""
        return cls(
            tuple(state["numbers"]),
            tuple(state["dates"]),
            Categories.from_state(state["categories"]),
            tuple(map(Topics.from_state, state["topics"])),
        )


def fit_ordinals(schema: Schema, examples: pl.DataFrame, *, seed: int) -> Ordinals:
    """Codes and topics learned from `examples`."""
    columns = of_kind(schema, "text")
    groups = [columns] if schema.kind == "text" and columns else [(name,) for name in columns]
    coded = of_kind(schema, "category", "boolean")
    return Ordinals(
        of_kind(schema, "number"),
        of_kind(schema, "date"),
        fit_categories(examples, coded, min_count=2, max_values=MAX_VALUES),
        tuple(fit_topics(examples, group, components=TOPICS, seed=seed) for group in groups),
    )
