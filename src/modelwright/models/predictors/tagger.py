"""A network of transformers that tags words: a text goes in, spans come out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from modelwright.models.portions import by_length
from modelwright.models.predictors import Predictions, log_loss, softmax
from modelwright.models.predictors.chain import answers_of
from modelwright.models.predictors.prepared import load_preparation, save_preparation
from modelwright.models.predictors.transformer import answer_portion
from modelwright.models.words import Place, tags_of
from modelwright.records import Schema

if TYPE_CHECKING:
    from modelwright.models.networks import Network
    from modelwright.models.pieces import Pieces

OUTSIDE = 20.0
"""By how much O leads at a word of which the tokenizer makes nothing."""
OVERLAP = 4
"""Windows share one part in so many of their tokens: a word then has an eighth of a window on each side. Chosen."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a text becomes tokens.

    Args:
        max_length: Tokens of a window at most.
        describes: How it answers, in a line.
    """

    max_length: int = 256
    describes: str = ""


@dataclass(frozen=True, slots=True)
class TagScores:
    """What the network says of V words of N texts: logits of K tags each, (V, K), and where the words stand."""

    places_N: tuple[tuple[Place, ...], ...]
    logits_VK: np.ndarray


class Tagger:
    """Answers by a network on the device that it lies on; weights float32.

    Args:
        schema: Of a tagging task.
        network: In evaluation mode, one output for each tag; not pooled.
        preparation: See there.
        tokenizer: A fast one.
    """

    kind: ClassVar[str] = "tagger"

    def __init__(self, schema: Schema, network: Network, preparation: Reading, tokenizer: Any) -> None:
        self.schema = schema
        self.network = network
        self.preparation = preparation
        self.tokenizer = tokenizer

    @property
    def describes(self) -> str:
        """How it answers, in a line."""
        return self.preparation.describes

    def prepare(self, examples: pl.DataFrame) -> Pieces:
        """The examples as the network takes them: long ones in windows that overlap."""
        from modelwright.models.pieces import pieces_of
        from modelwright.models.text import texts_of

        length = self.preparation.max_length
        return pieces_of(self.tokenizer, texts_of(self.schema, examples), length=length, overlap=length // OVERLAP)

    def predict(self, examples: pl.DataFrame) -> Predictions:
        """The spans of each text."""
        return self.answers(self.outputs(self.prepare(examples)))

    def outputs(self, features: Pieces) -> TagScores:
        """The logits of each word's tags; leaves the network in evaluation mode."""
        tokens = features.tokens
        found_FK = np.zeros((len(tokens.flat) + 1, self.network.head.out_features))  # the last row is padding's
        numbers = np.arange(len(tokens.flat))
        for chosen in by_length(features.lengths_W):
            found_FK[tokens.laid(numbers, chosen, fill=-1)] = self.portion(features, chosen)
        outside_K = np.zeros(found_FK.shape[1])
        outside_K[0] = OUTSIDE
        known_V = features.carrier_V >= 0
        logits_VK = np.where(known_V[:, None], found_FK[np.maximum(features.carrier_V, 0)], outside_K)
        return TagScores(features.places_N, logits_VK)

    def portion(self, features: Pieces, chosen: np.ndarray) -> np.ndarray:
        """The logits of every token (w, T, K), float64, of the windows at `chosen`, which are read at once."""
        return answer_portion(self.network, features, chosen)

    def drawn(self, features: Pieces, seed: int = 0) -> TagScores:
        """Outputs for these texts, drawn at random: to see how long what follows takes."""
        shape = len(features.carrier_V), self.network.head.out_features
        return TagScores(features.places_N, np.random.default_rng(seed).normal(size=shape))

    def writing_seconds(self, count: int) -> float:
        """Nothing: answers are read off the outputs."""
        return 0.0

    def answers(self, outputs: TagScores) -> Predictions:
        """The best valid chain of tags of each text, as spans."""
        return answers_of(self.schema, [list(places) for places in outputs.places_N], softmax(outputs.logits_VK))

    def loss(self, outputs: TagScores, truth_N: np.ndarray) -> float:
        """Mean cross-entropy of a word's tag."""
        pairs = zip(outputs.places_N, truth_N, strict=True)
        tags = [tags_of(places, spans, self.schema.classes) for places, spans in pairs]
        return log_loss(softmax(outputs.logits_VK), np.concatenate([np.zeros(0, np.int64), *tags]))

    def save(self, folder: Path) -> None:
        """Write the weights, the tokenizer and the preparation."""
        from modelwright.models.networks import save

        save(self.network, folder)
        self.tokenizer.save_pretrained(folder)
        save_preparation(self.preparation, folder)

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> Tagger:
        """The predictor that `save` wrote.

        Raises:
            IntegrityError: `preparation.json` is not one.
        """
        from modelwright.models.networks import restored
        from modelwright.models.text import tokenizer_from

        preparation = load_preparation(Reading, folder)
        network = restored(folder, outputs=1 + 2 * len(schema.classes), pooled=False)
        return cls(schema, network, preparation, tokenizer_from(folder))
