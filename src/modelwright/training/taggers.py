"""The job of a network that tags words: spans of texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from modelwright.data.parts import targets_N
from modelwright.models.predictors.tagger import Reading, Tagger
from modelwright.models.words import tags_of
from modelwright.records import Schema
from modelwright.training.encoders import fresh_text_encoder
from modelwright.training.job import Inputs, Job, built_on, spread
from modelwright.training.objectives import IGNORED, OBJECTIVES

if TYPE_CHECKING:
    from modelwright.models.networks import Network


def build_tagger(
    schema: Schema,
    train: pl.DataFrame,
    validation: pl.DataFrame,
    *,
    base: Path | str,
    settings: dict[str, Any],
    device: str | None,
    note: Callable[[str], None],
) -> Job:
    """As `training.job.build`; `settings` hold `max_length` and, from scratch, `vocabulary` too.

    The loop learns from windows, with a target for the first token of each word; the parts that are judged are texts.
    """
    import torch

    torch.manual_seed(settings["seed"])
    note("loading the model" if isinstance(base, Path) else "learning a vocabulary")
    network, tokenizer = _network(schema, train, base, settings)
    network.to(device=built_on(settings, device))
    note("reading the examples")
    predictor = Tagger(schema, network, Reading(max_length=settings["max_length"]), tokenizer)
    texts, learned = _part(predictor, train)
    held, _ = _part(predictor, validation)
    return Job(
        predictor=predictor,
        train=learned,
        watched=spread(texts, held),
        validation=held,
        objective=OBJECTIVES["tagging"](),
        settings=settings,
        base=base,
    )


def _network(schema: Schema, train: pl.DataFrame, base: Path | str, settings: dict[str, Any]) -> tuple[Network, Any]:
    from modelwright.models.networks import pretrained
    from modelwright.models.text import tokenizer_from

    tags = 1 + 2 * len(schema.classes)
    if isinstance(base, str):
        return fresh_text_encoder(schema, train, base, settings, outputs=tags, pooled=False)
    network = pretrained(base, outputs=tags, pooled=False)
    return network, tokenizer_from(base, rows=network.table.num_embeddings)


def _part(predictor: Tagger, examples: pl.DataFrame) -> tuple[Inputs, Inputs]:
    """A part as texts, to be judged, and as windows with a target for each token, to be learned from."""
    truth_N = targets_N(predictor.schema, examples)
    pieces = predictor.prepare(examples)
    pairs = zip(pieces.places_N, truth_N, strict=True)
    tags = [tags_of(places, spans, predictor.schema.classes) for places, spans in pairs]
    targets = pieces.targets(np.concatenate([np.zeros(0, np.int64), *tags]), nothing=IGNORED)
    windows = Inputs(pieces.tokens, targets, truth_N[pieces.owner_W], by_token=True)
    return Inputs(pieces, np.arange(len(pieces)), truth_N), windows
