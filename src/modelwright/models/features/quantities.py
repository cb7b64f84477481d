"""The quantities that texts name: numbers told apart by the word beside them ("72 m²", "built in 1998").

Words as features know that a number is there, not how large it is.
Dimensions: N examples, P quantities, F features.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from modelwright.models.features.frame import texts
from modelwright.models.features.numbers import Numbers, fit_numbers
from modelwright.models.features.stored import State

MAX_QUANTITIES = 40
"""Of one text column, the commonest. Chosen."""
RARE = 0.01
"""Quantities that a smaller share of the texts names are left out. Chosen."""
MAX_CHARACTERS = 2000
"""Numbers are looked for up to here: beyond, they seldom measure what the text is about. Chosen."""

_NUMBER = re.compile(r"(?<!\w)\d+(?:[.,]\d+)*")
_AFTER = re.compile(r"\s?-?\s?([^\W\d_]\w*|[%€$£¥°])")
_BEFORE = re.compile(r"(?:([^\W\d_]+)[^\w€$£¥]{0,3}|([€$£¥])\s?)$")
_REACH = 30  # characters before a number in which its word is looked for

Quantity = tuple[str, str]
"""Where the word stands, "after" or "before" the number, and the word."""
FIRST: Quantity = ("first", "")
LARGEST: Quantity = ("largest", "")
"""A text's first and largest number, whatever stands beside them: units have many spellings."""


def quantities_in(text: str) -> dict[Quantity, float]:
    """The numbers of `text`; of several beside the same word the first."""
    found: dict[Quantity, float] = {}
    text = text[:MAX_CHARACTERS]
    for number in _NUMBER.finditer(text):
        value = _value(number.group())
        found.setdefault(FIRST, value)
        found[LARGEST] = max(value, found.get(LARGEST, value))
        if after := _AFTER.match(text, number.end()):
            found.setdefault(("after", after.group(1).casefold()), value)
        if before := _BEFORE.search(text, max(0, number.start() - _REACH), number.start()):
            found.setdefault(("before", before.group(before.lastindex or 1).casefold()), value)
    return found


def _value(written: str) -> float:
    """1,234.5 and 1.234,5 alike; a lone sign before exactly three digits parts thousands."""
    signs = [sign for sign in written if sign in ".,"]
    if not signs:
        return float(written)
    last = written.rfind(signs[-1])
    decimal = len(set(signs)) > 1 or (len(signs) == 1 and len(written) - last != 4)
    whole = re.sub(r"[.,]", "", written[:last] if decimal else written)
    return float(f"{whole}.{written[last + 1 :]}" if decimal else whole)


@dataclass(frozen=True, slots=True)
class Quantities:
    """Text columns, read as one text, as the numbers that they name."""

    columns: tuple[str, ...]
    kept: tuple[Quantity, ...]
    scaling: Numbers | None

    @property
    def names(self) -> list[str]:
        """What each column of `raw_NP` is, in words."""
        where = " and ".join(self.columns)
        beside = {"after": 'number before "{}"', "before": 'number after "{}"'}
        return [f"{beside.get(place, f'{place} number').format(word)} in {where}" for place, word in self.kept]

    def raw_NP(self, examples: pl.DataFrame) -> np.ndarray:
        """The numbers as they are, NaN where a text does not name one; (N, P)."""
        return _matrix([quantities_in(text) for text in texts(examples, self.columns)], self.kept)

    def transform(self, examples: pl.DataFrame) -> np.ndarray:
        """The numbers on one scale and bent, as `Numbers` does it; float64 (N, F)."""
        if self.scaling is None:
            return np.zeros((len(examples), 0))
        return self.scaling.transform(_frame(self.raw_NP(examples)))

    def state(self) -> State:
        """What `from_state` needs."""
        scaling = None if self.scaling is None else self.scaling.state()
        return {"columns": self.columns, "kept": self.kept, "scaling": scaling}

    @classmethod
    def from_state(cls, state: State) -> Quantities:
        """The encoder that `state` came from."""
        scaling = None if state["scaling"] is None else Numbers.from_state(state["scaling"])
        return cls(tuple(state["columns"]), tuple((place, word) for place, word in state["kept"]), scaling)


def fit_quantities(examples: pl.DataFrame, columns: tuple[str, ...]) -> Quantities:
    """The quantities that the columns of `examples` often name, and their scaling."""
    found = [quantities_in(text) for text in texts(examples, columns)]
    counts = Counter(quantity for each in found for quantity in each)
    often = [(-count, each) for each, count in counts.items() if count >= max(5, RARE * len(found))]
    named = [each for _, each in sorted(often)]
    raw_NP = _matrix(found, named)
    varied = [each for each, column in zip(named, raw_NP.T, strict=True) if np.nanmin(column) < np.nanmax(column)]
    kept = tuple(varied[:MAX_QUANTITIES])
    if not kept:
        return Quantities(columns, (), None)
    frame = _frame(_matrix(found, kept))
    return Quantities(columns, kept, fit_numbers(frame, tuple(frame.columns), (), bent=True))


def _matrix(found: Sequence[dict[Quantity, float]], kept: Sequence[Quantity]) -> np.ndarray:
    rows = [[each.get(quantity, np.nan) for quantity in kept] for each in found]
    raw_NP = np.asarray(rows, dtype=np.float64).reshape(len(found), len(kept))
    return np.where(np.isfinite(raw_NP), raw_NP, np.nan)


def _frame(raw_NP: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({str(place): raw_NP[:, place] for place in range(raw_NP.shape[1])})
