"""A masked language model: says how many bits the hidden words of a text take, from what stands on both sides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from modelwright.models.portions import by_length
from modelwright.models.predictors import Predictions
from modelwright.models.predictors.prepared import load_preparation, save_preparation
from modelwright.records import Schema

if TYPE_CHECKING:
    from modelwright.models.guesses import Guesses
    from modelwright.models.language import Language


@dataclass(frozen=True, slots=True)
class Masking:
    """How a text is read, and what the forms of its hidden words take.

    Args:
        max_length: Tokens that the model reads at once.
        form_nats_F: Of each form of a hidden word (models/guesses.py).
        describes: What the model is, in a line.
    """

    max_length: int = 256
    form_nats_F: tuple[float, ...] = ()
    describes: str = ""


class MaskedModel:
    """Answers by a masked language model on the device that it lies on; weights float32.

    Args:
        schema: What goes in and out.
        network: Its model is saved in transformers' own layout.
        preparation: See there.
        tokenizer: A fast one of transformers, with a mask token.
    """

    kind: ClassVar[str] = "masked_model"

    def __init__(self, schema: Schema, network: Language, preparation: Masking, tokenizer: Any) -> None:
        self.schema, self.network, self.preparation, self.tokenizer = schema, network, preparation, tokenizer

    @property
    def describes(self) -> str:
        """How it answers, in a line."""
        return self.preparation.describes

    def prepare(self, examples: pl.DataFrame) -> Guesses:
        """The examples as the network takes them."""
        from modelwright.models.guesses import guesses_of
        from modelwright.models.text import texts_of

        return guesses_of(self.tokenizer, texts_of(self.schema, examples), length=self.preparation.max_length)

    def predict(self, examples: pl.DataFrame) -> Predictions:
        """The bits that the hidden words of each text take, in their order."""
        return self.answers(self.outputs(self.prepare(examples)))

    def outputs(self, features: Guesses) -> np.ndarray:
        """Of each example the nats that the hidden tokens take, their number, and the nats of what tokens do not say:
        float64 (N, 3).
        """
        found_N3 = np.zeros((len(features), 3))
        for chosen in by_length(features.lengths_W):
            np.add.at(found_N3[:, :2], features.windows.owner_W[chosen], self.portion(features, chosen))
        found_N3[:, 2] = features.told_N(np.array(self.preparation.form_nats_F))
        return found_N3

    def portion(self, features: Guesses, chosen: np.ndarray) -> np.ndarray:
        """The first two of the windows at `chosen`, which are read at once, in float32 arithmetic: (w, 2).

        Leaves the network in evaluation mode.
        """
        from modelwright.models.language import surprises

        return surprises(self.network, features.windows, chosen)

    def drawn(self, features: Guesses, seed: int = 0) -> np.ndarray:
        """Outputs for these examples, drawn at random: to see how long what follows takes."""
        return np.random.default_rng(seed).uniform(1, 10, size=(len(features), 3))

    def writing_seconds(self, count: int) -> float:
        """Nothing is written."""
        return 0.0

    def answers(self, outputs: np.ndarray) -> Predictions:
        """Bits instead of nats."""
        return Predictions(values_N=(outputs[:, 0] + outputs[:, 2]) / math.log(2))

    def loss(self, outputs: np.ndarray, truth_N: np.ndarray) -> float:
        """Nats per hidden token."""
        return float(outputs[:, 0].sum() / max(1.0, outputs[:, 1].sum()))

    def save(self, folder: Path) -> None:
        """Write the model and the tokenizer in transformers' own layout, and the preparation."""
        from modelwright.models.language import save_language

        save_language(self.network, self.tokenizer, folder)
        save_preparation(self.preparation, folder)

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> MaskedModel:
        """The predictor that `save` wrote.

        Raises:
            IntegrityError: `preparation.json` is not one.
        """
        from modelwright.models.language import language_in
        from modelwright.models.text import tokenizer_from

        preparation = load_preparation(Masking, folder)
        return cls(schema, language_in(folder, "masked").eval(), preparation, tokenizer_from(folder))
