"""Features that bend in all columns at once: how near an example is to each of some known ones.

Dimensions: N examples, D coordinates, L landmarks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import polars as pl

from modelwright.models.features.design import Design
from modelwright.models.features.stored import State

NEGLIGIBLE = 1e-6
"""Directions of the kernel with less than this share of the largest are rounding."""


@dataclass(frozen=True, slots=True)
class Landmarks:
    """The Gaussian kernel exp(-rate * d²) to L landmarks, whitened: a linear model on these features is one
    on the kernel itself, restricted to the landmarks (Nyström: Williams & Seeger 2001, eq. 8).
    """

    design: Design
    points_LD: np.ndarray
    rate: float
    whitening_LL: np.ndarray
    views: int = 1

    def transform(self, examples: pl.DataFrame) -> np.ndarray:
        """The features of each example (N, up to L)."""
        return self.mean_near(dense(each) for each in self.design.views(examples, self.views))

    def mean_near(self, views: Iterable[np.ndarray]) -> np.ndarray:
        """The mean over all `views` of the nearness: a kernel that does not see which view an example is given in.

        Transformation integration: Haasdonk & Burkhardt 2007, "Invariant kernel functions", section 4.
        """
        near_NL = reduce(np.add, map(self.near, views))
        return np.asarray(near_NL / self.views)

    def near(self, coordinates_ND: np.ndarray) -> np.ndarray:
        """The features of examples whose coordinates are known."""
        kernel_NL = np.exp(-self.rate * squares_NL(coordinates_ND, self.points_LD))
        return np.asarray(kernel_NL @ self.whitening_LL)

    def state(self) -> State:
        """What `from_state` needs."""
        return {
            "design": self.design.state(),
            "points_LD": self.points_LD,
            "rate": self.rate,
            "whitening_LL": self.whitening_LL,
            "views": self.views,
        }

    @classmethod
    def from_state(cls, state: State) -> Landmarks:
        """The encoder that `state` came from."""
        return cls(**{**state, "design": Design.from_state(state["design"])})


def at_landmarks(design: Design, points_LD: np.ndarray, rate: float, *, views: int = 1) -> Landmarks:
    """Landmarks at these coordinates, whitened by the inverse square root of the kernel among them."""
    kernel_LL = np.exp(-rate * squares_NL(points_LD, points_LD).astype(np.float64))
    values_L, vectors_LL = np.linalg.eigh(kernel_LL)
    kept_L = values_L > NEGLIGIBLE * values_L[-1]
    whitening_LL = np.ascontiguousarray(vectors_LL[:, kept_L] / np.sqrt(values_L[kept_L]))
    return Landmarks(design, points_LD, rate, whitening_LL.astype(points_LD.dtype), views)


def squares_NL(left_ND: np.ndarray, right_LD: np.ndarray) -> np.ndarray:
    """Squared distances between all pairs."""
    cross_NL = left_ND @ right_LD.T
    squares = (left_ND**2).sum(axis=1)[:, None] - 2 * cross_NL + (right_LD**2).sum(axis=1)[None, :]
    return np.asarray(np.maximum(squares, 0))


def dense(features: Any) -> np.ndarray:
    """The features as a dense matrix."""
    return features if isinstance(features, np.ndarray) else np.asarray(features.toarray())
