"""Another predictor's probabilities, and a number for each class that decides which classes they answer."""

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
    """Answers as weights or thresholds decide; the probabilities stay as they are.

    Args:
        inner: What the probabilities come from.
        weights_C: Classification: each above 0, in the order of the schema's classes; the class is answered whose
            probability times weight is largest.
        thresholds_C: Multilabel, instead of weights: from 0 to 1, in the order of the schema's classes; every label is
            answered whose probability is at least its threshold.
    """

    kind = "decision"

    def __init__(
        self, inner: Predictor, *, weights_C: np.ndarray | None = None, thresholds_C: np.ndarray | None = None
    ) -> None:
        self.schema, self.inner = inner.schema, inner
        self.weights_C, self.thresholds_C = weights_C, thresholds_C

    @property
    def describes(self) -> str:
        """How it decides, in words."""
        if self.thresholds_C is None:
            return "classes weighed"
        low, high = self.thresholds_C.min(), self.thresholds_C.max()
        return f"labels answered from {low:.2g}" + (f" to {high:.2g}" if high > low else "") + " on"

    def predict(self, examples: pl.DataFrame) -> Predictions:
        """What the inner predictor answers, decided by the weights or thresholds."""
        return replace(self.inner.predict(examples), weights_C=self.weights_C, thresholds_C=self.thresholds_C)

    def save(self, folder: Path) -> None:
        """Write `decision.json`, and the inner predictor into `inner/`."""
        save_predictor(self.inner, folder / INNER)
        set_here = {"weights": self.weights_C, "thresholds": self.thresholds_C}
        named = {
            name: dict(zip(self.schema.classes, numbers_C.tolist(), strict=True))
            for name, numbers_C in set_here.items()
            if numbers_C is not None
        }
        (folder / FILE).write_text(json.dumps(named, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> Decision:
        """The predictor saved in `folder`."""
        named = json.loads((folder / FILE).read_text(encoding="utf-8"))
        found = {f"{name}_C": np.array([each[c] for c in schema.classes]) for name, each in named.items()}
        return cls(load_predictor(folder / INNER), **found)
