"""How many examples are read at once: portions of like length, so that little is padding."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

MOST, MOST_TOKENS = 128, 8192
"""Examples, and padded tokens, that are answered at once at most. Chosen."""


def by_length(lengths_N: np.ndarray, *, most: int = MOST, tokens: int = MOST_TOKENS) -> Iterator[np.ndarray]:
    """The positions of all examples, the shortest first, in portions.

    Args:
        lengths_N: The length of each example in tokens.
        most: Examples in a portion at most; as answered, where not given.
        tokens: Padded tokens in a portion at most; a longer example stands alone.
    """
    order = np.argsort(lengths_N, kind="stable")
    start = 0
    while start < len(order):
        longest = int(lengths_N[order[min(start + most, len(order)) - 1]])
        chosen = order[start : start + max(1, min(most, tokens // max(1, longest)))]
        yield chosen
        start += len(chosen)
