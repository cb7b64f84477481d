"""Pairs of examples that are twins, and what follows: whom each is left out for, and who belongs together.

Array letters: K pairs, N examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Pairs:
    """Twins by their places, the first before the second, sorted, each pair once.

    `similarity_K` is what they have in common, 0 to 1; `same_K` says whether one may stand for the other, or whether
    something differs that may matter, as a number in a text.
    """

    first_K: np.ndarray
    second_K: np.ndarray
    similarity_K: np.ndarray
    same_K: np.ndarray

    def __len__(self) -> int:
        return len(self.first_K)

    @classmethod
    def none(cls) -> Pairs:
        """No pair."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, bool))

    @classmethod
    def joined(cls, found: list[Pairs]) -> Pairs:
        """The pairs of all, one that is found twice by its greater similarity."""
        every = cls(
            np.concatenate([each.first_K for each in found]),
            np.concatenate([each.second_K for each in found]),
            np.concatenate([each.similarity_K for each in found]),
            np.concatenate([each.same_K for each in found]),
        )
        every = every.where(np.lexsort((-every.similarity_K, every.second_K, every.first_K)))
        new_K = np.ones(len(every), bool)
        new_K[1:] = (np.diff(every.first_K) != 0) | (np.diff(every.second_K) != 0)
        return every.where(new_K)

    def where(self, chosen_K: np.ndarray) -> Pairs:
        """Those that are chosen: a mask, or places in the order wanted."""
        return Pairs(
            self.first_K[chosen_K], self.second_K[chosen_K], self.similarity_K[chosen_K], self.same_K[chosen_K]
        )

    def groups(self, count: int) -> np.ndarray:
        """A code (int64) for each of `count` examples, equal where a chain of pairs leads from one to the other."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        links = coo_array((np.ones(len(self), bool), (self.first_K, self.second_K)), shape=(count, count))
        return np.asarray(connected_components(links, directed=False)[1], np.int64)

    def left_out(self) -> Pairs:
        """For each example that has a twin which stays, the pair with it (the most similar one); the second goes.

        Examples are judged in order, so the first of all twins stays, and whatever stays has no twin that stays: an
        example whose twins have all gone stays too, as nobody is there to stand for it.
        """
        gone: set[int] = set()
        chosen: dict[int, int] = {}
        order_K = np.lexsort((-self.similarity_K, self.second_K))
        for place in order_K.tolist():
            first, second = int(self.first_K[place]), int(self.second_K[place])
            if first not in gone and second not in gone:
                gone.add(second)
                chosen[second] = place
        return self.where(np.array(sorted(chosen.values()), np.int64))


def chained(one_N: np.ndarray, other_N: np.ndarray) -> np.ndarray:
    """Codes (int64) that are equal where either is, over any number of steps."""
    firsts = [np.unique(codes, return_index=True, return_inverse=True)[1:] for codes in (one_N, other_N)]
    first_K = np.concatenate([first[inverse] for first, inverse in firsts])
    second_K = np.tile(np.arange(len(one_N)), 2)
    return Pairs(first_K, second_K, np.ones(len(first_K)), np.ones(len(first_K), bool)).groups(len(one_N))
