"""Another predictor's probabilities, and weights that decide which class they make the answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from modelwright.models.predictors import Predictions, Predictor, load_predictor, save_predictor
from modelwright.records import Schema

FILE, INNER = "decision.json", "inner"


class Decision:
    """Answers with the class whose probability times weight is largest; the probabilities stay as they are."""

    kind = "decision"

    def __init__(self, inner: Predictor, weights_C: np.ndarray) -> None:
        """`weights_C` has one weight above 0 for each class, in the order of the schema."""
        self.schema = inner.schema
        self.inner = inner
        self.weights_C = np.asarray(weights_C, dtype=np.float64)

    @property
    def describes(self) -> str:
        """How it decides, in words."""
        return "classes weighed"

    def predict(self, examples: pl.DataFrame) -> Predictions:
        """What the inner predictor answers, decided by the weights."""
        return replace(self.inner.predict(examples), weights_C=self.weights_C)

    def save(self, folder: Path) -> None:
        """Write `decision.json`, and the inner predictor into `inner/`."""
        save_predictor(self.inner, folder / INNER)
        weights = dict(zip(self.schema.classes, self.weights_C.tolist(), strict=True))
        (folder / FILE).write_text(json.dumps({"weights": weights}, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> Decision:
        """The predictor saved in `folder`."""
        weights = json.loads((folder / FILE).read_text(encoding="utf-8"))["weights"]
        return cls(load_predictor(folder / INNER), np.array([weights[name] for name in schema.classes]))
