"""The job of a language model: from scratch or going on from a pre-trained one, to model texts or to answer prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from modelwright.data.parts import targets_N
from modelwright.errors import Fault, InputError
from modelwright.models.catalogue import catalogue
from modelwright.models.chat import plain_ends, plain_source, roles_of, talks_of
from modelwright.models.endings import check_stop, settle_ends
from modelwright.models.predictors.language_model import LanguageModel, Wording
from modelwright.models.text import texts_of
from modelwright.models.windows import Windows, windows_of
from modelwright.records import Schema
from modelwright.training.job import Inputs, Job, Part, built_on, watched_among
from modelwright.training.objectives import OBJECTIVES
from modelwright.training.streams import stream_of

if TYPE_CHECKING:
    from modelwright.models.language import Language

WHY = {
    "too_long": "the answer alone is longer than what the model reads at once",
    "control_token": "a token that structures texts stands in one",
    "not_a_prefix": "the template writes the prompt otherwise once there is an answer",
    "template_fails": "the chat template fails on them",
}
"""A reason of `models.completions` -> what to tell."""


def build_language(
    schema: Schema,
    train: pl.DataFrame,
    validation: pl.DataFrame,
    *,
    base: Path | str,
    settings: dict[str, Any],
    device: str | None,
    note: Callable[[str], None],
) -> Job:
    """As `training.job.build`; `settings` hold `max_length`, `stream` and, from scratch, `vocabulary` too."""
    import torch

    torch.manual_seed(settings["seed"])
    note("loading the model" if isinstance(base, Path) else "learning a vocabulary")
    network, tokenizer, settled = _network(schema, train, base, settings)
    network.to(built_on(settings, device))
    note("reading the examples")
    predictor = LanguageModel(schema, network, Wording(max_length=settings["max_length"]), tokenizer)
    if schema.task == "generation":
        _set_wording(predictor, train, validation, model=str(base), scratch=isinstance(base, str))
    watched = train[watched_among(len(train), len(validation))]
    learnt, notes = _learnt(predictor, schema, train, settings)
    return Job(
        predictor=predictor,
        train=learnt,
        watched=_judged(predictor, schema, watched),
        validation=_judged(predictor, schema, validation),
        objective=OBJECTIVES["causal"](),
        settings=settings,
        base=base,
        notes=(*settled, *notes),
    )


def _network(
    schema: Schema, train: pl.DataFrame, base: Path | str, settings: dict[str, Any]
) -> tuple[Language, Any, tuple[str, ...]]:
    """The model, its tokenizer, and what had to be chosen for it, in words."""
    from modelwright.models.language import language_from_scratch, language_in
    from modelwright.models.text import tokenizer_in
    from modelwright.models.vocabulary import learn_tokenizer

    texts = texts_of(schema, train)
    if schema.task == "generation":
        texts += train[schema.output].cast(pl.String).fill_null("").to_list()
    if isinstance(base, Path):
        network, tokenizer = language_in(base, "causal"), tokenizer_in(base)
        settled = settle_ends(tokenizer, texts, model=base.name, rows=network.vocabulary.out_features)
        return network, tokenizer, settled
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
    return language_from_scratch(entry.family, "causal", {**entry.config, **sizes}), tokenizer, ()


def _set_wording(
    predictor: LanguageModel, train: pl.DataFrame, validation: pl.DataFrame, *, model: str, scratch: bool
) -> None:
    """How prompts are put, and how long an answer may be: by the model's own template, or ours from scratch.

    A pre-trained model without one only goes on with texts: it is taught in the words in which the ladder asks it as it
    is (`chat.PLAIN`), and its answers end where they end there too, should it not have learnt its end token yet.
    """
    schema, tokenizer, how = predictor.schema, predictor.tokenizer, predictor.preparation
    plain = not (scratch or tokenizer.chat_template)
    if plain:
        tokenizer.chat_template = plain_source(tokenizer)
    roles = roles_of(talks_of(schema, train)) | roles_of(talks_of(schema, validation))
    asking = predictor.settle_asking(model=model, roles=roles)
    if asking.template.ours:
        tokenizer.chat_template = asking.template.source  # saved with the tokenizer, so that others put prompts alike
    longest = asking.answer_tokens(train, max_length=how.max_length)
    ends = plain_ends(schema, train) if plain else ()
    predictor.preparation = replace(how, max_new_tokens=longest, ends=ends)


def _learnt(
    predictor: LanguageModel, schema: Schema, train: pl.DataFrame, settings: dict[str, Any]
) -> tuple[Part, tuple[str, ...]]:
    """What the loop learns from, and what of the examples it does not.

    One stream, or texts by themselves, of like length within a batch.
    """
    length = settings["max_length"]
    if settings["stream"]:
        return stream_of(predictor.tokenizer, texts_of(schema, train), length=length), ()
    if schema.task == "language-modeling":
        windows = windows_of(predictor.tokenizer, texts_of(schema, train), length=length)
        return Inputs(windows.tokens, windows.targets, np.zeros(len(windows.tokens)), by_token=True), ()
    found = predictor.asking.learnt(train, max_length=length)
    check_stop(found, predictor.asking.stops())
    left_out = Counter(each.reason for each in found.dropped)
    told = [
        f"{count:,} of {len(train):,} examples are not learnt from: {WHY.get(reason, reason)}"
        for reason, count in left_out.items()
    ]
    learnt = Inputs(found.tokens, found.targets_flat, np.zeros(len(found)), by_token=True)
    return learnt, (*told, *found.notes)


def _judged(predictor: LanguageModel, schema: Schema, examples: pl.DataFrame) -> Inputs:
    features: Windows = predictor.prepare(examples)
    return Inputs(features, features.targets, targets_N(schema, examples), by_token=True)
