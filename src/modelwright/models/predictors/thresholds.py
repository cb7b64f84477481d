"""Another predictor's probabilities, and how large each must be for its label to be answered."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from modelwright.models.predictors import Predictions, Predictor, load_predictor, save_predictor
from modelwright.records import Schema

FILE, INNER = "thresholds.json", "inner"


class Thresholds:
    """Answers with every label whose probability is at least its threshold; the probabilities stay as they are."""

    kind = "thresholds"

    def __init__(self, inner: Predictor, thresholds_C: np.ndarray) -> None:
        """`thresholds_C` has one number from 0 to 1 for each label, in the order of the schema."""
        self.schema = inner.schema
        self.inner = inner
        self.thresholds_C = np.asarray(thresholds_C, dtype=np.float64)

    @property
    def describes(self) -> str:
        """How it decides, in words."""
        low, high = self.thresholds_C.min(), self.thresholds_C.max()
        return f"labels answered from {low:.2g}" + (f" to {high:.2g}" if high > low else "") + " on"

    def predict(self, examples: pl.DataFrame) -> Predictions:
        """What the inner predictor answers, decided by the thresholds."""
        return replace(self.inner.predict(examples), thresholds_C=self.thresholds_C)

    def save(self, folder: Path) -> None:
        """Write `thresholds.json`, and the inner predictor into `inner/`."""
        save_predictor(self.inner, folder / INNER)
        thresholds = dict(zip(self.schema.classes, self.thresholds_C.tolist(), strict=True))
        (folder / FILE).write_text(json.dumps(thresholds, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> Thresholds:
        """The predictor saved in `folder`."""
        thresholds = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return cls(load_predictor(folder / INNER), np.array([thresholds[name] for name in schema.classes]))
