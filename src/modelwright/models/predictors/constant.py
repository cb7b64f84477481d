"""The same answer to everything: what any other predictor must beat."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl

from modelwright.data.parts import objects
from modelwright.errors import IntegrityError
from modelwright.models.predictors import Predictions
from modelwright.records import Schema

FILE = "constant.json"
QUOTED, SHOWN = 60, 5
"""Characters of a text that its description quotes, and labels that it names."""


class Constant:
    """Answers with the shares of the classes or labels, with one value, with one text, or with no span at all.

    Of several labels those are answered whose share is at least `threshold`.
    """

    kind = "constant"

    def __init__(self, schema: Schema, answer: tuple[float, ...] | str, threshold: float = 0.5) -> None:
        self.schema = schema
        self._answer = answer
        self._threshold = threshold

    @property
    def describes(self) -> str:
        """What it answers, in words."""
        if isinstance(self._answer, str):
            flat = " ".join(self._answer.split())
            return f"always {flat if len(flat) <= QUOTED else flat[:QUOTED] + '…'!r}, the commonest answer"
        if self.schema.task == "regression":
            return f"always {self._answer[0]:.4g}, the mean"
        if self.schema.task == "tagging":
            return "never finds anything"
        if self.schema.task == "multilabel":
            pairs = zip(self.schema.classes, self._answer, strict=True)
            said = [repr(name) for name, share in pairs if share >= self._threshold]
            return f"always {' and '.join(said[:SHOWN]) or 'nothing'}" + (" and more" if len(said) > SHOWN else "")
        likeliest = int(np.argmax(self._answer))
        return f"always {self.schema.classes[likeliest]!r}, {self._answer[likeliest]:.0%} of the examples"

    def predict(self, examples: pl.DataFrame) -> Predictions:
        """The same answer, once for each example."""
        if isinstance(self._answer, str):
            return Predictions(texts_N=objects([self._answer] * len(examples)))
        if self.schema.task == "tagging":
            return Predictions(spans_N=objects([()] * len(examples)), confidences_N=objects([()] * len(examples)))
        answers_NC = np.tile(np.asarray(self._answer, dtype=np.float64), (len(examples), 1))
        if self.schema.task == "regression":
            return Predictions(values_N=answers_NC[:, 0])
        if self.schema.task == "multilabel":
            return Predictions(answers_NC, thresholds_C=np.full(len(self._answer), self._threshold))
        return Predictions(answers_NC)

    def save(self, folder: Path) -> None:
        """Write `constant.json`."""
        (folder / FILE).write_text(json.dumps({"answer": self._answer, "threshold": self._threshold}), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> Constant:
        """The predictor saved in `folder`."""
        try:
            about = json.loads((folder / FILE).read_text(encoding="utf-8"))
            answer = about["answer"]
            return cls(schema, answer if isinstance(answer, str) else tuple(answer), about["threshold"])
        except (OSError, ValueError, KeyError) as error:
            raise IntegrityError(f"{folder / FILE} cannot be read back: {error}") from error
