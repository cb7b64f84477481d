"""Nearest neighbours: how many to ask is chosen by leaving one out.

Dimensions: N examples asked, M known, D coordinates, K neighbours.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import polars as pl

from modelwright.data.parts import targets_N as targets_of
from modelwright.models.encode import find_encoder
from modelwright.models.features.design import fit_design
from modelwright.models.predictors import label_loss, log_loss
from modelwright.models.predictors.neighbours import Coordinates, Neighbours, Voting, mean_answer, nearest, vote
from modelwright.models.threads import one_thread
from modelwright.records import Schema

COUNTS = (1, 2, 3, 5, 8, 12, 20, 32, 50)
FADINGS = (0.0, 1.0, 4.0, 16.0)
PRIORS = (0.5, 0.1, 0.02)
"""What is tried. Chosen: about factors of 1.6, 4 and 5."""
KNOWN = 50_000
"""Examples kept: an answer looks at all of them."""
TRIED = 4000
"""Examples left out, one at a time, to choose the voting."""


def fit_neighbours(schema: Schema, train: pl.DataFrame, *, seed: int) -> Neighbours:
    """Neighbours among `train`: by sentence embeddings for text, by scaled features otherwise."""
    generator = np.random.default_rng(seed)
    if len(train) > KNOWN:
        train = train[np.sort(generator.permutation(len(train))[:KNOWN])]
    coordinates, known_MD = _placed(schema, train)
    answers_M = targets_of(schema, train)
    with one_thread():
        voting = _choose(schema, known_MD, answers_M, generator)
    return Neighbours(schema, coordinates, known_MD, answers_M, voting)


def _placed(schema: Schema, train: pl.DataFrame) -> tuple[Coordinates, np.ndarray]:
    """The coordinates that suit the schema, and those of `train`."""
    encoder = find_encoder() if schema.kind == "text" else None
    design = None if encoder is not None else fit_design(schema, train, with_text=schema.kind == "text")[0]
    coordinates = Coordinates(schema, encoder, design)
    return coordinates, coordinates.of(train)


def _choose(schema: Schema, known_MD: np.ndarray, answers_M: np.ndarray, generator: np.random.Generator) -> Voting:
    """The voting with the least log loss (or squared error) when each tried example asks all others."""
    tried = np.sort(generator.permutation(len(known_MD))[:TRIED])
    own = np.concatenate([tried, np.arange(len(known_MD))])
    most = min(max(COUNTS), len(known_MD) - 1)
    if most < 1:
        return Voting(1)
    nearest_NK, squares_NK = nearest(known_MD[tried], known_MD, most, own)
    prior = mean_answer(schema, answers_M)
    best, least = Voting(1), np.inf
    for count in (each for each in COUNTS if each <= most):
        for fading, prior_worth in product(FADINGS if count > 1 else (0.0,), PRIORS):
            voting = Voting(count, fading, prior_worth)
            answers = vote(schema, answers_M[nearest_NK], squares_NK, voting, prior)
            if schema.task == "regression":
                loss = float(((answers - answers_M[tried]) ** 2).mean())
            elif schema.task == "multilabel":
                loss = label_loss(answers, answers_M[tried])
            else:
                loss = log_loss(answers, answers_M[tried])
            if loss < least:
                best, least = voting, loss
    return best
