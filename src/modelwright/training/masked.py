"""The job of a masked language model: an encoder that goes on learning from texts of one's own, or learns from scratch.

Going on with pre-training on the texts of a field is worth most before few labels of it are learnt from (Gururangan et
al. 2020, "Don't Stop Pretraining", sections 3 and 4).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from modelwright.data.parts import targets_N
from modelwright.errors import Fault, InputError
from modelwright.models.catalogue import catalogue
from modelwright.models.predictors.masked_model import MaskedModel, Masking
from modelwright.models.text import texts_of
from modelwright.records import Schema
from modelwright.training.job import Inputs, Job, built_on, watched_among
from modelwright.training.masks import masks_of
from modelwright.training.objectives import OBJECTIVES

if TYPE_CHECKING:
    from modelwright.models.language import Language

FRESH = (
    "the model comes without a layer that guesses words: it starts with a fresh one, so its first figures say nothing"
)


def build_masked(
    schema: Schema,
    train: pl.DataFrame,
    validation: pl.DataFrame,
    *,
    base: Path | str,
    settings: dict[str, Any],
    device: str | None,
    note: Callable[[str], None],
) -> Job:
    """As `training.job.build`; `settings` hold `max_length` and, from scratch, `vocabulary` too."""
    import torch

    from modelwright.models.guesses import form_nats

    torch.manual_seed(settings["seed"])
    note("loading the model" if isinstance(base, Path) else "learning a vocabulary")
    network, tokenizer = _network(schema, train, base, settings)
    network.to(built_on(settings, device))
    note("reading the examples")
    predictor = MaskedModel(schema, network, Masking(max_length=settings["max_length"]), tokenizer)
    watched = train[watched_among(len(train), len(validation))]
    first, second = predictor.prepare(watched), predictor.prepare(validation)
    forms = form_nats(first.forms_NF)
    predictor.preparation = Masking(max_length=settings["max_length"], form_nats_F=tuple(forms.tolist()))
    return Job(
        predictor=predictor,
        train=masks_of(tokenizer, texts_of(schema, train), length=settings["max_length"], seed=settings["seed"]),
        watched=Inputs(first, first.windows.targets, targets_N(schema, watched), by_token=True),
        validation=Inputs(second, second.windows.targets, targets_N(schema, validation), by_token=True),
        objective=OBJECTIVES["masked"](),
        settings=settings,
        base=base,
        notes=(FRESH,) if network.fresh else (),
    )


def _network(schema: Schema, train: pl.DataFrame, base: Path | str, settings: dict[str, Any]) -> tuple[Language, Any]:
    from modelwright.models.language import language_from_scratch, language_in
    from modelwright.models.text import tokenizer_from
    from modelwright.models.vocabulary import learn_masking_tokenizer

    if isinstance(base, Path):
        network = language_in(base, "masked")
        tokenizer = tokenizer_from(base, rows=network.vocabulary.out_features)
        if tokenizer.mask_token_id is None:
            found = f"{base}: its tokenizer has no mask token"
            raise InputError(Fault("model.base", found, "one", "set mask_token in its tokenizer_config.json"))
        if network.fresh and settings["rank"]:
            found = f"{base} has no layer that guesses words, and adapters would leave a fresh one as it is"
            raise InputError(Fault("model.method", found, "full"))
        return network, tokenizer
    entry = catalogue()[base]
    assert entry.kind == "masked" and entry.family is not None, "the schema would not be masked"
    tokenizer = learn_masking_tokenizer(texts_of(schema, train), size=settings["vocabulary"])
    sizes = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": settings["max_length"],
        "pad_token_id": tokenizer.pad_token_id,
    }
    return language_from_scratch(entry.family, "masked", {**entry.config, **sizes}), tokenizer
