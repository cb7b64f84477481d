"""Numbers and dates for models that need them on one scale: clipped, standardised, bent at quantiles.

Dimensions: N examples, P columns, F features.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from modelwright.models.features.frame import DATE_PARTS, date_parts_NP, numbers_NP
from modelwright.models.features.stored import State

CLIP_QUANTILE = 0.005
"""Values beyond this quantile and its mirror are clipped: one wild value must not set the scale. Chosen."""
MAX_KNOTS = 16
"""Bends of one column: enough to follow a curve, few enough for small data. Chosen, not measured."""
SPANNED = 5
"""Date columns between which days are counted: the first ones, ten pairs at most. Chosen."""
ALL_VALUES = 32
"""A column with no more distinct values (hours, months, stars) is bent at every one of them."""


def raw_NP(examples: pl.DataFrame, numbers: tuple[str, ...], dates: tuple[str, ...]) -> np.ndarray:
    """Number columns, the parts of the date columns, and the days between dates, as they are (NaN where null)."""
    parts = [date_parts_NP(examples, name) for name in dates]
    spans = [(parts[later][:, :1] - parts[earlier][:, :1]) for earlier, later in _pairs(dates)]
    return np.hstack([numbers_NP(examples, numbers), *parts, *spans])


def raw_names(numbers: tuple[str, ...], dates: tuple[str, ...]) -> list[str]:
    """The names of the columns of `raw_NP`."""
    parts = [f"{part} of {name}" for name in dates for part in DATE_PARTS]
    spans = [f"days from {dates[earlier]} to {dates[later]}" for earlier, later in _pairs(dates)]
    return [*numbers, *parts, *spans]


def _pairs(dates: tuple[str, ...]) -> list[tuple[int, int]]:
    """The places of the dates whose distance is a feature: no split at one date alone says how long ago."""
    return list(combinations(range(min(len(dates), SPANNED)), 2))


@dataclass(frozen=True, slots=True)
class Numbers:
    """Fitted scaling of number and date columns.

    Features: each kept column standardised (0 where missing), an indicator for each that had missing
    values, and, where it bends, its piecewise linear encoding: for knots k_0 < … < k_T the T features
    min(1, max(0, (x - k_t) / (k_t+1 - k_t))) (Gorishniy et al. 2022, eq. 1).
    """

    numbers: tuple[str, ...]
    dates: tuple[str, ...]
    kept_P: np.ndarray
    low_P: np.ndarray
    high_P: np.ndarray
    mean_P: np.ndarray
    scale_P: np.ndarray
    missing_P: np.ndarray
    bends_F: np.ndarray  # the column, start and width of each piece
    starts_F: np.ndarray
    widths_F: np.ndarray

    def transform(self, examples: pl.DataFrame) -> np.ndarray:
        """The features of each example, float64 (N, F), none of them NaN."""
        values_NP = raw_NP(examples, self.numbers, self.dates)[:, self.kept_P]
        absent_NP = np.isnan(values_NP)
        clipped_NP = np.clip(values_NP, self.low_P, self.high_P)
        scaled_NP = np.where(absent_NP, 0.0, (clipped_NP - self.mean_P) / self.scale_P)
        blocks = [scaled_NP, absent_NP[:, self.missing_P].astype(np.float64)]
        if len(self.bends_F):
            bent_NF = np.clip((clipped_NP[:, self.bends_F] - self.starts_F) / self.widths_F, 0.0, 1.0)
            blocks.append(np.where(absent_NP[:, self.bends_F], 0.0, bent_NF))
        return np.hstack(blocks)

    def state(self) -> State:
        """What `from_state` needs."""
        return {name: getattr(self, name) for name in Numbers.__slots__}

    @classmethod
    def from_state(cls, state: State) -> Numbers:
        """The encoder that `state` came from."""
        lists = {name: tuple(state[name]) for name in ("numbers", "dates")}
        return cls(**{**state, **lists})


def fit_numbers(examples: pl.DataFrame, numbers: tuple[str, ...], dates: tuple[str, ...], *, bent: bool) -> Numbers:
    """Scaling learned from `examples`; `bent` adds the piecewise linear encoding."""
    values_NP = raw_NP(examples, numbers, dates)
    known_P = (~np.isnan(values_NP)).any(axis=0)
    kept = [p for p in np.flatnonzero(known_P) if np.nanmin(values_NP[:, p]) < np.nanmax(values_NP[:, p])]
    kept_P = np.asarray(kept, dtype=np.int64)
    values_NP = values_NP[:, kept_P]
    low_P, high_P = _limits(values_NP)
    clipped_NP = np.clip(values_NP, low_P, high_P)
    mean_P = np.nanmean(clipped_NP, axis=0) if len(kept) else np.empty(0)
    scale_P = np.nanstd(clipped_NP, axis=0) if len(kept) else np.empty(0)
    scale_P = np.where(scale_P > 0, scale_P, 1.0)
    missing_P = np.flatnonzero(np.isnan(values_NP).any(axis=0))
    pieces = [_pieces(clipped_NP[:, p], p) for p in range(len(kept))] if bent else []
    flat = np.concatenate([np.empty((0, 3)), *pieces])
    bends_F, starts_F, widths_F = flat[:, 0].astype(np.int64), flat[:, 1].copy(), flat[:, 2].copy()
    return Numbers(numbers, dates, kept_P, low_P, high_P, mean_P, scale_P, missing_P, bends_F, starts_F, widths_F)


def _limits(values_NP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The clipping limits of each column; where the quantiles meet (rare non-zeros), its extremes."""
    if not values_NP.shape[1]:
        return np.empty(0), np.empty(0)
    low_P, high_P = np.nanquantile(values_NP, [CLIP_QUANTILE, 1 - CLIP_QUANTILE], axis=0)
    flat_P = low_P >= high_P
    return (
        np.where(flat_P, np.nanmin(values_NP, axis=0), low_P),
        np.where(flat_P, np.nanmax(values_NP, axis=0), high_P),
    )


def _pieces(values_N: np.ndarray, column: int) -> np.ndarray:
    """(column, start, width) of the pieces between the column's distinct values, or its quantiles; (F, 3)."""
    known = values_N[~np.isnan(values_N)]
    knots = np.unique(known)
    if len(knots) > ALL_VALUES:
        knots = np.unique(np.quantile(known, np.linspace(0, 1, MAX_KNOTS + 1)))
    if len(knots) < 3:
        return np.empty((0, 3))  # one piece is the column itself
    return np.column_stack([np.full(len(knots) - 1, column), knots[:-1], np.diff(knots)])
