"""Texts as words, spans as tags of words, and the likeliest tags of a text.

A tag is O, or B- or I- with a label (IOB2): code 0 is O, 1 + 2c begins a span of label c, 2 + 2c goes on with one.
Letters: T words, K tags (1 + 2C of C labels), S texts of a batch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from modelwright.records import Schema, Span

WORD = re.compile(r"\w+|[^\w\s]")
"""Letters and digits together, each sign alone: a span that cuts no word begins and ends with one."""
TOGETHER = 256
"""Texts whose paths are found at once. Chosen."""
NEVER = -1e9
"""The logarithm of what cannot be."""

Place = tuple[int, int]
"""Where a word begins and ends, in characters."""


def texts_in(schema: Schema, examples: pl.DataFrame) -> list[str]:
    """The one text of each example, with its outer space: spans count its characters. Null is empty."""
    return examples[schema.names[0]].cast(pl.String).fill_null("").to_list()


def places_of(text: str) -> list[Place]:
    """Where the words of a text stand."""
    return [match.span() for match in WORD.finditer(text)]


def tags_of(places: Sequence[Place], spans: Sequence[Span], classes: Sequence[str]) -> np.ndarray:
    """The tag of each word, int64 (T,); a word that a span cuts belongs to it."""
    index = {name: c for c, name in enumerate(classes)}
    tags_T = np.zeros(len(places), dtype=np.int64)
    for span in spans:
        inside = [t for t, (start, end) in enumerate(places) if start < span.end and span.start < end]
        tags_T[inside] = 2 + 2 * index[span.label]
        tags_T[inside[:1]] -= 1
    return tags_T


def spans_of(
    places: Sequence[Place], tags_T: np.ndarray, shares_T: np.ndarray, classes: Sequence[str]
) -> tuple[tuple[Span, ...], tuple[float, ...]]:
    """The spans that valid tags mark, and how sure each is: the geometric mean of its words' probabilities.

    Args:
        places: Of the words.
        tags_T: As `best_paths` gives them.
        shares_T: The probability of each word's tag.
        classes: The labels.
    """
    starts = np.flatnonzero(tags_T % 2 == 1)
    spans, confidences = [], []
    for start in starts.tolist():
        end = start + 1
        while end < len(tags_T) and tags_T[end] == tags_T[start] + 1:
            end += 1
        spans.append(Span(places[start][0], places[end - 1][1], classes[int(tags_T[start]) // 2]))
        confidences.append(float(np.exp(np.log(np.maximum(shares_T[start:end], 1e-12)).mean())))
    return tuple(spans), tuple(confidences)


def best_paths(logs: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """For each text the valid tags of the largest sum, int64 (T,): Viterbi 1967, with transitions allowed or not.

    An I- may follow only a B- or an I- of its label; everything else may follow anything.

    Args:
        logs: For each text the logarithm of each tag's probability at each word, (T, K).
    """
    for first in range(0, len(logs), TOGETHER):
        yield from _paths(logs[first : first + TOGETHER])


def _paths(logs: Sequence[np.ndarray]) -> list[np.ndarray]:
    lengths_S = np.array([len(each) for each in logs])
    longest = int(lengths_S.max(initial=0))
    if longest == 0:
        return [np.zeros(0, dtype=np.int64) for _ in logs]
    tags = next(each.shape[1] for each in logs if len(each))
    log_STK = np.full((len(logs), longest, tags), NEVER)
    log_STK[:, :, 0] = 0.0  # behind its end a text is outside, which costs nothing
    for s, each in enumerate(logs):
        log_STK[s, : len(each)] = each
    begins, inside = np.arange(1, tags, 2), np.arange(2, tags, 2)
    best_SK = log_STK[:, 0].copy()
    best_SK[:, inside] = NEVER
    before_STK = np.zeros(log_STK.shape, dtype=np.int64)
    for t in range(1, longest):
        any_S = best_SK.argmax(axis=1)
        top_S1 = np.take_along_axis(best_SK, any_S[:, None], axis=1)
        before_STK[:, t] = any_S[:, None]
        next_SK = np.broadcast_to(top_S1, best_SK.shape).copy()
        goes_on = best_SK[:, inside] >= best_SK[:, begins]
        before_STK[:, t, inside] = np.where(goes_on, inside, begins)
        next_SK[:, inside] = np.maximum(best_SK[:, inside], best_SK[:, begins])
        best_SK = next_SK + log_STK[:, t]
    path_ST = np.zeros((len(logs), longest), dtype=np.int64)
    path_ST[:, -1] = best_SK.argmax(axis=1)
    rows_S = np.arange(len(logs))
    for t in range(longest - 1, 0, -1):
        path_ST[:, t - 1] = before_STK[rows_S, t, path_ST[:, t]]
    return [path_ST[s, :length] for s, length in enumerate(lengths_S)]
