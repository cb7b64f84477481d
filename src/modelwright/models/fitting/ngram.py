"""An n-gram model: the order is chosen on texts held out of train, then all are counted."""

from __future__ import annotations

import numpy as np
import polars as pl

from modelwright.data.hidden import words_of
from modelwright.models.features.frame import texts as texts_of
from modelwright.models.ngrams import SYMBOLS, Level, contexts, continued, counted, smoothed, stream
from modelwright.models.predictors.ngram import NGram
from modelwright.records import Schema

MOST = 10
"""Orders up to this are tried. Measured: tinyshakespeare takes 7, names 6, both flat from there on."""
HELD = 0.1
"""Of the texts, what is held out to choose the order by."""
LEARNT_BYTES = 4_000_000
"""Counted at most, spread evenly over train: 16 s on a slow core. Chosen; a network has more use for more."""


def fit_ngram(schema: Schema, train: pl.DataFrame, *, seed: int, order: int | None = None) -> NGram:
    """The n-gram model of the texts in `train`.

    Args:
        schema: Of a language model.
        train: Examples.
        seed: Draws the texts that are held out.
        order: Symbols that are looked at together, the foretold one among them; None: the best on held-out texts.
    """
    texts = texts_of(train, schema.names)
    if schema.masked:  # of which each is asked for by itself
        texts = [text[begin:end] for text in texts for begin, end in words_of(text)] or [""]
    known, share = _sampled(texts)
    if order is None:
        order = _best_order(known, np.random.default_rng(seed))
    return NGram(schema, smoothed(counted(stream(known), order)), share)


def fit_frequencies(schema: Schema, train: pl.DataFrame, *, seed: int) -> NGram:
    """The bytes at their frequencies: what a model that looks at nothing before knows."""
    return fit_ngram(schema, train, seed=seed, order=1)


def _sampled(texts: list[str]) -> tuple[list[str], float]:
    """At most LEARNT_BYTES of the texts, evenly spread, and their share of all bytes."""
    sizes_N = np.array([len(text.encode("utf-8", "replace")) + 1 for text in texts])
    total = int(sizes_N.sum())
    if total <= LEARNT_BYTES:
        return texts, 1.0
    reached_N = np.floor(np.arange(1, len(texts) + 1) * (LEARNT_BYTES / total))
    chosen_N = np.diff(reached_N, prepend=0.0) > 0
    kept = [text for text, chosen in zip(texts, chosen_N, strict=True) if chosen]
    return kept, float(sizes_N[chosen_N].sum() / total)


def _best_order(texts: list[str], generator: np.random.Generator) -> int:
    """The order that needs the fewest bits for texts that were held out."""
    held_N = generator.random(len(texts)) < HELD
    held_N[generator.integers(len(texts))] = True
    if held_N.all():
        return 1
    levels = counted(stream([text for text, held in zip(texts, held_N, strict=True) if not held]), MOST)
    asked_T = stream([text for text, held in zip(texts, held_N, strict=True) if held])
    return 1 + int(np.argmin(_bits_by_order(levels, asked_T)))


def _bits_by_order(levels: list[Level], asked_T: np.ndarray) -> list[float]:
    """The bits for the asked stream by the model of each order: all share the levels below their highest."""
    found = []
    below_T = np.full(len(asked_T), 1 / SYMBOLS)
    for place, contexts_T in enumerate(contexts(levels, asked_T)):
        highest_T = levels[place].mixed(contexts_T, asked_T, below_T)
        found.append(float(-np.log2(highest_T[1:]).sum()))
        if place + 1 < len(levels):
            lower = continued(levels[place], levels[place + 1])
            below_T = lower.mixed(contexts_T, asked_T, below_T)
    return found
