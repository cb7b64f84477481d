"""What batches of many shapes take, from a few that were timed: a line through them.

n is the examples of a batch, T the length that they are padded to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Shape = tuple[int, int]
"""Examples of a batch, and the length that they are padded to."""


@dataclass(frozen=True, slots=True)
class Line:
    """Seconds of n examples padded to T: `fixed` + `per_token` n T + `per_square` n T², which is attention's share."""

    fixed: float
    per_token: float
    per_square: float = 0.0

    def seconds(self, shapes: list[Shape]) -> float:
        """The seconds that these batches take together."""
        counts, lengths = np.array(shapes, dtype=float).reshape(-1, 2).T
        tokens = counts * lengths
        return float(len(counts) * self.fixed + (self.per_token * tokens + self.per_square * tokens * lengths).sum())


def shapes_of(batches: list[np.ndarray], lengths_N: np.ndarray) -> list[Shape]:
    """The shape of each batch. Of a stream, places grow on from epoch to epoch."""
    return [(len(batch), max(1, int(lengths_N[batch % len(lengths_N)].max()))) for batch in batches]


def fitted(shapes: list[Shape], seconds: list[float]) -> Line:
    """The line through measured batches, nothing in it negative, by least squares of the error relative to the line.

    Relative to what was measured it would lie low, as slow moments would count less than quick ones; so it is fitted
    that way first, and then once more beside itself.
    """
    counts, lengths = np.array(shapes, dtype=float).T
    tokens, took = counts * lengths, np.array(seconds)
    if tokens.max() < 1.2 * tokens.min():  # too alike to tell a slope: all of it goes with the tokens
        return Line(0.0, float(np.mean(took / tokens)))
    from scipy.optimize import nnls

    scale = np.array([1.0, tokens.mean(), (tokens * lengths).mean()])
    terms = np.column_stack((np.ones_like(tokens), tokens, tokens * lengths)) / scale
    expected = took
    for _ in range(2):
        found, _ = nnls(terms / expected[:, None], took / expected)
        expected = terms @ found
    return Line(*(float(each) for each in found / scale))
