"""The job of a network that reads a text or an image and answers with a class or a number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from modelwright.data.parts import targets_N
from modelwright.errors import Fault, InputError
from modelwright.models.catalogue import FRESH_TEXT, catalogue
from modelwright.models.fitting.head import standardised
from modelwright.models.predictors.transformer import Preparation, Transformer
from modelwright.models.text import texts_of
from modelwright.records import Schema
from modelwright.training.job import Inputs, Job, built_on, spread
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
    """As `training.job.build`; `settings` hold `max_length` or `image_size`, `smoothing` and `vary` too, and for a text
    encoder from scratch `vocabulary`.
    """
    import torch

    torch.manual_seed(settings["seed"])
    outputs = max(1, len(schema.classes))
    fresh = isinstance(base, str) and schema.kind == "text"
    note("learning a vocabulary" if fresh else "loading the model")
    network, tokenizer = _network(schema, train, base, settings, outputs=outputs)
    layout = torch.channels_last if schema.kind == "image" else None
    network.to(device=built_on(settings, device), memory_format=layout)
    note("reading the examples")
    truth = targets_N(schema, train), targets_N(schema, validation)
    first_N, mean, deviation = standardised(schema, truth[0])
    scaled = first_N, ((truth[1] - mean) / deviation).astype(first_N.dtype)
    features: list[Pixels] | list[Tokens]
    if schema.kind == "image":
        features, preparation = _images(schema, train, validation, base, settings["image_size"], mean, deviation)
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


def fresh_text_encoder(
    schema: Schema, train: pl.DataFrame, name: str, settings: dict[str, Any], *, outputs: int, pooled: bool = True
) -> tuple[Network, Any]:
    """A network with fresh weights, and the tokenizer that it reads with, learnt from the texts of `train` alone.

    Args:
        schema: Of text kind.
        train: The training part.
        name: Of the catalogue.
        settings: Hold `max_length` and `vocabulary`.
        outputs: K.
        pooled: False gives outputs for each token.

    Raises:
        InputError: the catalogue's entry is no encoder of text.
    """
    from modelwright.models.networks import text_from_scratch
    from modelwright.models.vocabulary import learn_masking_tokenizer

    entry = catalogue()[name]
    if entry.kind != FRESH_TEXT or entry.family is None:
        named = " or ".join(each.name for each in catalogue().values() if each.kind == FRESH_TEXT)
        raise InputError(Fault("model.base", f"{name!r} is no encoder of text", f"{named}, or a pre-trained one"))
    tokenizer = learn_masking_tokenizer(texts_of(schema, train), size=settings["vocabulary"])
    sizes = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": settings["max_length"],
        "pad_token_id": tokenizer.pad_token_id,
    }
    return text_from_scratch(entry.family, {**entry.config, **sizes}, outputs=outputs, pooled=pooled), tokenizer


def _network(
    schema: Schema, train: pl.DataFrame, base: Path | str, settings: dict[str, Any], *, outputs: int
) -> tuple[Network, Any]:
    from modelwright.models.networks import pretrained, scratch
    from modelwright.models.text import tokenizer_from

    if isinstance(base, str) and schema.kind == "text":
        return fresh_text_encoder(schema, train, base, settings, outputs=outputs)
    if isinstance(base, str):
        entry = catalogue()[base]
        if entry.kind != schema.kind or entry.family is None:
            found = f"{base!r} takes {entry.kind}, the input is {schema.kind}"
            raise InputError(Fault("model.base", found, f"a model of {schema.kind}"))
        return scratch(entry.family, entry.config, outputs=outputs, image_size=settings["image_size"]), None
    network = pretrained(base, outputs=outputs)
    return network, tokenizer_from(base, rows=network.table.num_embeddings) if schema.kind == "text" else None


def _texts(schema: Schema, parts: tuple[pl.DataFrame, ...], tokenizer: Any, max_length: int) -> list[Tokens]:
    from modelwright.models.text import tokenize

    return [tokenize(tokenizer, texts_of(schema, part), max_length=max_length) for part in parts]


def _images(
    schema: Schema,
    train: pl.DataFrame,
    validation: pl.DataFrame,
    base: Path | str,
    size: int,
    mean: float,
    deviation: float,
) -> tuple[list[Pixels], Preparation]:
    from modelwright.models.image import pixels_of
    from modelwright.models.preprocessor import own_scale

    first = pixels_of(schema, train, size=size, scale=own_scale(base) if isinstance(base, Path) else None)
    second = pixels_of(schema, validation, size=size, scale=(first.mean_C, first.deviation_C))
    preparation = Preparation(
        image_size=size,
        mean_C=tuple(map(float, first.mean_C)),
        deviation_C=tuple(map(float, first.deviation_C)),
        target_mean=mean,
        target_deviation=deviation,
    )
    return [first, second], preparation
