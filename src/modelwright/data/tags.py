"""Tags of tokens -> spans of tokens, in any of the usual ways of tagging.

IOB2 begins every span with B-, IOB1 only one that touches another of its label, IOBES (BILOU, BMES) marks ends and
lone tokens too (Ratinov & Roth 2009, "Design challenges and misconceptions in named entity recognition", section 2).
All are read by one rule, that of the CoNLL shared tasks: what continues nothing begins a span.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_PREFIXED = re.compile(r"([BIESLUM])[-_](.+)")
_BEGINS, _ENDS = frozenset("BSU"), frozenset("ESLU")


@dataclass(frozen=True, slots=True)
class Tagging:
    """How a data set tags: whether spans begin with B-, and whether each token is a span by itself."""

    begins: bool
    alone: bool = False


def tagging_of(sequences: Sequence[Sequence[str]]) -> Tagging:
    """The way in which these sequences of tags are written.

    Tags without prefixes and without an O say something of every token (its part of speech): each is a span.
    """
    begins, prefixed, outside = False, False, False
    for tags in sequences:
        before = "O"
        for tag in tags:
            prefix, label = parted(tag)
            prefixed |= prefix != ""
            outside |= tag == "O"
            begins |= prefix in ("B", "S", "U") and parted(before)[1] != label
            before = tag
    return Tagging(begins, alone=not prefixed and not outside)


def parted(tag: str) -> tuple[str, str]:
    """The prefix and the label of a tag; both empty outside of spans."""
    if tag in ("O", "", "_"):
        return "", ""
    match = _PREFIXED.fullmatch(tag)
    return (match[1], match[2]) if match else ("", tag)


def spans_of_tags(tags: Sequence[str], how: Tagging) -> tuple[list[tuple[int, int, str]], list[int]]:
    """The spans of tokens (first, last + 1, label) that `tags` mark, and which tags had to be repaired.

    A repaired one continues a span that has not begun: it is read as a beginning.
    """
    spans: list[tuple[int, int, str]] = []
    repaired: list[int] = []
    start, inside, ended = 0, "", True
    for place, tag in enumerate([*tags, "O"]):
        prefix, label = parted(tag)
        goes_on = label == inside and not ended and prefix not in _BEGINS and not how.alone
        if inside and not goes_on:
            spans.append((start, place, inside))
        if label and not goes_on:
            start = place
            if how.begins and prefix not in _BEGINS and place < len(tags):
                repaired.append(place)
        inside, ended = label, prefix in _ENDS
    return spans, repaired
