"""A language model as it is: nothing of it is trained; what it is asked with is chosen on train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from modelwright.models.chat import plain_ends, roles_of, talks_of
from modelwright.models.endings import settle_ends
from modelwright.models.fitting.nearest_answer import KNOWN, fit_nearest_answer
from modelwright.models.precision import device
from modelwright.models.predictors.few_shot import FewShot
from modelwright.models.predictors.language_model import LanguageModel, Wording
from modelwright.models.text import longest_tokens, texts_of, tokenizer_in
from modelwright.models.windows import ANSWERING, CONTEXT
from modelwright.records import Schema

SHOTS = 8
"""Examples that are shown at most. Chosen: most of what examples bring comes with the first few (Brown et al. 2020,
figure 1.2), and each is read anew for every answer."""


def fit_prompt(schema: Schema, train: pl.DataFrame, *, seed: int, base: Path) -> LanguageModel:
    """The model in the folder `base`, asked without an example.

    By its own chat template; a model without one is asked as `chat.PLAIN` puts it. How long an answer may be is what
    train says.

    Raises:
        InputError: it cannot be asked; says why.
    """
    return _asked(schema, train, base, shots=0)


def fit_few_shot(schema: Schema, train: pl.DataFrame, *, seed: int, base: Path) -> FewShot:
    """The same with the examples of train that are nearest to a prompt shown before it.

    Raises:
        InputError: as for `fit_prompt`.
    """
    if len(train) > KNOWN:
        train = train[np.sort(np.random.default_rng(seed).permutation(len(train))[:KNOWN])]
    language = _asked(schema, train, base, shots=SHOTS)
    return FewShot(language, fit_nearest_answer(schema, train, seed=seed), talks_of(schema, train), SHOTS)


def fit_base(schema: Schema, train: pl.DataFrame, *, seed: int, base: Path) -> LanguageModel:
    """The model in the folder `base`, as it reads texts before any training.

    Raises:
        InputError: it is no model that says what comes next.
    """
    return _loaded(schema, train, base, most=CONTEXT)


def _loaded(schema: Schema, train: pl.DataFrame, base: Path, *, most: dict[str, int], times: int = 1) -> LanguageModel:
    from modelwright.models.language import language_in

    network, tokenizer = language_in(base, "causal"), tokenizer_in(base)
    texts = texts_of(schema, train)
    if schema.task == "generation":
        texts += train[schema.output].cast(pl.String).fill_null("").to_list()
    settle_ends(tokenizer, texts, model=base.name, rows=network.vocabulary.out_features)
    place = device()
    network.to(place).eval()
    length = min(longest_tokens(base), times * most["cpu" if place == "cpu" else "cuda"])
    return LanguageModel(schema, network, Wording(max_length=length, describes=f"{base.name} as it is"), tokenizer)


def _asked(schema: Schema, train: pl.DataFrame, base: Path, *, shots: int) -> LanguageModel:
    predictor = _loaded(schema, train, base, most=ANSWERING, times=2 if shots else 1)
    tokenizer, how = predictor.tokenizer, predictor.preparation
    chat = bool(tokenizer.chat_template)
    how = replace(how, plain=not chat, ends=() if chat else plain_ends(schema, train))
    predictor.preparation = how
    asking = predictor.settle_asking(model=base.name, roles=roles_of(talks_of(schema, train)))
    longest = asking.answer_tokens(train, max_length=how.max_length)
    words = "by its chat template" if chat else "as questions to be answered"
    describes = f"{how.describes}, asked {words}"
    predictor.preparation = replace(how, max_new_tokens=longest, describes=describes)
    return predictor
