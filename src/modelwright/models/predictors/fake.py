"""A predictor for tests of whatever stands on the Predictor seam: instant, and its answers are known."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from modelwright.data.parts import objects
from modelwright.models.predictors import Predictions
from modelwright.models.words import places_of, texts_in
from modelwright.records import Schema, Span

FILE = "fake.json"


@dataclass(slots=True)
class Fake:
    """Answers with a hash of the example: the same example always gets the same answer.

    Args:
        schema: Of any task, any kind of input.
        salt: Another salt gives other answers: a "different model" in a test.
        seconds: How long each call of `predict` takes.
        poison: A value that makes the call fail wherever it stands in the frame.
        calls: The number of examples of each call so far.
    """

    schema: Schema
    salt: str = ""
    seconds: float = 0.0
    poison: str | None = None
    calls: list[int] = field(default_factory=list)
    kind: str = "fake"

    def predict(self, examples: pl.DataFrame) -> Predictions:
        """One answer per example, drawn from the hash of its input columns."""
        self.calls.append(len(examples))
        if self.seconds:
            time.sleep(self.seconds)
        texts = [_text(example) for example in examples.select(self.schema.names).iter_rows()]
        if self.poison is not None and any(self.poison in text for text in texts):
            raise RuntimeError("the fake predictor was told to fail on this example")
        if self.schema.task == "generation":
            return Predictions(texts_N=objects(f"answer {self._uniform(text, 1)[0]:.6f}" for text in texts))
        if self.schema.task in ("regression", "language-modeling"):
            return Predictions(values_N=np.array([self._uniform(text, 1)[0] for text in texts], dtype=np.float64))
        if self.schema.task == "tagging":
            return self._spans(texts, texts_in(self.schema, examples))
        count = len(self.schema.classes)
        if self.schema.task == "multilabel":
            return Predictions(probabilities_NC=np.array([self._uniform(t, count) for t in texts]).reshape(-1, count))
        weights_NC = np.array([self._uniform(text, count) for text in texts]).reshape(-1, count)
        return Predictions(probabilities_NC=weights_NC / weights_NC.sum(axis=1, keepdims=True))

    def _spans(self, keys: list[str], texts: list[str]) -> Predictions:
        """The first word of each text, with a label and a confidence drawn from the hash."""
        spans, shares = [], []
        for key, text in zip(keys, texts, strict=True):
            draws_C = self._uniform(key, len(self.schema.classes))
            first = places_of(text)[:1]
            spans.append(tuple(Span(*place, self.schema.classes[int(draws_C.argmax())]) for place in first))
            shares.append(tuple(float(draws_C.max()) for _ in first))
        return Predictions(spans_N=objects(spans), confidences_N=objects(shares))

    def _uniform(self, text: str, count: int) -> np.ndarray:
        seed = hashlib.sha256(f"{self.salt}|{text}".encode()).digest()
        return np.random.default_rng(list(seed)).uniform(0.01, 1.0, count) ** 3

    def save(self, folder: Path) -> None:
        """Write `fake.json`."""
        about = {"salt": self.salt, "seconds": self.seconds, "poison": self.poison}
        (folder / FILE).write_text(json.dumps(about), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> Fake:
        """The fake that `save` wrote."""
        return cls(schema, **json.loads((folder / FILE).read_text(encoding="utf-8")))


def _text(example: tuple[Any, ...]) -> str:
    return "|".join(base64.b64encode(v).decode() if isinstance(v, bytes) else str(v) for v in example)
