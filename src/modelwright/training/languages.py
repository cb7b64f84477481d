"""The job of a language model: from scratch on a stream of blocks, or going on from a pre-trained one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from modelwright.data.parts import targets_N
from modelwright.errors import Fault, InputError
from modelwright.models.catalogue import catalogue
from modelwright.models.precision import device
from modelwright.models.predictors.language_model import LanguageModel, Wording
from modelwright.models.text import texts_of
from modelwright.records import Schema
from modelwright.training.job import LEAST_WATCHED, MOST_WATCHED, Inputs, Job
from modelwright.training.objectives import OBJECTIVES
from modelwright.training.streams import stream_of

if TYPE_CHECKING:
    from modelwright.models.language import Language


def build_language(
    schema: Schema,
    train: pl.DataFrame,
    validation: pl.DataFrame,
    *,
    base: Path | str,
    settings: dict[str, Any],
    note: Callable[[str], None],
) -> Job:
    """As `training.job.build`; `settings` hold `max_length` and, from scratch, `vocabulary` too."""
    import torch

    torch.manual_seed(settings["seed"])
    texts = texts_of(schema, train)
    note("loading the model" if isinstance(base, Path) else "learning a vocabulary")
    network, tokenizer = _network(base, texts, settings)
    network.to(device())
    note("reading the examples")
    predictor = LanguageModel(schema, network, Wording(max_length=settings["max_length"]), tokenizer)
    watched = train[_spread(len(train), len(validation))]
    return Job(
        predictor=predictor,
        train=stream_of(tokenizer, texts, length=settings["max_length"]),
        watched=_judged(predictor, schema, watched),
        validation=_judged(predictor, schema, validation),
        objective=OBJECTIVES["causal"](),
        settings=settings,
        base=base,
    )


def _network(base: Path | str, texts: list[str], settings: dict[str, Any]) -> tuple[Language, Any]:
    from modelwright.models.language import language_from_scratch, language_in
    from modelwright.models.text import tokenizer_from
    from modelwright.models.vocabulary import learn_tokenizer

    if isinstance(base, Path):
        return language_in(base, "causal"), tokenizer_from(base)
    entry = catalogue()[base]
    if entry.kind != "language" or entry.family is None:
        raise InputError(Fault("model.base", f"{base!r} takes {entry.kind}", "a language model"))
    tokenizer = learn_tokenizer(texts, size=settings["vocabulary"])
    sizes = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": settings["max_length"],
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return language_from_scratch(entry.family, "causal", {**entry.config, **sizes}), tokenizer


def _spread(count: int, validation: int) -> np.ndarray:
    """Which training texts are watched: from all over the part."""
    watched = min(count, MOST_WATCHED, max(LEAST_WATCHED, validation))
    return np.linspace(0, count - 1, watched).astype(int)


def _judged(predictor: LanguageModel, schema: Schema, examples: pl.DataFrame) -> Inputs:
    features = predictor.prepare(examples)
    return Inputs(features, features.targets, targets_N(schema, examples), by_token=True)
