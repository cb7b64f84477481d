"""A linear tagger: each word's features times weights, and the best valid chain of tags.

Dimensions: T words, F features, K tags.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from modelwright.data.parts import objects
from modelwright.models.features.context import features_in, matrix_of
from modelwright.models.features.stored import load_state, save_state
from modelwright.models.predictors import Predictions, softmax
from modelwright.models.words import best_paths, places_of, spans_of, texts_in
from modelwright.records import Schema


class Chain:
    """Tags words by a linear model of each word in its context.

    Args:
        schema: Of a tagging task.
        vocabulary: Feature -> its row of the weights.
        weights_FK: float32.
        bias_K: Added to the scores; what makes it bolder or more careful is in the first.
    """

    kind = "chain"

    def __init__(self, schema: Schema, vocabulary: dict[str, int], weights_FK: np.ndarray, bias_K: np.ndarray) -> None:
        self.schema = schema
        self.vocabulary = vocabulary
        self.weights_FK = weights_FK
        self.bias_K = bias_K

    @property
    def describes(self) -> str:
        """What it weighs, in words."""
        return f"{len(self.vocabulary):,} features of words and their neighbours, and the best valid chain of tags"

    def predict(self, examples: pl.DataFrame) -> Predictions:
        """The spans of each text."""
        texts = texts_in(self.schema, examples)
        places_N = [places_of(text) for text in texts]
        rows = [row for text, places in zip(texts, places_N, strict=True) for row in features_in(text, places)]
        scores_TK = np.asarray(matrix_of(rows, self.vocabulary) @ self.weights_FK) + self.bias_K
        return answers_of(self.schema, places_N, softmax(scores_TK))

    def save(self, folder: Path) -> None:
        """Write `chain.json` and `chain.safetensors`."""
        state = {"features": list(self.vocabulary), "weights_FK": self.weights_FK, "bias_K": self.bias_K}
        save_state(folder, self.kind, state)

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> Chain:
        """The predictor saved in `folder`."""
        state = load_state(folder, cls.kind)
        vocabulary = {feature: row for row, feature in enumerate(state["features"])}
        return cls(schema, vocabulary, state["weights_FK"], state["bias_K"])


def answers_of(schema: Schema, places_N: list[list[tuple[int, int]]], shares_TK: np.ndarray) -> Predictions:
    """The spans of texts from the probabilities of the tags of all their words, one text after the other."""
    ends = np.cumsum([len(places) for places in places_N])[:-1]
    shares_N = np.split(shares_TK, ends) if places_N else []
    paths = best_paths([np.log(np.maximum(each, 1e-12)) for each in shares_N])
    found = [
        spans_of(places, tags_T, shares[np.arange(len(tags_T)), tags_T], schema.classes)
        for places, shares, tags_T in zip(places_N, shares_N, paths, strict=True)
    ]
    return Predictions(
        spans_N=objects(spans for spans, _ in found), confidences_N=objects(shares for _, shares in found)
    )
