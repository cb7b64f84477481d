"""The answer of the nearest known examples.

Dimensions: N examples asked about, M examples known, D coordinates, K neighbours, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from modelwright.models.encode import copy_encoder, embed
from modelwright.models.features.design import Design, of_kind
from modelwright.models.features.frame import texts
from modelwright.models.features.stored import load_state, save_state
from modelwright.models.predictors import Predictions, as_predictions
from modelwright.records import Schema

ENCODER = "encoder"
BLOCK_CELLS = 20_000_000
"""Distances held at once: 80 MB."""


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Where examples lie: a sentence encoder's embeddings, or the features of a design."""

    schema: Schema
    encoder: Path | None
    design: Design | None

    def of(self, examples: pl.DataFrame) -> np.ndarray:
        """The coordinates of each example, float32 (N, D)."""
        if self.encoder is not None:
            return embed(self.encoder, texts(examples, of_kind(self.schema, "text")))
        assert self.design is not None
        features = self.design.transform(examples)
        dense = features if isinstance(features, np.ndarray) else features.toarray()
        return np.asarray(dense, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Voting:
    """How many neighbours are asked, how fast a vote fades with distance (0: not at all), and how many
    neighbours' worth of the overall answer is mixed in.
    """

    count: int
    fading: float = 0.0
    prior: float = 0.5


class Neighbours:
    """Mean answer of the K nearest known examples, each weighted exp(-fading * d² / mean d²)."""

    kind = "neighbours"

    def __init__(
        self, schema: Schema, coordinates: Coordinates, known_MD: np.ndarray, answers_M: np.ndarray, voting: Voting
    ) -> None:
        """`answers_M` holds class indices (int64), values (float64), or which labels fit, bool (M, C)."""
        self.schema = schema
        self._coordinates = coordinates
        self._known_MD = known_MD
        self._answers_M = answers_M
        self._voting = voting

    @property
    def describes(self) -> str:
        """Whom it asks, in words."""
        how = "sentence embeddings" if self._coordinates.encoder is not None else "scaled features"
        count = min(self._voting.count, len(self._known_MD))
        return f"the {count} nearest of {len(self._known_MD):,} examples, by {how}"

    def predict(self, examples: pl.DataFrame) -> Predictions:
        """Probabilities or values, one for each example."""
        if not len(examples):
            shape = (0,) if self.schema.task == "regression" else (0, len(self.schema.classes))
            return as_predictions(self.schema, np.zeros(shape))
        asked_ND = self._coordinates.of(examples)
        nearest_NK, squares_NK = nearest(asked_ND, self._known_MD, self._voting.count)
        prior = mean_answer(self.schema, self._answers_M)
        return as_predictions(
            self.schema, vote(self.schema, self._answers_M[nearest_NK], squares_NK, self._voting, prior)
        )

    def out_of_fold(self, fold_N: np.ndarray) -> Predictions:
        """The answer to each known example by the others outside its fold.

        Coordinates and voting come from all of them: they hold no more of an example's answer than one
        vote among thousands, and embedding texts once instead of five times is what makes this affordable.
        """
        codes = np.concatenate([fold_N, fold_N])
        nearest_NK, squares_NK = nearest(self._known_MD, self._known_MD, self._voting.count, codes)
        prior = mean_answer(self.schema, self._answers_M)
        return as_predictions(
            self.schema, vote(self.schema, self._answers_M[nearest_NK], squares_NK, self._voting, prior)
        )

    def save(self, folder: Path) -> None:
        """Write `neighbours.json` and `neighbours.safetensors`, and the encoder where one is used."""
        design = self._coordinates.design
        state = {
            "design": None if design is None else design.state(),
            "known_MD": self._known_MD,
            "answers_M": self._answers_M,
            "voting": [self._voting.count, self._voting.fading, self._voting.prior],
        }
        save_state(folder, self.kind, state)
        if self._coordinates.encoder is not None:
            copy_encoder(self._coordinates.encoder, folder / ENCODER)

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> Neighbours:
        """The predictor saved in `folder`."""
        state = load_state(folder, cls.kind)
        stored = state["design"]
        design = None if stored is None else Design.from_state(stored)
        coordinates = Coordinates(schema, folder / ENCODER if design is None else None, design)
        return cls(schema, coordinates, state["known_MD"], state["answers_M"], Voting(*state["voting"]))


def nearest(
    asked_ND: np.ndarray, known_MD: np.ndarray, count: int, barred_NM: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The `count` nearest known examples of each asked one, nearest first, and their squared distances.

    Args:
        barred_NM: Codes (N,) and (M,) stacked as one array of N + M: a known example with the code of the
            asked one is not its neighbour (itself, or its fold).
    """
    asked, known = len(asked_ND), len(known_MD)
    count = min(count, known)
    nearest_NK = np.empty((asked, count), dtype=np.int64)
    squares_NK = np.empty((asked, count), dtype=np.float32)
    norms_M = (known_MD**2).sum(axis=1)
    step = max(1, BLOCK_CELLS // known)
    for start in range(0, asked, step):
        block = slice(start, min(start + step, asked))
        squares_NM = norms_M - 2 * (asked_ND[block] @ known_MD.T)
        squares_NM += (asked_ND[block] ** 2).sum(axis=1)[:, None]
        if barred_NM is not None:
            squares_NM[barred_NM[:asked][block, None] == barred_NM[asked:][None, :]] = np.inf
        if count < known:
            chosen = np.argpartition(squares_NM, count - 1, axis=1)[:, :count]
        else:
            chosen = np.tile(np.arange(known), (len(squares_NM), 1))
        found = np.take_along_axis(squares_NM, chosen, axis=1)
        order = np.lexsort((chosen, found), axis=1)
        nearest_NK[block] = np.take_along_axis(chosen, order, axis=1)
        squares_NK[block] = np.maximum(np.take_along_axis(found, order, axis=1), 0)
    return nearest_NK, squares_NK


def vote(
    schema: Schema, answers_NK: np.ndarray, squares_NK: np.ndarray, voting: Voting, prior: np.ndarray
) -> np.ndarray:
    """Probabilities (N, C) or values (N,) from the answers of the neighbours, nearest first.

    A neighbour at an infinite distance (barred) has no vote.
    """
    answers_NK, squares_NK = answers_NK[:, : voting.count], squares_NK[:, : voting.count]
    finite_NK = np.isfinite(squares_NK)
    squares_NK = np.where(finite_NK, squares_NK, 0).astype(np.float64)
    mean_N1 = squares_NK.sum(axis=1, keepdims=True) / np.maximum(1, finite_NK.sum(axis=1, keepdims=True))
    votes_NK = np.exp(-voting.fading * squares_NK / np.maximum(mean_N1, 1e-12)) * finite_NK
    total_N = np.maximum(votes_NK.sum(axis=1), 1e-300)
    if schema.task == "regression":
        return np.asarray((votes_NK * answers_NK).sum(axis=1) / total_N)
    shares_NC = np.zeros((len(answers_NK), len(schema.classes)))
    if schema.task == "multilabel":
        for k in range(votes_NK.shape[1]):
            shares_NC += (votes_NK[:, k] / total_N)[:, None] * answers_NK[:, k]
    else:
        places_NK = np.broadcast_to(np.arange(len(answers_NK))[:, None], answers_NK.shape)
        np.add.at(shares_NC, (places_NK, answers_NK), votes_NK / total_N[:, None])
    # Kish's effective count: how many equal votes these unequal ones are worth.
    worth_N1 = (total_N**2 / np.maximum((votes_NK**2).sum(axis=1), 1e-300))[:, None]
    return np.asarray((shares_NC * worth_N1 + voting.prior * prior) / (worth_N1 + voting.prior))


def mean_answer(schema: Schema, answers_M: np.ndarray) -> np.ndarray:
    """The shares of the classes or labels (C,), or the mean value."""
    if schema.task in ("regression", "multilabel"):
        return np.asarray(answers_M.mean(axis=0))
    return np.bincount(answers_M, minlength=len(schema.classes)) / len(answers_M)
