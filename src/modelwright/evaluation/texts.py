"""Figures of one written answer against the right one, each from 0 to 1; a metric is their mean.

A word is a run of letters and digits; where a script has no spaces, each of its signs is one. Case and the width of
spaces say nothing. Nothing here knows a language: SQuAD's dropping of English articles is left out.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]|[^\W_]+")
_NUMBER = re.compile(r"[-\u2212]?\d[\d,]*(?:\.\d+)?|[-\u2212]?\.\d+")
CHARACTERS, BETA = 6, 2
"""chrF's orders and its weight of recall: Popović 2015, section 2; 2016 finds beta 2 to agree best with people."""
REMEMBERED = 2**14
"""Pairs of texts whose figure is remembered: one report asks for it several times."""


def exact_match(truth: str, answer: str) -> float:
    """1 where the answer is the right one but for case and spaces: Rajpurkar et al. 2016, "SQuAD", section 6."""
    return float(_plain(truth) == _plain(answer))


def token_f1(truth: str, answer: str) -> float:
    """The balance of precision and recall of the words, whatever their order: Rajpurkar et al. 2016, section 6.

    Texts without a word (signs alone) are right where they are the same.
    """
    true, given = words(truth), words(answer)
    if not true or not given:
        return float(_plain(truth) == _plain(answer))
    return _f(sum((Counter(true) & Counter(given)).values()), len(true), len(given))


@lru_cache(REMEMBERED)
def rouge_l(truth: str, answer: str) -> float:
    """The balance of precision and recall of the longest common subsequence of words.

    Lin 2004, "ROUGE: a package for automatic evaluation of summaries", section 3, with beta 1.
    """
    true, given = words(truth), words(answer)
    if not true or not given:
        return float(_plain(truth) == _plain(answer))
    return _f(_common(true, given), len(true), len(given))


@lru_cache(REMEMBERED)
def chrf(truth: str, answer: str) -> float:
    """F of the runs of 1 to 6 characters, spaces aside; kind to endings and to small slips.

    Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation": precision and recall are averaged over
    the orders that either text has, then F = (1 + b^2) P R / (b^2 P + R) with b = 2. Case counts.
    """
    true, given = ("".join(text.split()) for text in (truth, answer))
    if not true or not given:
        return float(true == given)
    precision = recall = 0.0
    orders = min(CHARACTERS, max(len(true), len(given)))
    for order in range(1, orders + 1):
        ours, theirs = (Counter(text[i : i + order] for i in range(len(text) - order + 1)) for text in (true, given))
        shared = sum((ours & theirs).values())
        precision += shared / max(theirs.total(), 1)
        recall += shared / max(ours.total(), 1)
    precision, recall = precision / orders, recall / orders
    below = BETA**2 * precision + recall
    return (1 + BETA**2) * precision * recall / below if below else 0.0


def number_match(truth: str, answer: str) -> float:
    """1 where the last number of both texts is the same, or neither holds one: for answers that end in a result.

    The usual rule for GSM8K, whose answers end in "#### 18": Cobbe et al. 2021, "Training verifiers to solve math word
    problems", section 2.
    """
    return float(_last_number(truth) == _last_number(answer))


def words(text: str) -> list[str]:
    """The words of `text`, without regard to case."""
    return _WORD.findall(text.casefold())


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _f(shared: int, true: int, given: int) -> float:
    """2 P R / (P + R), where P = shared / given and R = shared / true."""
    return 2 * shared / (true + given)


def _last_number(text: str) -> float | None:
    found = _NUMBER.findall(text)
    return float(found[-1].replace(",", "").replace("\u2212", "-")) if found else None


def _common(true: list[str], given: list[str]) -> int:
    """The length of the longest common subsequence, by the bits of one whole number.

    Hyyrö 2004, "Bit-parallel LCS-length computation revisited", figure 2: V = (V + (V & M)) | (V & ~M).
    """
    places: dict[str, int] = {}
    for place, word in enumerate(true):
        places[word] = places.get(word, 0) | 1 << place
    full = (1 << len(true)) - 1
    row = full
    for word in given:
        match = row & places.get(word, 0)
        row = ((row + match) | (row - match)) & full
    return len(true) - row.bit_count()
