"""A network of transformers that answers: a text or an image goes in, a class or a number comes out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from modelwright.models.inputs import Features
from modelwright.models.portions import by_length
from modelwright.models.predictors import Predictions, label_loss, log_loss, sigmoid, softmax
from modelwright.models.predictors.prepared import load_preparation, save_preparation
from modelwright.records import Schema

if TYPE_CHECKING:
    from modelwright.models.networks import Network


@dataclass(frozen=True, slots=True)
class Preparation:
    """How an example becomes numbers for the network, and how its outputs become answers.

    `mean_C` and `deviation_C` are per colour channel, 0 to 1; `target_mean` and `target_deviation` undo the
    standardisation of a regression's targets; `temperature` divides the logits (Guo et al. 2017, eq. 9).
    """

    max_length: int = 256
    image_size: int = 0
    mean_C: tuple[float, ...] = ()
    deviation_C: tuple[float, ...] = ()
    target_mean: float = 0.0
    target_deviation: float = 1.0
    temperature: float = 1.0
    describes: str = ""


class Transformer:
    """Answers by a network on the device that it lies on; weights float32.

    Args:
        schema: What goes in and out.
        network: In evaluation mode; its encoder and head are saved as safetensors.
        preparation: See there.
        tokenizer: For text, else None.
    """

    kind: ClassVar[str] = "transformer"

    def __init__(self, schema: Schema, network: Network, preparation: Preparation, tokenizer: Any) -> None:
        self.schema = schema
        self.network = network
        self.preparation = preparation
        self.tokenizer = tokenizer

    @property
    def describes(self) -> str:
        """How it answers, in a line."""
        return self.preparation.describes

    def prepare(self, examples: pl.DataFrame) -> Features:
        """The examples as the network takes them."""
        from modelwright.models.image import pixels_of
        from modelwright.models.text import texts_of, tokenize

        if self.schema.kind == "image":
            scale = np.array(self.preparation.mean_C), np.array(self.preparation.deviation_C)
            return pixels_of(self.schema, examples, size=self.preparation.image_size, scale=scale)
        texts = texts_of(self.schema, examples)
        return tokenize(self.tokenizer, texts, max_length=self.preparation.max_length)

    def predict(self, examples: pl.DataFrame) -> Predictions:
        """The answers to `examples`, in their order."""
        return self.answers(self.outputs(self.prepare(examples)))

    def outputs(self, features: Features) -> np.ndarray:
        """The network's outputs (N, K)."""
        return outputs_NK(self.network, features)

    def answers(self, logits_NK: np.ndarray) -> Predictions:
        """What the network's outputs mean: probabilities, or values in the target's own unit."""
        how = self.preparation
        if self.schema.task == "regression":
            return Predictions(values_N=logits_NK[:, 0] * how.target_deviation + how.target_mean)
        if self.schema.task == "multilabel":
            return Predictions(probabilities_NC=sigmoid(logits_NK / how.temperature))
        return Predictions(probabilities_NC=softmax(logits_NK / how.temperature))

    def portion(self, features: Features, chosen: np.ndarray) -> np.ndarray:
        """The network's outputs (n, K) for the examples at `chosen`, which are read at once."""
        return answer_portion(self.network, features, chosen)

    def drawn(self, features: Features, seed: int = 0) -> np.ndarray:
        """Outputs for these examples, drawn at random: to see how long what follows takes."""
        return np.random.default_rng(seed).normal(size=(len(features), self.network.head.out_features))

    def writing_seconds(self, count: int) -> float:
        """Nothing: answers are read off the outputs."""
        return 0.0

    def loss(self, outputs_NK: np.ndarray, truth_N: np.ndarray) -> float:
        """Mean cross-entropy, or half the mean squared error of the standardised value."""
        answers, deviation = self.answers(outputs_NK), self.preparation.target_deviation
        if answers.values_N is not None:
            return float(0.5 * np.mean(((answers.values_N - truth_N) / deviation) ** 2))
        assert answers.probabilities_NC is not None
        if self.schema.task == "multilabel":
            return label_loss(answers.probabilities_NC, truth_N)
        return log_loss(answers.probabilities_NC, truth_N)

    def save(self, folder: Path) -> None:
        """Write the weights, the tokenizer and the preparation, that of images for transformers too."""
        from modelwright.models.networks import save
        from modelwright.models.preprocessor import save_preprocessor

        save(self.network, folder)
        if self.schema.kind == "image":
            how = self.preparation
            save_preprocessor(folder, side=how.image_size, mean_C=how.mean_C, deviation_C=how.deviation_C)
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(folder)
        save_preparation(self.preparation, folder)

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> Transformer:
        """The predictor that `save` wrote.

        Raises:
            IntegrityError: `preparation.json` is not one.
        """
        from modelwright.models.networks import restored
        from modelwright.models.text import tokenizer_from

        preparation = load_preparation(Preparation, folder)
        network = restored(folder, outputs=max(1, len(schema.classes)))
        return cls(schema, network, preparation, tokenizer_from(folder) if schema.kind == "text" else None)


def outputs_NK(network: Network, features: Features) -> np.ndarray:
    """The network's outputs (N, K), float64, in float32 arithmetic; batches are taken by length.

    One precision and no dropout, so that the answer to an example is the same alone and in a crowd, to
    rounding. Leaves the network in evaluation mode.
    """
    found_NK = np.zeros((len(features), network.head.out_features))
    for chosen in by_length(features.lengths_W):
        found_NK[chosen] = answer_portion(network, features, chosen)
    return found_NK


def answer_portion(network: Network, features: Features, chosen: np.ndarray) -> np.ndarray:
    """The network's outputs (n, K), float64, for the examples at `chosen`; see `outputs_NK`."""
    import torch

    network.eval()
    device = network.head.weight.device
    with torch.inference_mode():
        inputs = {name: each.to(device) for name, each in features.batch(chosen).items()}
        found_nK: np.ndarray = network(inputs).double().cpu().numpy()
    return found_nK
