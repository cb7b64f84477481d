"""Spans of texts as people write them down -> spans as a part holds them: in order, apart, within the text.

Nothing is mended without being said: what was cut, moved or left out is counted in findings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from modelwright.records import Finding, Span

SPANS = pl.List(pl.Struct({"start": pl.Int64, "end": pl.Int64, "label": pl.String}))
"""How spans lie in a column."""
SHOWN = 5
_LOOK = 500  # values that tell what a column holds; chosen
_START = ("start", "start_position", "begin", "start_offset", "start_char", "from", "offset")
_END = ("end", "end_position", "stop", "end_offset", "end_char", "to")
_LABEL = ("label", "entity_type", "entity_group", "entity", "slot", "type", "tag", "category", "labels", "class")
_TEXT = ("text", "entity_value", "value", "word", "mention", "surface")
"""How tools call the parts of a span: ours, Presidio, transformers, spaCy, Doccano, Label Studio, Snips."""


@dataclass(frozen=True, slots=True)
class Written:
    """A span as it was written, with the text that it is said to hold, if that is given."""

    start: int
    end: int
    label: str
    text: str | None = None


def parsed(value: str) -> list[Written] | None:
    """The spans in a JSON list of objects or of [start, end, label], or None where it is none."""
    try:
        found = json.loads(value)
    except ValueError:
        return None
    if not isinstance(found, list):
        return None
    spans = [_written(each) for each in found]
    return None if any(span is None for span in spans) else [span for span in spans if span]


def _written(each: Any) -> Written | None:
    if isinstance(each, dict):
        start, end, label, text = (_first(each, names) for names in (_START, _END, _LABEL, _TEXT))
    elif isinstance(each, list) and len(each) == 3:
        (start, end, label), text = each, None
    else:
        return None
    label = label[0] if isinstance(label, list) and len(label) == 1 else label
    whole = all(isinstance(place, int) and not isinstance(place, bool) for place in (start, end))
    if not whole or not isinstance(label, str | int) or not str(label).strip():
        return None
    return Written(start, end, str(label).strip(), text if isinstance(text, str) else None)


def _first(found: dict[str, Any], names: Sequence[str]) -> Any:
    return next((found[name] for name in names if found.get(name) is not None), None)


def are_spans(column: pl.Series) -> bool:
    """Whether a column of text holds lists of spans."""
    if column.dtype != pl.String:
        return False
    values = column.drop_nulls()
    look = values.gather_every(max(1, len(values) // _LOOK)).str.strip_chars()
    if look.is_empty() or look.str.starts_with("[").mean() < 0.95:  # type: ignore[operator]
        return False
    spans = [parsed(value) for value in look.to_list()]
    if not any(spans) and any(each is not None for each in spans):  # all lists looked at are empty
        spans = [parsed(value) for value in values.filter(values.str.len_chars() > 2).head(_LOOK).to_list()]
    return any(spans) and sum(each is not None for each in spans) >= 0.95 * len(spans)


def fits(column: pl.Series, texts: pl.Series) -> bool:
    """Whether the spans of `column` lie within `texts` and, where they say what they hold, hold it."""
    sides = [(spans, text) for value, text in zip(column, texts, strict=True) if value and (spans := parsed(value))]
    each = [
        text is not None and span.end <= len(text) and span.text in (None, text[span.start : span.end])
        for spans, text in sides[:_LOOK]
        for span in spans
    ]
    return bool(each) and sum(each) >= 0.9 * len(each)


@dataclass(slots=True)
class _Said:
    """What was mended, each with its example."""

    outside: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    overlapping: list[str] = field(default_factory=list)
    cutting: list[str] = field(default_factory=list)
    unfound: list[str] = field(default_factory=list)


def read_spans(values: pl.Series, texts: pl.Series, positions: pl.Series) -> tuple[pl.Series, list[Finding]]:
    """The spans of each text, null where there are none to be read, and findings on those that were mended.

    Args:
        values: JSON as `parsed` reads it.
        texts: What they are spans of.
        positions: Of the examples in the source, for the findings.
    """
    said = _Said()
    cells: list[list[dict[str, Any]] | None] = []
    for position, value, text in zip(positions.to_list(), values.to_list(), texts.to_list(), strict=True):
        spans = None if value is None or text is None else parsed(value)
        if spans is None:
            cells.append(None)
        else:
            kept = _apart([*_within(spans, text, position, said)], text, position, said)
            cells.append([span._asdict() for span in kept])
    return pl.Series(values.name, cells, SPANS), list(_findings(said))


def _within(spans: list[Written], text: str, position: int, said: _Said) -> Iterator[Span]:
    """The spans inside the text, without space around them, where what they are said to hold is."""
    for span in spans:
        start, end, told = span.start, span.end, f"example {position}, {span.label} {span.start} to {span.end}"
        if span.text is not None and text[max(0, start) : end] != span.text:
            if span.text and text.count(span.text) == 1:
                start = text.index(span.text)
                end = start + len(span.text)
                said.moved.append(f"{told}: {span.text[:40]!r} stands at {start} to {end}")
            else:
                said.unfound.append(f"{told}: holds {text[max(0, start) : end][:40]!r}, not {span.text[:40]!r}")
        if start < 0 or end > len(text) or start >= end:
            said.outside.append(f"{told}: the text has {len(text):,} characters")
        start, end = max(0, start), min(end, len(text))
        while start < end and text[start].isspace():
            start += 1
        while end > start and text[end - 1].isspace():
            end -= 1
        if start < end:
            yield Span(start, end, span.label)


def _apart(spans: list[Span], text: str, position: int, said: _Said) -> list[Span]:
    """The spans in order; of those that overlap the longest stays, the first of several."""
    kept: list[Span] = []
    for span in sorted(set(spans), key=lambda span: (span.start - span.end, span.start, span.label)):
        rival = next((each for each in kept if span.start < each.end and each.start < span.end), None)
        if rival is None:
            kept.append(span)
        else:
            said.overlapping.append(f"example {position}: {_quoted(span, text)} within reach of {_quoted(rival, text)}")
    kept.sort()
    for span in kept:
        if _cuts(text, span.start) or _cuts(text, span.end):
            said.cutting.append(f"example {position}: {_quoted(span, text)}")
    return kept


def _quoted(span: Span, text: str) -> str:
    return f"{span.label} {text[span.start : span.end][:40]!r}"


def _cuts(text: str, place: int) -> bool:
    """Whether `place` lies between two characters of one word."""
    return 0 < place < len(text) and _of_word(text[place - 1]) and _of_word(text[place])


def _of_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _findings(said: _Said) -> Iterator[Finding]:
    for kind, severity, shown, todo in (
        ("span_outside", "warning", said.outside, "what lies outside the text was cut off; correct the offsets"),
        ("span_moved", "warning", said.moved, "nothing: each was moved to the one place where its text stands"),
        ("span_mismatch", "warning", said.unfound, "they stay as they are; see whether they count bytes or tokens"),
        (
            "span_overlap",
            "warning",
            said.overlapping,
            "of two that overlap the longer one stays; the others are left out",
        ),
        ("span_cuts_word", "info", said.cutting, "a tagger labels whole words: these it can never get right"),
    ):
        if shown:
            yield Finding(kind, severity, len(shown), tuple(shown[:SHOWN]), todo)  # type: ignore[arg-type]
