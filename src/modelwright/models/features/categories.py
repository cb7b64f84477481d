"""Categories as codes (for trees) and as one-hot columns (for linear models).

Dimensions: N examples, P columns, F features.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from modelwright.models.features.frame import strings
from modelwright.models.features.stored import State

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True, slots=True)
class Categories:
    """The values of each category column that are told apart; all others are one, "another"."""

    columns: tuple[str, ...]
    values: tuple[dict[str, int], ...]  # value -> its code, 0 for the commonest

    def codes_NP(self, examples: pl.DataFrame) -> np.ndarray:
        """The code of each value, -1 where missing, -2 where another."""
        codes_NP = np.empty((len(examples), len(self.columns)), dtype=np.int64)
        for position, (name, values) in enumerate(zip(self.columns, self.values, strict=True)):
            found = strings(examples, name)
            codes_NP[:, position] = [-1 if value is None else values.get(value, -2) for value in found]
        return codes_NP

    def transform(self, examples: pl.DataFrame) -> csr_matrix:
        """One column of 0 and 1 for each value, for missing and for another, column by column."""
        from scipy.sparse import csr_matrix

        codes_NP = self.codes_NP(examples)
        sizes_P = np.array([len(values) + 2 for values in self.values], dtype=np.int64)
        starts_P = np.concatenate([[0], np.cumsum(sizes_P)])
        features_NP = starts_P[:-1] + codes_NP + 2
        count, width = codes_NP.shape
        ones = np.ones(features_NP.size)
        pointers = np.arange(0, count * width + 1, max(width, 1)) if width else np.zeros(count + 1, dtype=np.int64)
        return csr_matrix((ones, features_NP.ravel(), pointers), shape=(count, int(starts_P[-1])))

    def state(self) -> State:
        """What `from_state` needs."""
        return {"columns": self.columns, "values": [list(values) for values in self.values]}

    @classmethod
    def from_state(cls, state: State) -> Categories:
        """The encoder that `state` came from."""
        return cls(tuple(state["columns"]), tuple(map(_coded, state["values"])))


def fit_categories(examples: pl.DataFrame, columns: tuple[str, ...], *, min_count: int, max_values: int) -> Categories:
    """The commonest values of each column: at most `max_values`, each seen at least `min_count` times."""
    values = []
    for name in columns:
        counts = Counter(strings(examples, name))
        del counts[None]
        often = [(-count, value) for value, count in counts.items() if value is not None and count >= min_count]
        values.append(_coded([value for _, value in sorted(often)[:max_values]]))
    return Categories(columns, tuple(values))


def _coded(values: list[str]) -> dict[str, int]:
    return {value: code for code, value in enumerate(values)}
