"""How strongly a linear model is held back, and how its features are read: chosen by folds within train.

Dimensions: N examples, F features, K classes seen in train, or one for values.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from modelwright.models.features.design import Design, can_bend, fit_design, of_kind
from modelwright.records import Schema

START = 3
"""Which of the strengths is tried first."""
FEW = 2000
"""Up to so many examples 5 folds choose, beyond it 3: more examples need fewer folds."""
TUNING_COUNT = 10_000
"""Strength is chosen on at most this many examples: its best value hardly moves beyond."""
TEXT_TUNING_COUNT = 4000
"""The same where texts, with their tens of thousands of features, make each fit take seconds. Chosen."""


@dataclass(frozen=True, slots=True)
class Scores:
    """A fitted scorer: `features @ weights_FK + bias_K`."""

    weights_FK: np.ndarray
    bias_K: np.ndarray

    def of(self, features: Any) -> np.ndarray:
        """The scores of the examples with these features."""
        return np.asarray(features @ self.weights_FK + self.bias_K)


Solver = Callable[[Any, np.ndarray, float], Scores]
"""Features, classes counted from 0 or values, and the strength -> the fitted scorer."""
HeldOut = Callable[[Any, np.ndarray, np.ndarray, int], Callable[[float], tuple[np.ndarray, np.ndarray]]]
"""Features, targets, the fold of each example and how many folds to use -> (strength -> as `held_margins`)."""


def by_fits(solver: Solver) -> HeldOut:
    """Held-out scores by a fit for each fold and strength."""
    return lambda features, targets_N, fold_N, rounds: (
        lambda strength: held_margins(solver, features, targets_N, strength, fold_N, rounds)
    )


def held_margins(
    solver: Solver, features: Any, targets_N: np.ndarray, strength: float, fold_N: np.ndarray, rounds: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of held-out examples, and which these are; folds whose train lacks a class are left out."""
    width = int(targets_N.max()) + 1 if targets_N.dtype.kind == "i" else 1
    parts, helds = [], []
    for fold in range(rounds):
        held = np.flatnonzero(fold_N == fold)
        kept = np.flatnonzero(fold_N != fold)
        if not len(held) or not len(kept):
            continue
        present_K = np.arange(1) if width == 1 else np.unique(targets_N[kept])
        if width > 1 and len(present_K) < 2:
            continue
        local = targets_N[kept] if width == 1 else np.searchsorted(present_K, targets_N[kept])
        scores = solver(features[kept], local, strength).of(features[held])
        margins_NK = np.full((len(held), width), scores.min() if scores.size else 0.0)
        margins_NK[:, present_K] = scores
        parts.append(margins_NK)
        helds.append(held)
    if not parts:
        return np.zeros((0, width)), np.zeros(0, dtype=np.int64)
    return np.concatenate(parts), np.concatenate(helds)


def designs_of(schema: Schema, train: pl.DataFrame) -> list[tuple[Design, Any]]:
    """The designs to choose from, straight and, where anything bends, bent, each with its features of `train`."""
    found = [fit_design(schema, train)]
    if found[0][1].shape[1] and can_bend(schema, train):
        bent = fit_design(schema, train, bent=True)
        if bent[1].shape[1] != found[0][1].shape[1]:
            found.append(bent)
    return found


def choose(
    schema: Schema,
    designs: Sequence[tuple[Design, Any]],
    targets_N: np.ndarray,
    held_out: HeldOut,
    strengths: Sequence[float],
    fold_N: np.ndarray,
    loss: Callable[[np.ndarray, np.ndarray], float],
    seed: int,
) -> tuple[float, Design, Any, float]:
    """The least loss, and its design of `designs`, the features of that, and strength."""
    part, most = np.arange(len(targets_N)), TEXT_TUNING_COUNT if of_kind(schema, "text") else TUNING_COUNT
    if len(part) > most:
        part = np.sort(np.random.default_rng(seed).permutation(len(part))[:most])
    best: tuple[float, Design, Any, float] | None = None
    for design, features in designs:
        scores_at = held_out(features[part], targets_N[part], fold_N[part], 5 if len(part) <= FEW else 3)

        def held_loss(strength: float, scores_at: Any = scores_at) -> float:
            scores, places = scores_at(strength)
            return loss(scores, part[places])

        found, strength = least(held_loss, strengths)
        if best is None or found < best[0]:
            best = (found, design, features, strength)
    assert best is not None
    return best


def least(held_loss: Callable[[float], float], strengths: Sequence[float]) -> tuple[float, float]:
    """The least loss and its strength, walking from START downhill: the loss has one valley."""
    place, lowest = START, held_loss(strengths[START])
    for step in (-1, 1):
        while 0 <= place + step < len(strengths):
            found = held_loss(strengths[place + step])
            if found >= lowest:
                break
            place, lowest = place + step, found
        if place != START:
            break
    return lowest, strengths[place]


def quietly(machine: Any, features: Any, targets: np.ndarray) -> Any:
    """`machine` fitted; a solver that stops at its last iteration is near enough and says so to nobody."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return machine.fit(features, targets)
