"""All that one training of a network needs, built from the plan's settings: the same for the probe and the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl

from modelwright.models.inputs import Features
from modelwright.models.merging import about_merged
from modelwright.models.predictors import Predictions, Predictor
from modelwright.records import LANGUAGE_TASKS, Schema
from modelwright.training.batches import epoch_order
from modelwright.training.loop import Recipe
from modelwright.training.objectives import IGNORED, Batch, Objective

if TYPE_CHECKING:
    import torch


LEAST_WATCHED, MOST_WATCHED = 200, 1000
"""Training examples that are answered at each validation, to see over- from underfitting: as many as there are
validation examples, within these bounds."""


class Learner(Predictor, Protocol):
    """A predictor that holds a network, and what its outputs mean while it learns."""

    preparation: Any
    tokenizer: Any  # None for images

    @property
    def network(self) -> Any:
        """The network."""

    def outputs(self, features: Any) -> Any:
        """What the network says of N examples; leaves it in evaluation mode."""

    def portion(self, features: Any, chosen: np.ndarray) -> Any:
        """What it says of the pieces at `chosen`, which are read at once; portions are taken `by_length`."""

    def drawn(self, features: Any, seed: int = 0) -> Any:
        """Outputs for these examples, drawn at random: to see how long what follows takes."""

    def writing_seconds(self, count: int) -> float:
        """What writing the answers to so many examples takes, timed on a few; 0 where they are read off outputs."""

    def answers(self, outputs: Any) -> Predictions:
        """What these outputs mean."""

    def loss(self, outputs: Any, truth_N: np.ndarray) -> float:
        """The mean loss by unit, as the objective counts it, without smoothing."""


class Part(Protocol):
    """Examples as a network takes them, in batches that the loop asks for.

    A position may name its epoch too, as a multiple of what there is: `lengths_N` counts modulo that.
    """

    @property
    def lengths_N(self) -> np.ndarray:
        """Tokens at each position that `order` may name."""

    def __len__(self) -> int:
        """How many positions an epoch names."""

    def order(self, *, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch, as positions: a pure function of the three."""

    def batch(self, positions: np.ndarray, device: Any = "cpu") -> Batch:
        """What stands at these positions, on the device."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """One part: features, what the objective takes as targets, and what answers are judged by.

    Args:
        features: N examples as the network takes them.
        targets: (N,) or (N, K) by example, or one for each token, in the order of `features.flat`.
        truth_N: As `data.parts.targets_N` gives it.
        by_token: Which of the two the targets are.
        vary: Whether batches for training are varied (images).
    """

    features: Features
    targets: np.ndarray
    truth_N: np.ndarray
    by_token: bool = False
    vary: bool = False

    @property
    def lengths_N(self) -> np.ndarray:
        """Tokens of each example, 1 for an image."""
        return self.features.lengths_N

    def __len__(self) -> int:
        return len(self.features)

    def take(self, indices: np.ndarray) -> Inputs:
        """The examples at `indices` alone."""
        from modelwright.models.text import Tokens

        features, chosen = self.features, indices
        if self.by_token:
            assert isinstance(features, Tokens)
            chosen = features.places(indices)
        return replace(
            self, features=features.take(indices), targets=self.targets[chosen], truth_N=self.truth_N[indices]
        )

    def order(self, *, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
        """The batches of `epoch`, alike in length within."""
        return epoch_order(self.lengths_N, batch_size=batch_size, seed=seed, epoch=epoch)

    def batch(self, positions: np.ndarray, device: Any = "cpu") -> Batch:
        """The examples at `positions`, on the device."""
        import torch

        from modelwright.models.text import Tokens

        targets = self.targets[positions] if not self.by_token else None
        if targets is None:
            assert isinstance(self.features, Tokens)
            targets = self.features.laid(self.targets, positions, fill=IGNORED)
        inputs = self.features.batch(positions, training=self.vary)
        moved = {name: each.to(device, non_blocking=True) for name, each in inputs.items()}
        return Batch(moved, torch.from_numpy(targets).to(device))


@dataclass(frozen=True, slots=True)
class Job:
    """A network, the two open parts, the objective, and how answers are read off.

    Args:
        predictor: Holds the network.
        train: What the loop learns from.
        watched: Training examples that are answered at each validation, to see over- from underfitting.
        validation: The examples that decide.
        objective: The loss.
        settings: Of the plan.
        base: What the network was before.
        notes: What of the examples had to be left out or shortened, or what else is to be known, in sentences.
    """

    predictor: Learner
    train: Part
    watched: Inputs
    validation: Inputs
    objective: Objective
    settings: dict[str, Any]
    base: Path | str
    notes: tuple[str, ...] = ()

    @property
    def network(self) -> Any:
        """The network that is trained."""
        return self.predictor.network

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return next(iter(self.network.parameters())).device

    @property
    def examples(self) -> Inputs:
        """What the loop learns from, where that is one example at each position and no stream of text."""
        assert isinstance(self.train, Inputs)
        return self.train

    def order(self, epoch: int) -> list[np.ndarray]:
        """The batches of `epoch`: a pure function of the seed and the epoch."""
        return self.train.order(batch_size=self.settings["batch_size"], seed=self.settings["seed"], epoch=epoch)

    def fetch(self, positions: np.ndarray) -> Batch:
        """What the loop learns from at `positions`, on the device."""
        return self.train.batch(positions, self.device)

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


def load_libraries(settings: dict[str, Any]) -> None:
    """Import what the job needs, so that no clock counts it: it takes seconds, and only in a new process."""
    import torch  # noqa: F401  # imported for what it does
    from transformers import AutoModel, AutoTokenizer  # noqa: F401  # as above

    if settings["rank"]:
        import peft  # noqa: F401  # as above


def built_on(settings: dict[str, Any], device: str | None) -> str:
    """Where a network is built: on `device`, or the best there is. One that will be held in four bits is not to lie on
    a GPU before it is: whole, in float32, it may be more than that has.
    """
    from modelwright.models.precision import device as best_device

    return "cpu" if settings.get("quantised") else device or best_device()


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
        settings: At least `batch_size`, `seed`, `rank`, and what the builder of the task asks for.
        device: Where the network goes, if not to the best there is.
        note: Told what is being done, for progress.

    Raises:
        InputError: the model cannot be read, or its input kind is another.
    """
    if schema.masked:
        from modelwright.training.masked import build_masked as built
    elif schema.task in LANGUAGE_TASKS:
        from modelwright.training.languages import build_language as built
    elif schema.task == "tagging":
        from modelwright.training.taggers import build_tagger as built
    else:
        from modelwright.training.encoders import build_encoder as built
    job = built(schema, train, validation, base=base, settings=settings, device=device, note=note)
    about = about_merged(base)
    return replace(job, notes=(about, *job.notes)) if about else job


def spread(train: Inputs, validation: Inputs) -> Inputs:
    """The training examples to watch, from all over the part."""
    return train.take(watched_among(len(train), len(validation)))


def watched_among(count: int, validation: int) -> np.ndarray:
    """Which of `count` training examples are watched beside so many of validation: from all over the part."""
    watched = min(count, MOST_WATCHED, max(LEAST_WATCHED, validation))
    return np.linspace(0, count - 1, watched).astype(int)
