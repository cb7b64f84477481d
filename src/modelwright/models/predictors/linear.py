"""A linear model: features times weights. Its scores are probabilities through the softmax; of several labels, each
through the sigmoid.

Dimensions: N examples, F features, C classes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from modelwright.models.features.design import Design
from modelwright.models.features.landmarks import Landmarks
from modelwright.models.features.stored import load_state, save_state
from modelwright.models.predictors import Predictions, sigmoid, softmax
from modelwright.records import Schema

_PER = {"regression": "", "classification": " a class", "multilabel": " a label"}


class Linear:
    """Scores `features @ weights_FC + bias_C`: log-odds of the classes, or the one value of a regression.

    Calibration is folded into weights and bias. The scores of values are kept within `limits`, which stand a
    little outside those seen in training: a linear model knows nothing of what lies beyond. With `logarithm`
    a score is ln(1 + value).
    """

    kind = "linear"

    def __init__(
        self,
        schema: Schema,
        design: Design | Landmarks,
        weights_FC: np.ndarray,
        bias_C: np.ndarray,
        limits: tuple[float, float] = (-np.inf, np.inf),
        logarithm: bool = False,
    ) -> None:
        self.schema = schema
        self._design = design
        self.weights_FC = weights_FC
        self.bias_C = bias_C
        self.limits = limits
        self.logarithm = logarithm

    @property
    def describes(self) -> str:
        """What it weighs, in words."""
        count, kinds = len(self.weights_FC), sorted({column.kind for column in self.schema.inputs})
        made_of = {"text": "words and characters", "image": "pixels and edges", "category": "categories"}
        spoken = [made_of.get(kind, f"{kind}s") for kind in kinds]
        return f"{count:,} weights{_PER[self.schema.task]} on {', '.join(spoken)}"

    def predict(self, examples: pl.DataFrame) -> Predictions:
        """Probabilities or values, one for each example."""
        scores_NC = np.asarray(self._design.transform(examples) @ self.weights_FC) + self.bias_C
        if self.schema.task == "regression":
            values_N = np.clip(scores_NC[:, 0].astype(np.float64), *self.limits)
            return Predictions(values_N=np.expm1(values_N) if self.logarithm else values_N)
        if self.schema.task == "multilabel":
            return Predictions(probabilities_NC=sigmoid(scores_NC))
        return Predictions(probabilities_NC=softmax(scores_NC))

    def save(self, folder: Path) -> None:
        """Write `linear.json` and `linear.safetensors`."""
        low, high = (float(limit) if np.isfinite(limit) else None for limit in self.limits)
        state = {
            "landmarks": isinstance(self._design, Landmarks),
            "design": self._design.state(),
            "weights_FC": self.weights_FC,
            "bias_C": self.bias_C,
            "limits": [low, high],
            "logarithm": self.logarithm,
        }
        save_state(folder, self.kind, state)

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> Linear:
        """The predictor saved in `folder`."""
        state = load_state(folder, cls.kind)
        low, high = state["limits"]
        limits = (-np.inf if low is None else low, np.inf if high is None else high)
        made_of: type[Design | Landmarks] = Landmarks if state["landmarks"] else Design
        design = made_of.from_state(state["design"])
        return cls(schema, design, state["weights_FC"], state["bias_C"], limits, state["logarithm"])
