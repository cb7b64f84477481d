"""The job of a network that reads a text or an image and answers with a class or a number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from modelwright.data.parts import targets_N
from modelwright.errors import Fault, InputError
from modelwright.models.catalogue import catalogue
from modelwright.models.fitting.head import standardised
from modelwright.models.precision import device as best_device
from modelwright.models.predictors.transformer import Preparation, Transformer
from modelwright.records import Schema
from modelwright.training.job import Inputs, Job, spread
from modelwright.training.objectives import OBJECTIVES

if TYPE_CHECKING:
    from modelwright.models.image import Pixels
    from modelwright.models.networks import Network
    from modelwright.models.text import Tokens


def build_encoder(
    schema: Schema,
    train: pl.DataFrame,
    validation: pl.DataFrame,
    *,
    base: Path | str,
    settings: dict[str, Any],
    device: str | None,
    note: Callable[[str], None],
) -> Job:
    """As `training.job.build`; `settings` hold `max_length` or `image_size`, `smoothing` and `vary` too."""
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
    vary = schema.kind == "image" and bool(settings["vary"])
    first = Inputs(features[0], scaled[0], truth[0], vary=vary)
    second = Inputs(features[1], scaled[1], truth[1], vary=vary)
    return Job(
        predictor=Transformer(schema, network, preparation, tokenizer),
        train=first,
        watched=spread(first, second),
        validation=second,
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
