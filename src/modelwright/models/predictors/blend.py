"""The weighted mean of what other predictors answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl

from modelwright.errors import IntegrityError
from modelwright.models.predictors import Predictions, Predictor, load_predictor, save_predictor
from modelwright.records import Schema

FILE = "blend.json"


def mean_of(members: list[Predictions], weights: tuple[float, ...]) -> Predictions:
    """The weighted mean of the members' probabilities or values; the weights add up to 1."""
    if members[0].values_N is not None:
        values = [member.values_N for member in members if member.values_N is not None]
        return Predictions(values_N=np.tensordot(weights, np.stack(values), axes=1))
    tables = [member.probabilities_NC for member in members if member.probabilities_NC is not None]
    return Predictions(np.tensordot(weights, np.stack(tables), axes=1))


class Blend:
    """Several predictors that answer together, each with its weight."""

    kind = "blend"

    def __init__(self, schema: Schema, members: tuple[Predictor, ...], weights: tuple[float, ...]) -> None:
        """`weights` add up to 1, one for each member."""
        self.schema = schema
        self._members = members
        self._weights = weights

    def predict(self, examples: pl.DataFrame) -> Predictions:
        """The weighted mean of the members' answers."""
        return mean_of([member.predict(examples) for member in self._members], self._weights)

    def save(self, folder: Path) -> None:
        """Write `blend.json`, and each member into a folder of its own."""
        names = [f"{place}-{member.kind}" for place, member in enumerate(self._members)]
        for name, member in zip(names, self._members, strict=True):
            save_predictor(member, folder / name)
        about = {"members": names, "weights": self._weights}
        (folder / FILE).write_text(json.dumps(about), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> Blend:
        """The predictor saved in `folder`."""
        try:
            about = json.loads((folder / FILE).read_text(encoding="utf-8"))
            names, weights = about["members"], tuple(about["weights"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"{folder / FILE} cannot be read back: {error}") from error
        return cls(schema, tuple(load_predictor(folder / name) for name in names), weights)
