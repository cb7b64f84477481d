"""A text cut where true and answered spans begin and end, so that a page can mark what was missed and what made up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from modelwright.records import Span

AROUND = 60
"""Characters shown before the first span and behind the last one of a longer text."""

LONGEST = 600
"""Characters of a text that are shown at most."""

Kind = Literal["", "right", "missed", "wrong", "both"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some characters of a text.

    Args:
        text: They themselves.
        kind: `right`: in a span that was answered as it is; `missed`: in one that was not; `wrong`: in an answer that
            is none; `both`: in one of each; empty: in none.
        truth: The label of the true span that begins here.
        answer: The label of the answered one that begins here.
    """

    text: str
    kind: Kind = ""
    truth: str = ""
    answer: str = ""


def marked(text: str, truth: Sequence[Span], answer: Sequence[Span]) -> tuple[Piece, ...]:
    """The text in pieces; what lies far from any mistake is left out."""
    wrong = sorted(set(truth) ^ set(answer))
    first = max(0, min((span.start for span in wrong), default=0) - AROUND)
    first = text.rfind(" ", 0, first) + 1 if first >= AROUND else 0
    last = min(max((span.end for span in wrong), default=0) + AROUND, first + LONGEST)
    last = text.find(" ", last) if last <= len(text) - AROUND else len(text)
    last = len(text) if last < 0 else max([last, *(span.end for span in (*truth, *answer) if span.start < last)])
    bounds = {first, last} | {place for span in (*truth, *answer) for place in span[:2] if first < place < last}
    pieces = list(_pieces(text, sorted(bounds), truth, answer))
    before = [Piece("… ")] if first > 0 else []
    return tuple([*before, *pieces, *([Piece(" …")] if last < len(text) else [])])


def _pieces(text: str, bounds: Sequence[int], truth: Sequence[Span], answer: Sequence[Span]) -> Iterator[Piece]:
    for start, end in pairwise(bounds):
        true, said = (next((s for s in spans if s.start <= start < s.end), None) for spans in (truth, answer))
        kind: Kind = ""
        if true is not None and true == said:
            kind = "right"
        elif true is not None or said is not None:
            kind = "both" if true is not None and said is not None else "missed" if said is None else "wrong"
        begins = [span.label if span is not None and span.start == start else "" for span in (true, said)]
        yield Piece(text[start:end], kind, *begins)
