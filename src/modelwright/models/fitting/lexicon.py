"""The phrases that train labels, each with its commonest label: the rule of a tagger."""

from __future__ import annotations

from collections import Counter, defaultdict

import polars as pl

from modelwright.data.parts import targets_N as targets_of
from modelwright.models.predictors.lexicon import Lexicon, Phrase
from modelwright.models.words import places_of, texts_in
from modelwright.records import Schema

LONGEST = 8
"""Words of a phrase at most: longer ones hardly ever come again. Chosen."""
SURE = 0.5
"""A phrase is answered where at least this share of its places has the label: then the answer is more often right."""


def fit_lexicon(schema: Schema, train: pl.DataFrame, *, seed: int) -> Lexicon:
    """Every phrase of `train` that has a label at most of the places where it stands, the commonest first."""
    texts, truth_N = texts_in(schema, train), targets_of(schema, train)
    labelled: defaultdict[Phrase, Counter[str]] = defaultdict(Counter)
    words_N = []
    for text, spans in zip(texts, truth_N, strict=True):
        places = places_of(text)
        words = tuple(text[start:end].lower() for start, end in places)
        words_N.append(words)
        for span in spans:
            inside = [t for t, (start, end) in enumerate(places) if start < span.end and span.start < end]
            if inside and len(inside) <= LONGEST:
                labelled[words[inside[0] : inside[-1] + 1]][span.label] += 1
    seen = _seen(labelled, words_N)
    kept: dict[Phrase, tuple[str, float]] = {}
    for words, labels in sorted(labelled.items(), key=lambda item: (-item[1].total(), item[0])):
        label, count = max(labels.items(), key=lambda item: (item[1], item[0]))
        if count >= SURE * seen[words]:
            kept[words] = (label, min(1.0, count / seen[words]))
    return Lexicon(schema, kept)


def _seen(labelled: dict[Phrase, Counter[str]], words_N: list[Phrase]) -> Counter[Phrase]:
    """How often each labelled phrase stands in the texts, with a label or without."""
    lengths = sorted({len(words) for words in labelled})
    seen: Counter[Phrase] = Counter()
    for words in words_N:
        for length in lengths:
            for first in range(len(words) - length + 1):
                if (phrase := words[first : first + length]) in labelled:
                    seen[phrase] += 1
    return seen
