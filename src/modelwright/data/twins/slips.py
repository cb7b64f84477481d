"""Whether one short text is another with slips: letters wrong, lost or swapped, words reordered, the end cut off.

Two texts of one template, or two ways to say a thing, are no twins. What tells a slip from another word is how often
either stands in the data: nobody writes "teh" half as often as "the", while "can" and "cant" are both words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

LONGER = (5, 10)
"""In a word of so many letters two slips may happen, and three; in a shorter one, one. Chosen."""
SHARE = 0.08
"""Of a text's letters that may be slips, or two. Chosen: over 5% of typing errors are hardly ever meant."""
RARE, RARELY = 2, 0.01
"""A word that stands so often at most, or so rarely beside the other one, is a slip of it. Chosen: people misspell a
word in 1 of 100 cases or less."""
CUT = 0.7
"""Of a text that must be left when its end is cut off, else it says something else. Chosen."""


def slipped(one: str, other: str, counts: Mapping[str, int]) -> bool:
    """Whether `one` is `other` with slips.

    Args:
        one: Words in small letters, a space between two.
        other: Likewise.
        counts: How often each word stands in the data.
    """
    short, long = sorted((one, other), key=len)
    if short == long:
        return True
    if long.startswith(short) and len(short) >= CUT * len(long):
        last, whole = short.rpartition(" ")[2], long.rpartition(" ")[2]
        return " " in long[len(short) :] or _is_slip(counts[last], counts[whole])  # the last word alone may be another
    left, right = one.split(), other.split()
    shared = Counter(left) & Counter(right)
    left, right = _without(left, shared), _without(right, shared)
    most = max(2, SHARE * len(long))
    if len(left) != len(right):
        return _spaced(left, right, counts, most)
    from rapidfuzz.distance import OSA

    total = 0
    for mine, theirs in zip(left, right, strict=True):
        distance = OSA.distance(mine, theirs)
        total += distance
        if distance > _bearable(mine) or not _is_slip(counts[mine], counts[theirs]):
            return False
    return total <= most


def _without(words: list[str], shared: Counter[str]) -> list[str]:
    """The words that are not in both texts, in their order."""
    left, rest = shared.copy(), []
    for word in words:
        if left[word] > 0:
            left[word] -= 1
        else:
            rest.append(word)
    return rest


def _spaced(left: list[str], right: list[str], counts: Mapping[str, int], most: float) -> bool:
    """Whether the words differ by a space that was lost or put in, perhaps with other slips: "mycard", "c ard"."""
    from rapidfuzz.distance import OSA

    fewer, more = sorted((left, right), key=len)
    if not fewer or len(more) > len(fewer) + 1:
        return False
    rarest = min(counts[word] for word in (*fewer, *more))
    return rarest <= RARE and OSA.distance(" ".join(fewer), " ".join(more)) <= min(most, 1 + len(fewer))


def _bearable(word: str) -> int:
    """How many slips may be in it."""
    return 1 + sum(len(word) >= letters for letters in LONGER)


def _is_slip(one: int, other: int) -> bool:
    """Whether of two words that stand so often, one is a slip of the other."""
    return min(one, other) <= max(RARE, RARELY * max(one, other))
