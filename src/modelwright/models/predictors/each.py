"""Several labels: a predictor of two classes for each of them.

Dimensions: N examples, C labels.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from modelwright.models.predictors import Predictions, Predictor, load_predictor, save_predictor
from modelwright.records import Schema

NO, YES = "no", "yes"


def one_of(schema: Schema) -> Schema:
    """The question whether one label fits."""
    return replace(schema, task="classification", classes=(NO, YES), positive=YES)


class Each:
    """Answers with what each label's own predictor says of it."""

    kind = "each"

    def __init__(self, schema: Schema, members: tuple[Predictor, ...]) -> None:
        """`members` answer `one_of(schema)`, in the order of its labels."""
        self.schema = schema
        self._members = members

    @property
    def describes(self) -> str:
        """How it answers, in words."""
        kinds = sorted({member.kind for member in self._members})
        return f"{len(self._members)} predictors ({', '.join(kinds)}), one for each label"

    def predict(self, examples: pl.DataFrame) -> Predictions:
        """The probability of each label."""
        columns = [member.predict(examples).array[:, 1] for member in self._members]
        return Predictions(probabilities_NC=np.stack(columns, axis=1))

    def save(self, folder: Path) -> None:
        """Write each member into a folder of its own."""
        for place, member in enumerate(self._members):
            save_predictor(member, folder / str(place))

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> Each:
        """The predictor saved in `folder`."""
        return cls(schema, tuple(load_predictor(folder / str(place)) for place in range(len(schema.classes))))
