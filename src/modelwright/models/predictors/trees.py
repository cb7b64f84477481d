"""Gradient-boosted trees (LightGBM), several forests averaged where there are several.

Dimensions: N examples, P columns, C classes of the schema, K classes seen in training.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from modelwright.errors import IntegrityError
from modelwright.models.features.ordinals import Ordinals
from modelwright.models.features.stored import load_state, save_state
from modelwright.models.predictors import Predictions
from modelwright.models.threads import cores
from modelwright.records import Schema

if TYPE_CHECKING:
    from lightgbm import Booster

FOREST = "forest.json"
SINGLE = 64
"""Up to so many examples one thread answers: waking others takes longer than the work."""
UNSEEN = 1e-9
"""The probability of a class that training did not see."""


class Trees:
    """Mean of the answers of the boosters; a booster of the logarithm of the values is turned back."""

    kind = "trees"

    def __init__(
        self,
        schema: Schema,
        ordinals: Ordinals,
        boosters: tuple[Booster, ...],
        classes_K: np.ndarray,
        *,
        logarithm: bool = False,
    ) -> None:
        """`classes_K` are the indices of the classes that the boosters tell apart (none for regression)."""
        self.schema = schema
        self._ordinals = ordinals
        self._boosters = boosters
        self._classes_K = classes_K
        self._logarithm = logarithm

    @property
    def describes(self) -> str:
        """How many rounds, and which columns told most."""
        rounds = " + ".join(str(booster.current_iteration()) for booster in self._boosters)
        telling = [f"{name} ({share:.0%})" for name, share in self.importance().items() if share > 0][:3]
        most = f", most telling {', '.join(telling)}" if telling else ""
        return f"{rounds} rounds of boosting{most}"

    @property
    def rounds(self) -> int:
        """Rounds of boosting."""
        return max(int(booster.current_iteration()) for booster in self._boosters)

    def predict(self, examples: pl.DataFrame) -> Predictions:
        """Probabilities or values, one for each example."""
        return self.predict_after(examples, None)

    def predict_after(self, examples: pl.DataFrame, rounds: int | None) -> Predictions:
        """What the first `rounds` rounds of boosting answer (None: all)."""
        cells_NP = self._ordinals.transform(examples)
        answers = [raw_answers(each, cells_NP, logarithm=self._logarithm, rounds=rounds) for each in self._boosters]
        if self.schema.task == "regression":
            return Predictions(values_N=np.mean(answers, axis=0))
        return Predictions(spread(np.mean(answers, axis=0), self._classes_K, len(self.schema.classes)))

    def importance(self) -> dict[str, float]:
        """The share of the gain in training that each column brought, those of one name together, most first."""
        gain_P = np.sum([booster.feature_importance("gain") for booster in self._boosters], axis=0)
        shares: dict[str, float] = {}
        for name, gain in zip(self._ordinals.names, gain_P, strict=True):
            shares[name] = shares.get(name, 0.0) + float(gain) / max(float(gain_P.sum()), 1e-300)
        return dict(sorted(shares.items(), key=lambda share: -share[1]))

    def save(self, folder: Path) -> None:
        """Write `trees.json` and `trees.safetensors` (columns) and `forest.json` (the trees)."""
        state = {
            "ordinals": self._ordinals.state(),
            "classes_K": self._classes_K,
            "logarithm": self._logarithm,
        }
        save_state(folder, self.kind, state)
        forest = [booster.model_to_string() for booster in self._boosters]
        (folder / FOREST).write_text(json.dumps({"boosters": forest}), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> Trees:
        """The predictor saved in `folder`."""
        from lightgbm import Booster
        from lightgbm.basic import LightGBMError

        state = load_state(folder, cls.kind)
        try:
            forest = json.loads((folder / FOREST).read_text(encoding="utf-8"))["boosters"]
            boosters = tuple(Booster(model_str=text) for text in forest)
        except (OSError, ValueError, KeyError, LightGBMError) as error:
            raise IntegrityError(f"{folder / FOREST} cannot be read back: {error}") from error
        ordinals = Ordinals.from_state(state["ordinals"])
        return cls(schema, ordinals, boosters, state["classes_K"], logarithm=state["logarithm"])


def raw_answers(booster: Any, table_NP: np.ndarray, *, logarithm: bool, rounds: int | None = None) -> np.ndarray:
    """What the booster answers after `rounds` (None: all): probabilities (N, K) of its classes, or values (N,)."""
    threads = 1 if len(table_NP) <= SINGLE else cores()
    if not len(table_NP):
        width = booster.num_model_per_iteration()
        return np.zeros((0, width) if width > 1 else 0)
    found = np.asarray(booster.predict(table_NP, num_iteration=rounds, num_threads=threads), dtype=np.float64)
    return np.asarray(np.expm1(found)) if logarithm else found


def spread(answers: np.ndarray, classes_K: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities (N, C) from those of the K classes seen; with two seen, of the second alone (N,)."""
    if len(classes_K) == 1:
        answers = np.ones((len(answers), 1))
    elif answers.ndim == 1:
        answers = np.column_stack([1 - answers, answers])
    spread_NC = np.full((len(answers), classes), UNSEEN)
    spread_NC[:, classes_K] = answers
    return np.asarray(spread_NC / spread_NC.sum(axis=1, keepdims=True))
