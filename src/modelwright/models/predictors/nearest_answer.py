"""The answer that was given to the nearest known prompt: what any model that writes must beat.

Letters: N prompts asked, M prompts known, D coordinates, K of the nearest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from modelwright.data.parts import objects
from modelwright.models.encode import REMEMBERED_FROM, copy_encoder, embed
from modelwright.models.features.design import Design
from modelwright.models.features.frame import spoken, texts
from modelwright.models.features.stored import load_state, save_state
from modelwright.models.predictors import Predictions
from modelwright.records import Schema

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

ENCODER = "encoder"
BLOCK_CELLS = 20_000_000
"""Likenesses held at once: 80 to 160 MB."""


class NearestAnswer:
    """Answers as was answered to the known prompt whose direction is nearest: by a sentence encoder, or by words."""

    kind = "nearest_answer"

    def __init__(
        self,
        schema: Schema,
        place: Path | Design,
        known_MD: np.ndarray | csr_matrix,
        answers: Sequence[str],
    ) -> None:
        """`place` is the folder of a sentence encoder, or the weights of words; rows of `known_MD` have length 1."""
        self.schema = schema
        self._place = place
        self._known_MD = known_MD
        self._answers = objects(answers)

    @property
    def describes(self) -> str:
        """Whom it asks, in words."""
        return f"what was answered to the nearest of {len(self._answers):,} prompts, by {self.likeness}"

    @property
    def likeness(self) -> str:
        """What nearness goes by, in words."""
        return "sentence embeddings" if isinstance(self._place, Path) else "words"

    def predict(self, examples: pl.DataFrame) -> Predictions:
        """The answer to the nearest known prompt of each example."""
        return Predictions(texts_N=self._answers[self.nearest_NK(examples, 1)[:, 0]])

    def nearest_NK(self, examples: pl.DataFrame, count: int) -> np.ndarray:
        """The places of the `count` known prompts that are nearest to each example's, the nearest first."""
        nearest = [np.zeros((0, count), np.int64)]
        # Of fewer texts the encoder reads each the same whatever stands beside it, and close calls stay as they are.
        step = REMEMBERED_FROM - 1 if isinstance(self._place, Path) else max(1, len(examples))
        for start in range(0, len(examples), step):
            asked_ND = placed(self._place, self.schema, examples[start : start + step])
            nearest.append(self._nearest_NK(asked_ND, count))
        return np.concatenate(nearest)

    def out_of_fold(self, fold_N: np.ndarray) -> Predictions:
        """The answer to each known prompt by the nearest one outside its fold; words are weighed as in all of them."""
        return Predictions(texts_N=self._answers[self._nearest_NK(self._known_MD, 1, fold_N)[:, 0]])

    def _nearest_NK(
        self, asked_ND: np.ndarray | csr_matrix, count: int, fold_N: np.ndarray | None = None
    ) -> np.ndarray:
        asked = asked_ND.shape[0]
        found_NK = np.zeros((asked, count), np.int64)
        step = max(1, BLOCK_CELLS // len(self._answers))
        for start in range(0, asked, step):
            block = slice(start, min(start + step, asked))
            like_NM = asked_ND[block] @ self._known_MD.T
            like_NM = like_NM if isinstance(like_NM, np.ndarray) else like_NM.toarray()
            if fold_N is not None:
                like_NM[fold_N[block, None] == fold_N[None, :]] = -np.inf
            for place in range(count):
                found_NK[block, place] = best_n = like_NM.argmax(axis=1)
                np.put_along_axis(like_NM, best_n[:, None], -np.inf, axis=1)
        return found_NK

    def save(self, folder: Path) -> None:
        """Write `nearest_answer.json` and `.safetensors`, and the encoder where one is used."""
        words = None if isinstance(self._place, Path) else self._place.state()
        save_state(folder, self.kind, {"words": words, "known_MD": self._known_MD, "answers": self._answers.tolist()})
        if isinstance(self._place, Path):
            copy_encoder(self._place, folder / ENCODER)

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> NearestAnswer:
        """The predictor saved in `folder`."""
        state = load_state(folder, cls.kind)
        place = folder / ENCODER if state["words"] is None else Design.from_state(state["words"])
        return cls(schema, place, state["known_MD"], state["answers"])


def placed(place: Path | Design, schema: Schema, examples: pl.DataFrame) -> np.ndarray | csr_matrix:
    """Where the prompts of `examples` lie, (N, D)."""
    asked = spoken(schema, examples)
    if isinstance(place, Path):
        return embed(place, texts(asked, schema.names))
    return place.transform(asked)
