"""Counts of byte n-grams and the probabilities that follow from them: interpolated Kneser-Ney smoothing.

A text is its UTF-8 bytes between two END symbols. What comes next is foretold from the symbols before it, as many as
were seen together; each level (a context one symbol longer) takes a discount off what it counted and leaves that much
to the level below, down to the same chance for every symbol. So the chances of all 257 symbols add up to 1.

    P_k(w | c) = (count_k(c w) - D(count_k(c w))) / count_k(c) + spare_k(c) P_{k-1}(w | c without its oldest symbol)

Modified Kneser-Ney: Chen & Goodman 1998, "An empirical study of smoothing techniques for language modeling", section
3, eqs. 20 to 26. Below the highest level `count` is of the different symbols that came before (continuations), but for
n-grams that begin a text, before which nothing comes: of these it is how often they do.

Letters: T symbols of a stream, G n-grams of a level, H contexts of a level.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

SYMBOLS, END = 257, 256
"""The bytes, and what stands before and after every text."""
_BYTES = "utf-8"


@dataclass(frozen=True)
class Level:
    """What was seen after contexts of one length. No slots: what follows from the counts is found when it is needed.

    Args:
        contexts_H: For each context 257 * (its number on the level below, less its oldest symbol) + that symbol,
            ascending, int64; its place is its number. The empty context stands alone as 0.
        grams_G: For each n-gram 257 * the number of its context + its last symbol, ascending, int64.
        counts_G: How often, int64.
    """

    contexts_H: np.ndarray
    grams_G: np.ndarray
    counts_G: np.ndarray

    @cached_property
    def discounts(self) -> np.ndarray:
        """What is taken off a count of 0, 1, 2, and 3 or more."""
        once, twice, thrice, four = (max(int((self.counts_G == n).sum()), 1) for n in (1, 2, 3, 4))
        share = once / (once + 2 * twice)
        asked = [1 - 2 * share * twice / once, 2 - 3 * share * thrice / twice, 3 - 4 * share * four / thrice]
        found = [0.0]
        for most, each in enumerate(asked, start=1):
            # Of few n-grams these may be no discounts: something must be taken, something left, and more of more.
            found.append(float(np.clip(each, 0.05, min(most - 0.05, found[-1] + 1))))
        return np.array(found)

    @cached_property
    def totals_H(self) -> np.ndarray:
        """How often each context was seen."""
        return np.asarray(np.bincount(self.grams_G // SYMBOLS, self.counts_G, len(self.contexts_H)))

    @cached_property
    def shares_G(self) -> np.ndarray:
        """What each n-gram keeps of its context's chances."""
        kept_G = self.counts_G - self.discounts[np.minimum(self.counts_G, 3)]
        return np.asarray(kept_G / self.totals_H[self.grams_G // SYMBOLS])

    @cached_property
    def spare_H(self) -> np.ndarray:
        """What each context leaves to the level below."""
        taken_G = self.discounts[np.minimum(self.counts_G, 3)]
        return np.asarray(np.bincount(self.grams_G // SYMBOLS, taken_G, len(self.contexts_H)) / self.totals_H)

    def numbers(self, keys_T: np.ndarray) -> np.ndarray:
        """The number of each context, -1 where it was not seen."""
        return _places(self.contexts_H, keys_T)

    def mixed(self, contexts_T: np.ndarray, symbols_T: np.ndarray, below_T: np.ndarray) -> np.ndarray:
        """The chance of each symbol after its context, given its chance on the level below."""
        seen_T = contexts_T >= 0
        contexts, symbols = contexts_T[seen_T], symbols_T[seen_T]
        places = _places(self.grams_G, contexts * SYMBOLS + symbols)
        shares = np.where(places >= 0, self.shares_G[places], 0.0)
        found_T = below_T.copy()
        found_T[seen_T] = shares + self.spare_H[contexts] * below_T[seen_T]
        return found_T


def _places(keys: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Where each of `asked` stands in the ascending `keys`, -1 where it does not."""
    places = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[places] == asked, places, -1)


def stream(texts: Sequence[str]) -> np.ndarray:
    """All texts as symbols, int64: END before the first and after each."""
    parts = [np.array([END])]
    for text in texts:
        parts += [np.frombuffer(text.encode(_BYTES, "replace"), np.uint8), np.array([END])]
    return np.concatenate(parts).astype(np.int64)


def depths(stream_T: np.ndarray) -> np.ndarray:
    """How many symbols of the same text stand before each place, the END that opens it among them."""
    places_T = np.arange(len(stream_T))
    ends_T = np.where(stream_T == END, places_T, 0)
    return np.asarray(places_T - np.concatenate([[0], np.maximum.accumulate(ends_T)[:-1]]))


def counted(stream_T: np.ndarray, most: int) -> list[Level]:
    """Levels 0 to `most` - 1 of the stream, with how often each n-gram occurs."""
    depth_T = depths(stream_T)
    numbers_T = np.zeros(len(stream_T), np.int64)
    contexts_H = np.zeros(1, np.int64)
    levels: list[Level] = []
    for length in range(most):
        known_T = depth_T >= max(length, 1)  # the first END is foretold by nobody
        if length:
            places = np.flatnonzero(known_T)
            keys = numbers_T[places] * SYMBOLS + stream_T[places - length]
            contexts_H, numbers = np.unique(keys, return_inverse=True)
            numbers_T = np.full(len(stream_T), -1, np.int64)
            numbers_T[places] = numbers
        if not len(contexts_H):
            break
        grams_G, counts_G = np.unique(numbers_T[known_T] * SYMBOLS + stream_T[known_T], return_counts=True)
        levels.append(Level(contexts_H, grams_G, counts_G))
    return levels


def continued(level: Level, above: Level) -> Level:
    """`level` with the different symbols before each n-gram in place of how often it occurs."""
    shorter = above.contexts_H[above.grams_G // SYMBOLS] // SYMBOLS * SYMBOLS + above.grams_G % SYMBOLS
    before_G = np.bincount(np.searchsorted(level.grams_G, shorter), minlength=len(level.grams_G))
    return Level(level.contexts_H, level.grams_G, np.where(before_G > 0, before_G, level.counts_G))


def smoothed(levels: Sequence[Level]) -> tuple[Level, ...]:
    """The counts that Kneser-Ney smoothing takes: of continuations on all levels but the highest."""
    lower = [continued(level, above) for level, above in pairwise(levels)]
    return (*lower, levels[-1])


def contexts(levels: Sequence[Level], stream_T: np.ndarray) -> Iterator[np.ndarray]:
    """For each level the number of the context before each place of the stream, -1 where it was not seen."""
    depth_T = depths(stream_T)
    numbers_T = np.where(depth_T > 0, 0, -1)
    yield numbers_T
    for length, level in enumerate(levels[1:], start=1):
        places = np.flatnonzero((depth_T >= length) & (numbers_T >= 0))
        keys = numbers_T[places] * SYMBOLS + stream_T[places - length]
        numbers_T = np.full(len(stream_T), -1, np.int64)
        numbers_T[places] = level.numbers(keys)
        yield numbers_T


def chances(levels: Sequence[Level], stream_T: np.ndarray) -> np.ndarray:
    """The chance of each symbol of the stream after those before it in its text; that of the first says nothing."""
    found_T = np.full(len(stream_T), 1 / SYMBOLS)
    for level, contexts_T in zip(levels, contexts(levels, stream_T), strict=True):
        found_T = level.mixed(contexts_T, stream_T, found_T)
    return found_T


def bits_N(levels: Sequence[Level], texts: Sequence[str]) -> np.ndarray:
    """The bits that each text and its end take."""
    stream_T = stream(texts)
    starts = np.flatnonzero(stream_T == END)[:-1] + 1
    return np.asarray(np.add.reduceat(-np.log2(chances(levels, stream_T)), starts)) if len(starts) else np.zeros(0)


def next_chances(levels: Sequence[Level], before: Sequence[int]) -> np.ndarray:
    """The chance of each symbol after the symbols `before`, float64 (257,)."""
    found = np.full(SYMBOLS, 1 / SYMBOLS)
    number = 0
    for length, level in enumerate(levels):
        if length > len(before):
            break
        if length:
            number = int(level.numbers(np.array([number * SYMBOLS + before[-length]]))[0])
        if number < 0:
            break
        ends = np.searchsorted(level.grams_G, [number * SYMBOLS, (number + 1) * SYMBOLS])
        seen = slice(int(ends[0]), int(ends[1]))
        found *= level.spare_H[number]
        found[level.grams_G[seen] % SYMBOLS] += level.shares_G[seen]
    return found
