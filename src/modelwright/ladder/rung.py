"""What a rung is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import polars as pl

from modelwright.models.encode import has_read
from modelwright.models.fitting.folds import out_of_fold
from modelwright.models.predictors import Predictions, Predictor
from modelwright.records import Schema, Task

FOLDS = 5
"""Of cross-validation within train. Fixed: estimates of time count on it."""


class Described(Predictor, Protocol):
    """A predictor that says in words how it answers."""

    @property
    def describes(self) -> str:
        """How it answers, in a line."""


class Fit(Protocol):
    """Fits a predictor on train, and on nothing else; the same train and seed give the same one."""

    def __call__(self, schema: Schema, train: pl.DataFrame, *, seed: int) -> Described:
        """The fitted predictor."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the ladder.

    Args:
        kind: What sort of thing it is, in a word or two, for the reader.
        fit: Makes the predictor.
        applies: The schema and the number of training examples -> why the rung is of no use there, or None.
        seconds: Schema and train -> about how long `fit` takes on two slow cores.
        folding_fits: How many times the work of a fit the answers to train by folds take.
        out_of_fold: The fitted predictor and the folds -> the answers to train, where there is a quicker way
            than a fit for each fold.
        judging_seconds: For a rung whose answers may take long: the fitted predictor, the examples that it is to be
            judged on and the seconds that are left -> about how long these answers take, or where it is soon clear that
            it is more than is left, how long at least. Such a rung is judged on validation alone.
        tasks: Those that it is made for; the ladder of another task does not have it.
    """

    kind: str
    fit: Fit
    applies: Callable[[Schema, int], str | None]
    seconds: Callable[[Schema, pl.DataFrame], float]
    folding_fits: float = FOLDS - 1.0
    out_of_fold: Callable[[Any, np.ndarray], Predictions] | None = None
    judging_seconds: Callable[[Any, pl.DataFrame, float], float] | None = None
    tasks: tuple[Task, ...] = ("classification", "regression")

    def answers_to_train(
        self, predictor: Described, schema: Schema, train: pl.DataFrame, fold_N: np.ndarray, *, seed: int
    ) -> Predictions:
        """The answer to each example of train by what has not seen its fold; `predictor` was fitted on train."""
        if self.out_of_fold is not None:
            return self.out_of_fold(predictor, fold_N)
        return out_of_fold(self.fit, schema, train, fold_N, seed=seed)

    def total_seconds(self, schema: Schema, train: pl.DataFrame, *, folded: bool) -> float:
        """About how long `fit` takes, with the answers to train where these are wanted."""
        return self.seconds(schema, train) * (1 + self.folding_fits * folded)


def reading_seconds(schema: Schema, train: pl.DataFrame) -> float:
    """About how long the sentence encoder reads `train`, 256 word pieces of a text; nothing where it just did."""
    return 0.0 if has_read(len(train)) else 4e-5 * min(text_characters(schema, train), 1100 * len(train))


def text_characters(schema: Schema, train: pl.DataFrame) -> int:
    """Characters in all columns of texts and of conversations of `train` together."""
    columns = [column.name for column in schema.inputs if column.kind in ("text", "messages")]
    return sum(int(train[name].cast(pl.String).str.len_chars().sum() or 0) for name in columns)
