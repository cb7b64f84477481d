"""Known prompts with their answers, placed by a sentence encoder where one is on this machine, else by words."""

from __future__ import annotations

import numpy as np
import polars as pl

from modelwright.models.encode import find_encoder
from modelwright.models.features.design import fit_design
from modelwright.models.features.frame import spoken
from modelwright.models.predictors.nearest_answer import NearestAnswer, placed
from modelwright.records import Schema

KNOWN = 50_000
"""Prompts kept: an answer looks at all of them."""


def fit_nearest_answer(schema: Schema, train: pl.DataFrame, *, seed: int) -> NearestAnswer:
    """The prompts of `train` with their answers, a random KNOWN of them where there are more."""
    if len(train) > KNOWN:
        train = train[np.sort(np.random.default_rng(seed).permutation(len(train))[:KNOWN])]
    encoder = find_encoder()
    if encoder is None:
        return nearest_by_words(schema, train)
    return NearestAnswer(schema, encoder, placed(encoder, schema, train), train[schema.output].to_list())


def nearest_by_words(schema: Schema, train: pl.DataFrame) -> NearestAnswer:
    """All prompts of `train` with their answers, placed by their words."""
    design, known_MD = fit_design(schema, spoken(schema, train))
    return NearestAnswer(schema, design, known_MD, train[schema.output].to_list())
