"""A language model of bytes that looks at the few before: it says how many bits a text takes, and goes on with one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from modelwright.data.hidden import hidden_texts
from modelwright.errors import IntegrityError
from modelwright.models.features.frame import texts
from modelwright.models.features.stored import load_state, save_state
from modelwright.models.ngrams import END, SYMBOLS, Level, bits_N, next_chances, stream
from modelwright.models.predictors import Predictions
from modelwright.records import Schema


class NGram:
    """Answers with the bits that a text takes; `complete` draws what comes next, byte by byte."""

    kind = "ngram"

    def __init__(self, schema: Schema, levels: tuple[Level, ...], share: float = 1.0) -> None:
        """`levels` are smoothed (ngrams.smoothed); `share` says how much of train they counted."""
        self.schema = schema
        self._levels = levels
        self._share = share

    @property
    def describes(self) -> str:
        """What it looks at, in words."""
        part = "" if self._share == 1 else f", counted on {self._share:.0%} of train"
        if len(self._levels) == 1:
            return f"bytes at their frequencies{part}"
        before = len(self._levels) - 1
        what = "byte" if before == 1 else f"{before} bytes"
        where = " in the hidden word" if self.schema.masked else ""
        return (
            f"the {what} before{where}, in {len(self._levels[-1].grams_G):,} combinations, Kneser-Ney smoothing{part}"
        )

    def predict(self, examples: pl.DataFrame) -> Predictions:
        """The bits that each text takes; of hidden words, each by itself: what stands around is not looked at."""
        asked = texts(examples, self.schema.names)
        if not self.schema.masked:
            return Predictions(values_N=bits_N(self._levels, asked))
        hidden = [hidden_texts(text) for text in asked]
        owner_V = np.repeat(np.arange(len(asked)), [len(words) for words in hidden])
        bits_V = bits_N(self._levels, [word for words in hidden for word in words])
        return Predictions(values_N=np.bincount(owner_V, bits_V, len(asked)))

    def complete(self, prompts: Sequence[str], *, max_tokens: int, temperature: float, seed: int) -> list[str]:
        """What each prompt goes on with; a token is a byte, and the text may end before `max_tokens`."""
        return [
            self._completed(prompt, max_tokens, temperature, np.random.default_rng([seed, place]))
            for place, prompt in enumerate(prompts)
        ]

    def _completed(self, prompt: str, most: int, temperature: float, generator: np.random.Generator) -> str:
        held = stream([prompt])[:-1].tolist()
        began = len(held)
        missing = 0
        for _ in range(most):
            chances = np.where(_fits(missing, held[-1]), next_chances(self._levels, held), 0.0)
            symbol = _drawn(chances, temperature, generator)
            if symbol == END:
                break
            held.append(symbol)
            missing = missing - 1 if missing else _FOLLOW[symbol]
        return bytes(held[began : len(held) - _torn(held[began:])]).decode("utf-8", "replace")

    def save(self, folder: Path) -> None:
        """Write `ngram.json` and `ngram.safetensors`: symbols and how many stand in each group, not whole keys."""
        state = {"share": self._share, "levels": [_packed(level, place) for place, level in enumerate(self._levels)]}
        save_state(folder, self.kind, state)

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> NGram:
        """The predictor saved in `folder`.

        Raises:
            IntegrityError: it is not what was saved.
        """
        state = load_state(folder, cls.kind)
        levels: list[Level] = []
        for packed in state["levels"]:
            levels.append(_unpacked(packed, len(levels[-1].contexts_H) if levels else 0))
        if not levels:
            raise IntegrityError(f"{folder} holds an n-gram model without a level")
        return cls(schema, tuple(levels), state["share"])


def _drawn(chances: np.ndarray, temperature: float, generator: np.random.Generator) -> int:
    """A symbol: the likeliest at temperature 0, else drawn by chance ** (1 / temperature)."""
    if temperature == 0:
        return int(chances.argmax())
    with np.errstate(divide="ignore"):
        logits = np.log(chances) / temperature
    weights = np.exp(logits - logits.max())
    return int(np.searchsorted(np.cumsum(weights) / weights.sum(), generator.random(), side="right"))


_FOLLOW = np.zeros(SYMBOLS, np.int64)
"""How many bytes belong to a character after the one that opens it (RFC 3629, section 4); -1 where none opens so."""
_FOLLOW[0x80:0xC2], _FOLLOW[0xC2:0xE0], _FOLLOW[0xE0:0xF0], _FOLLOW[0xF0:0xF5], _FOLLOW[0xF5:END] = -1, 1, 2, 3, -1
_INNER = np.zeros(SYMBOLS, bool)
_INNER[0x80:0xC0] = True


_SECOND = {0xE0: slice(0xA0, 0xC0), 0xED: slice(0x80, 0xA0), 0xF0: slice(0x90, 0xC0), 0xF4: slice(0x80, 0x90)}
"""What may follow some first bytes (RFC 3629, section 4): the rest is no text."""


def _fits(missing: int, last: int) -> np.ndarray:
    """Which symbols may come after `last` where a character misses so many bytes."""
    if not missing:
        return np.asarray(_FOLLOW >= 0)
    if last not in _SECOND:
        return _INNER
    fits = np.zeros(SYMBOLS, bool)
    fits[_SECOND[last]] = True
    return fits


def _torn(symbols: list[int]) -> int:
    """How many bytes at the end belong to a character that is not whole."""
    for back in range(1, min(4, len(symbols) + 1)):
        follow = int(_FOLLOW[symbols[-back]])
        if follow >= 0:
            return back if follow >= back else 0
    return 0


def _packed(level: Level, place: int) -> dict[str, object]:
    """The level with two bytes for a symbol, and for each group of keys its size."""
    below = int(level.contexts_H[-1] // SYMBOLS) + 1
    return {
        "older_H": (level.contexts_H % SYMBOLS).astype(np.uint16),
        "longer": np.bincount(level.contexts_H // SYMBOLS, minlength=below).astype(np.uint16) if place else 0,
        "symbols_G": (level.grams_G % SYMBOLS).astype(np.uint16),
        "sizes_H": np.bincount(level.grams_G // SYMBOLS, minlength=len(level.contexts_H)).astype(np.uint16),
        "counts_G": level.counts_G.astype(np.uint32),
    }


def _unpacked(packed: dict[str, object], below: int) -> Level:
    older_H, symbols_G, sizes_H, counts_G = (
        np.asarray(packed[name]).astype(np.int64) for name in ("older_H", "symbols_G", "sizes_H", "counts_G")
    )
    contexts_H = older_H
    if below:
        longer = np.asarray(packed["longer"]).astype(np.int64)
        contexts_H = np.repeat(np.arange(len(longer)), longer) * SYMBOLS + older_H
    return Level(contexts_H, np.repeat(np.arange(len(sizes_H)), sizes_H) * SYMBOLS + symbols_G, counts_G)
