"""A word in its text as features: itself, its form, its beginnings and ends, and its neighbours.

The features are those of the taggers before networks (Ratnaparkhi 1996, table 1; Finkel, Grenager & Manning 2005).
Dimensions: T words of all texts, F features.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from modelwright.models.words import Place

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

AFFIX = 4
"""Characters of the longest beginning and end."""
REACH = 2
"""Neighbours on each side that are looked at."""
_RUNS = re.compile(r"(.)\1+")


def form_of(word: str) -> str:
    """The kinds of a word's characters, runs as one: Xx for Anna, d for 1998."""
    kinds = ("X" if c.isupper() else "x" if c.islower() else "d" if c.isdigit() else c for c in word)
    return _RUNS.sub(r"\1", "".join(kinds))


def features_in(text: str, places: Sequence[Place]) -> Iterator[list[str]]:
    """The features of each word of a text."""
    words = [text[start:end] for start, end in places]
    small = [word.lower() for word in words]
    forms = [form_of(word) for word in words]
    spaced = ["", *(" " if a[1] < b[0] else "" for a, b in pairwise(places))]
    for t, word in enumerate(small):
        found = ["1", f"w={word}", f"f={forms[t]}", f"W={words[t]}", f"s={spaced[t]}{forms[t]}"]
        for length in range(1, min(AFFIX, len(word)) + 1):
            found += (f"<{word[:length]}", f">{word[-length:]}")
        for step in range(-REACH, REACH + 1):
            if step:
                there = 0 <= t + step < len(words)
                beside = small[t + step] if there else "^$"[step > 0]
                found += (f"w{step}={beside}", f"f{step}={forms[t + step] if there else ''}")
                if there and abs(step) == 1:
                    found += (
                        f">{step}={beside[-3:]}",
                        f"w0{step}={word} {beside}",
                        f"f0{step}={forms[t]} {forms[t + step]}",
                    )
        found.append(f"f3={'/'.join(forms[max(0, t - 1) : t + 2])}")
        yield found


def vocabulary_of(rows: Sequence[Sequence[str]], *, least: int) -> dict[str, int]:
    """The features that stand in at least `least` rows, each with its column."""
    counts = Counter(feature for row in rows for feature in row)
    return {feature: column for column, feature in enumerate(sorted(f for f, n in counts.items() if n >= least))}


def matrix_of(rows: Sequence[Sequence[str]], vocabulary: dict[str, int]) -> csr_matrix:
    """A 1 for each known feature of each word, float32 (T, F)."""
    from scipy.sparse import csr_matrix

    columns = [[vocabulary[feature] for feature in row if feature in vocabulary] for row in rows]
    pointers = np.concatenate([[0], np.cumsum([len(each) for each in columns], dtype=np.int64)])
    indices = np.fromiter((column for each in columns for column in each), dtype=np.int32, count=int(pointers[-1]))
    ones = np.ones(len(indices), dtype=np.float32)
    return csr_matrix((ones, indices, pointers), shape=(len(rows), len(vocabulary)))
