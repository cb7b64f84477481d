"""Which words of a text are hidden from a masked language model where it is judged, and how many bytes they have.

A function of the text alone: every model, rung and server is asked the same of it, whatever its tokens are.
"""

from __future__ import annotations

import re
import zlib

import numpy as np
import polars as pl

from modelwright.records import Schema

Place = tuple[int, int]
"""Where a word begins and ends, in characters."""
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\s\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
"""What stands between spaces, its punctuation included: no tokenizer joins two of them. Chinese and Japanese, which
have no spaces, by the character."""
SHARE = 0.15
"""Of the words: as many as of the tokens while training (Devlin et al. 2019, section 3.1)."""
SEED = 15
"""Chosen once and for all: figures can be compared because the same is hidden everywhere."""


def words_of(text: str) -> list[Place]:
    """Where the words of a text stand."""
    return [match.span() for match in WORD.finditer(text)]


def hidden_words(text: str) -> list[Place]:
    """Where the words stand that are hidden, in their order: SHARE of all, at least one where there is one."""
    places = words_of(text)
    if not places:
        return []
    key = [SEED, zlib.crc32(text.encode("utf-8", "surrogatepass"))]
    order = np.random.Generator(np.random.Philox(key=key)).permutation(len(places))
    return [places[place] for place in sorted(order[: max(1, round(SHARE * len(places)))].tolist())]


def hidden_texts(text: str) -> list[str]:
    """The hidden words themselves."""
    return [text[begin:end] for begin, end in hidden_words(text)]


def asked_bytes(schema: Schema, examples: pl.DataFrame) -> pl.Series:
    """How many bytes of each text a language model is asked for: all, or those of the hidden words; of none 0."""
    texts = examples[schema.names[0]].cast(pl.String).fill_null("")
    if not schema.masked:
        return texts.str.len_bytes()
    sizes = [sum(len(word.encode("utf-8", "replace")) for word in hidden_texts(text)) for text in texts]
    return pl.Series(sizes, dtype=pl.UInt32)
