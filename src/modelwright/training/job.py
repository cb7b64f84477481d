"""All that one training of a network needs, built from the plan's settings: the same for the probe and the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from modelwright.data.parts import targets_N
from modelwright.errors import Fault, InputError
from modelwright.models.catalogue import catalogue
from modelwright.models.fitting.head import standardised
from modelwright.models.precision import device as best_device
from modelwright.models.predictors.transformer import Preparation, Transformer
from modelwright.records import Schema
from modelwright.training.batches import epoch_order
from modelwright.training.loop import Recipe
from modelwright.training.objectives import OBJECTIVES, Batch, Objective

if TYPE_CHECKING:
    import torch

    from modelwright.models.image import Pixels
    from modelwright.models.networks import Network
    from modelwright.models.text import Tokens


LEAST_WATCHED, MOST_WATCHED = 200, 1000
"""Training examples that are answered at each validation, to see over- from underfitting: as many as there are
validation examples, within these bounds."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """One part as the network takes it, with its targets (N,) on the objective's scale."""

    features: Tokens | Pixels
    targets_N: np.ndarray

    def __len__(self) -> int:
        return len(self.targets_N)


@dataclass(frozen=True, slots=True)
class Job:
    """A network, the two open parts, the objective, and how answers are read off."""

    predictor: Transformer
    train: Inputs
    validation: Inputs
    objective: Objective
    settings: dict[str, Any]
    base: Path | str

    @property
    def network(self) -> Network:
        """The network that is trained."""
        return self.predictor.network

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return self.network.head.weight.device

    @property
    def watched(self) -> Inputs:
        """The training examples that are answered at each validation, spread over all of them."""
        count = min(len(self.train), MOST_WATCHED, max(LEAST_WATCHED, len(self.validation)))
        chosen = np.linspace(0, len(self.train) - 1, count).astype(int)
        return Inputs(self.train.features.take(chosen), self.train.targets_N[chosen])

    def order(self, epoch: int) -> list[np.ndarray]:
        """The batches of `epoch`: a pure function of the seed and the epoch."""
        lengths_N = self.train.features.lengths_N
        return epoch_order(lengths_N, batch_size=self.settings["batch_size"], seed=self.settings["seed"], epoch=epoch)

    def fetch(self, positions: np.ndarray) -> Batch:
        """The training examples at `positions`, on the device; images varied."""
        import torch

        inputs = self.train.features.batch(positions, training=bool(self.settings["vary"]))
        moved = {name: each.to(self.device, non_blocking=True) for name, each in inputs.items()}
        return Batch(moved, torch.from_numpy(self.train.targets_N[positions]).to(self.device))

    def recipe(self) -> Recipe:
        """How the weights move, from the settings."""
        chosen = self.settings
        return Recipe(
            steps=chosen["steps"],
            warmup=chosen["warmup"],
            precision=chosen["precision"],
            max_grad_norm=chosen["max_grad_norm"],
            micro_batches=chosen["micro_batches"],
            seed=chosen["seed"],
        )


def build(
    schema: Schema,
    train: pl.DataFrame,
    validation: pl.DataFrame,
    *,
    base: Path | str,
    settings: dict[str, Any],
    device: str | None = None,
    note: Callable[[str], None] = lambda what: None,
) -> Job:
    """The job that trains `base` on `train`.

    Args:
        schema: Of text or image kind.
        train: The training part.
        validation: The validation part.
        base: A folder with a pre-trained model, or the name of a scratch entry of the catalogue.
        settings: At least `max_length` or `image_size`, `batch_size`, `seed`, `smoothing`, `vary`, `rank`.
        device: Where the network goes, if not to the best there is.
        note: Told what is being done, for progress.

    Raises:
        InputError: the model cannot be read, or its input kind is another.
    """
    import torch

    torch.manual_seed(settings["seed"])
    outputs = max(1, len(schema.classes))
    note("loading the model")
    network, tokenizer = _network(schema, base, outputs=outputs, image_size=settings["image_size"])
    network.to(device=device or best_device(), memory_format=torch.channels_last if schema.kind == "image" else None)
    note("reading the examples")
    truth = targets_N(schema, train), targets_N(schema, validation)
    first_N, mean, deviation = standardised(schema, truth[0])
    scaled = first_N, ((truth[1] - mean) / deviation).astype(first_N.dtype)
    features: list[Pixels] | list[Tokens]
    if schema.kind == "image":
        features, preparation = _images(schema, train, validation, settings["image_size"], mean, deviation)
    else:
        features = _texts(schema, (train, validation), tokenizer, settings["max_length"])
        preparation = Preparation(max_length=settings["max_length"], target_mean=mean, target_deviation=deviation)
    smoothing = {"smoothing": settings["smoothing"]} if schema.task == "classification" else {}
    return Job(
        predictor=Transformer(schema, network, preparation, tokenizer),
        train=Inputs(features[0], scaled[0]),
        validation=Inputs(features[1], scaled[1]),
        objective=OBJECTIVES[schema.task](**smoothing),
        settings=settings,
        base=base,
    )


def _network(schema: Schema, base: Path | str, *, outputs: int, image_size: int) -> tuple[Network, Any]:
    from modelwright.models.networks import pretrained, scratch
    from modelwright.models.text import tokenizer_from

    if isinstance(base, str):
        entry = catalogue()[base]
        if entry.kind != schema.kind or entry.family is None:
            found = f"{base!r} takes {entry.kind}, the input is {schema.kind}"
            raise InputError(Fault("model.base", found, f"a model of {schema.kind}"))
        return scratch(entry.family, entry.config, outputs=outputs, image_size=image_size), None
    try:
        network = pretrained(base, outputs=outputs)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        found = f"{base} cannot be loaded: {error}"
        raise InputError(Fault("model.base", found, "config.json and model.safetensors of one model")) from error
    return network, tokenizer_from(base) if schema.kind == "text" else None


def _texts(schema: Schema, parts: tuple[pl.DataFrame, ...], tokenizer: Any, max_length: int) -> list[Tokens]:
    from modelwright.models.text import texts_of, tokenize

    return [tokenize(tokenizer, texts_of(schema, part), max_length=max_length) for part in parts]


def _images(
    schema: Schema, train: pl.DataFrame, validation: pl.DataFrame, size: int, mean: float, deviation: float
) -> tuple[list[Pixels], Preparation]:
    from modelwright.models.image import pixels_of

    first = pixels_of(schema, train, size=size)
    second = pixels_of(schema, validation, size=size, scale=(first.mean_C, first.deviation_C))
    preparation = Preparation(
        image_size=size,
        mean_C=tuple(map(float, first.mean_C)),
        deviation_C=tuple(map(float, first.deviation_C)),
        target_mean=mean,
        target_deviation=deviation,
    )
    return [first, second], preparation
