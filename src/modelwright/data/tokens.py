"""Columns of tokens and their tags -> a column of texts and one of spans, whatever source they come from.

Tokens are joined by one space: what stood between them is not in the data.
"""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from modelwright.data.tags import Tagging, parted, spans_of_tags, tagging_of
from modelwright.errors import Fault, SourceError
from modelwright.records import POSITION, Finding

SHOWN = 5
_LOOK = 200  # examples that must be lists before the whole column is tried; chosen
_TOKENS = frozenset({"tokens", "words", "token", "word", "text", "sentence"})
_NUMBERED = frozenset({"tags", "ner_tags", "pos_tags", "chunk_tags", "labels"})
_Lists = list[list[Any] | None]


def with_texts(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[Finding]]:
    """`frame` with tokens as texts and their tags as spans (JSON), under the names they had; findings on the tags.

    Without such columns it is given back as it is.

    Raises:
        SourceError: the tags are numbers, whose names are not in the data.
    """
    likely = [name for name, dtype in frame.schema.items() if dtype == pl.String and _is_list(frame[name].head(_LOOK))]
    lists = {name: found for name in likely if (found := _lists(frame[name])) is not None}
    tokens = next((name for name in lists if name.casefold() in _TOKENS and _all_texts(lists[name])), None)
    if tokens is None:
        return frame, []
    pairs = {name: found for name, found in lists.items() if name != tokens and _same_lengths(lists[tokens], found)}
    numbered = [name for name in pairs if name.casefold() in _NUMBERED and not _all_texts(pairs[name])]
    tagged = [name for name in pairs if _all_texts(pairs[name])]
    if numbered and not tagged:
        todo = "write their names instead: in a hub data set they stand in its features"
        raise SourceError(Fault(f"column {numbered[0]}", "holds tags as numbers", "tags such as B-person", todo))
    if not tagged:
        return frame, []
    texts, starts = _texts(lists[tokens])
    findings: list[Finding] = []
    columns = [pl.Series(tokens, texts, pl.String)]
    for name in tagged:
        spans, said = _spans(name, pairs[name], lists[tokens], starts, frame[POSITION])
        columns.append(pl.Series(name, spans, pl.String))
        findings += said
    return frame.with_columns(columns), findings


def _is_list(values: pl.Series) -> bool:
    there = values.drop_nulls().str.strip_chars()
    return len(there) > 0 and bool((there.str.starts_with("[") & there.str.ends_with("]")).all())


def _lists(column: pl.Series) -> _Lists | None:
    """The lists of texts or numbers in a column of JSON, or None where one is something else."""
    found: _Lists = []
    for value in column.to_list():
        try:
            each = None if value is None else json.loads(value)
        except ValueError:
            return None
        if each is not None and not (isinstance(each, list) and all(isinstance(one, str | int) for one in each)):
            return None
        found.append(each)
    return found


def _all_texts(lists: _Lists) -> bool:
    return all(isinstance(one, str) for each in lists if each for one in each)


def _same_lengths(tokens: _Lists, tags: _Lists) -> bool:
    """Whether nearly all have as many tags as tokens; single ones that do not are left out later."""
    both = [len(one) == len(other) for one, other in zip(tokens, tags, strict=True) if one and other]
    return len(both) > 0 and sum(both) >= 0.95 * len(both)


def _texts(lists: _Lists) -> tuple[list[str | None], list[list[int]]]:
    """The texts, and where each token starts in its own."""
    texts: list[str | None] = []
    starts: list[list[int]] = []
    for tokens in lists:
        texts.append(None if tokens is None else " ".join(tokens))
        places, place = [], 0
        for token in tokens or ():
            places.append(place)
            place += len(token) + 1
        starts.append(places)
    return texts, starts


def _spans(
    name: str, tags: _Lists, tokens: _Lists, starts: list[list[int]], positions: pl.Series
) -> tuple[list[str | None], list[Finding]]:
    """The spans of each text as JSON, null where there are not as many tags as tokens; what was repaired."""
    fitting = [
        each if each is not None and len(each) == len(place) else None for each, place in zip(tags, starts, strict=True)
    ]
    how = tagging_of([each for each in fitting if each])
    found: list[str | None] = []
    repairs, uneven = [], []
    for position, mine, words, place in zip(positions.to_list(), fitting, tokens, starts, strict=True):
        if mine is None or words is None:
            found.append(None)
            uneven += [position] if place else []
            continue
        spans, repaired = spans_of_tags(mine, how)
        repairs += [_repair(position, mine, each) for each in repaired]
        cells = [
            {"start": place[first], "end": place[last - 1] + len(words[last - 1]), "label": label}
            for first, last, label in spans
        ]
        found.append(json.dumps(cells, ensure_ascii=False))
    return found, _findings(name, repairs, uneven, how)


def _repair(position: int, tags: list[Any], place: int) -> str:
    before = tags[place - 1] if place else "the start"
    return f"example {position}: {tags[place]} after {before} is read as B-{parted(tags[place])[1]}"


def _findings(name: str, repairs: list[str], uneven: list[int], how: Tagging) -> list[Finding]:
    found = []
    if repairs:
        todo = f"nothing, if these begin a span; else correct {name!r} in the source"
        found.append(Finding("invalid_tags", "warning", len(repairs), tuple(repairs[:SHOWN]), todo))
    if uneven:
        shown = tuple(f"example {position} has another number of tags than of tokens" for position in uneven[:SHOWN])
        todo = "they are left out, as missing_output; correct them in the source"
        found.append(Finding("invalid_tags", "warning", len(uneven), shown, todo))
    if how.alone:
        shown = (f"{name!r} tags every token and never says O: each token is a span by itself",)
        found.append(Finding("assumed", "info", 1, shown, "nothing, if this is right"))
    return found
