"""Columns as trees want them: numbers as they are, categories as codes, texts as topics, quantities and opinions.

Dimensions: N examples, P columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from modelwright.models.features.categories import Categories, fit_categories
from modelwright.models.features.design import of_kind, text_groups
from modelwright.models.features.numbers import raw_names, raw_NP
from modelwright.models.features.quantities import Quantities, fit_quantities
from modelwright.models.features.stored import State
from modelwright.models.features.text import Opinion, Topics, fit_topics
from modelwright.records import Schema

TOPICS = 32
"""Components of each text column: latent semantic analysis gains little beyond (Deerwester et al. 1990 use
100 for retrieval; trees want fewer, denser columns). Chosen, not measured."""
MAX_VALUES = 500
"""Values of one category that are told apart: LightGBM sorts them all at each split."""


@dataclass(frozen=True, slots=True)
class Ordinals:
    """Numbers, parts of dates, codes of categories, and what texts say, side by side.

    Opinions come last: those of training examples must be other than `transform` gives (`fitting.opinions`).
    """

    numbers: tuple[str, ...]
    dates: tuple[str, ...]
    categories: Categories
    topics: tuple[Topics, ...]
    quantities: tuple[Quantities, ...]
    opinions: tuple[Opinion, ...] = ()

    @property
    def names(self) -> list[str]:
        """What each column of `transform` is, in words."""
        spoken = [
            f"topic {place + 1} of {' and '.join(topics.text.columns)}"
            for topics in self.topics
            for place in range(topics.components_FK.shape[1])
        ]
        spoken += [name for each in self.quantities for name in each.names]
        for opinion in self.opinions:
            spoken += [f"what {' and '.join(opinion.text.columns)} says"] * len(opinion.bias_K)
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
        blocks += [topics.transform(examples) for topics in self.topics]
        blocks += [quantities.raw_NP(examples) for quantities in self.quantities]
        return np.hstack(blocks + [opinion.transform(examples) for opinion in self.opinions])

    def state(self) -> State:
        """What `from_state` needs."""
        return {
            "numbers": self.numbers,
            "dates": self.dates,
            "categories": self.categories.state(),
            "topics": [topics.state() for topics in self.topics],
            "quantities": [quantities.state() for quantities in self.quantities],
            "opinions": [opinion.state() for opinion in self.opinions],
        }

    @classmethod
    def from_state(cls, state: State) -> Ordinals:
        """The encoder that `state` came from."""
        return cls(
            tuple(state["numbers"]),
            tuple(state["dates"]),
            Categories.from_state(state["categories"]),
            tuple(map(Topics.from_state, state["topics"])),
            tuple(map(Quantities.from_state, state["quantities"])),
            tuple(map(Opinion.from_state, state["opinions"])),
        )


def fit_ordinals(schema: Schema, examples: pl.DataFrame, *, seed: int) -> Ordinals:
    """Codes, topics and quantities learned from `examples`; no opinions, which need answers."""
    groups = text_groups(schema)
    coded = of_kind(schema, "category", "boolean")
    return Ordinals(
        of_kind(schema, "number"),
        of_kind(schema, "date"),
        fit_categories(examples, coded, min_count=2, max_values=MAX_VALUES),
        tuple(fit_topics(examples, group, components=TOPICS, seed=seed) for group in groups),
        tuple(fit_quantities(examples, group) for group in groups),
    )
