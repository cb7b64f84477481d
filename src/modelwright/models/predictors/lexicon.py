"""Known phrases: each is answered with the label that it most often has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from modelwright.data.parts import objects
from modelwright.errors import IntegrityError
from modelwright.models.predictors import Predictions
from modelwright.models.words import places_of, texts_in
from modelwright.records import Schema, Span

FILE = "lexicon.json"
SHOWN = 3
"""Phrases that its description names."""

Phrase = tuple[str, ...]
"""Words in small letters."""


class Lexicon:
    """Looks phrases up from left to right, the longest first; what it does not know is outside.

    Args:
        schema: Of a tagging task.
        phrases: Phrase -> its label, and the share of its places in train that have this label.
    """

    kind = "lexicon"

    def __init__(self, schema: Schema, phrases: Mapping[Phrase, tuple[str, float]]) -> None:
        self.schema = schema
        self._phrases = dict(phrases)
        self._longest = max(map(len, self._phrases), default=0)

    @property
    def describes(self) -> str:
        """The rule in words."""
        shown = ", ".join(f"{' '.join(words)!r} → {label}" for words, (label, _) in [*self._phrases.items()][:SHOWN])
        return f"{len(self._phrases):,} known phrases, the longest first" + (f": {shown}" if shown else "")

    def predict(self, examples: pl.DataFrame) -> Predictions:
        """The known phrases in each text."""
        found = [self._found(text) for text in texts_in(self.schema, examples)]
        return Predictions(
            spans_N=objects(tuple(span for span, _ in each) for each in found),
            confidences_N=objects(tuple(share for _, share in each) for each in found),
        )

    def _found(self, text: str) -> list[tuple[Span, float]]:
        places = places_of(text)
        words = tuple(text[start:end].lower() for start, end in places)
        found, first = [], 0
        while first < len(words):
            for length in range(min(self._longest, len(words) - first), 0, -1):
                known = self._phrases.get(words[first : first + length])
                if known is not None:
                    last = first + length - 1
                    found.append((Span(places[first][0], places[last][1], known[0]), known[1]))
                    first = last
                    break
            first += 1
        return found

    def save(self, folder: Path) -> None:
        """Write `lexicon.json`."""
        lines = [[*words, label, share] for words, (label, share) in self._phrases.items()]
        (folder / FILE).write_text(json.dumps(lines, ensure_ascii=True), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> Lexicon:
        """The predictor saved in `folder`."""
        try:
            lines = json.loads((folder / FILE).read_text(encoding="utf-8"))
            return cls(schema, {tuple(words): (label, share) for *words, label, share in lines})
        except (OSError, ValueError, TypeError) as error:
            raise IntegrityError(f"{folder / FILE} cannot be read back: {error}") from error
