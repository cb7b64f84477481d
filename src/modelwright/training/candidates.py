"""What a tuned table is made of: candidates, each judged on the same held-out examples, and their blend.

Dimensions: H held-out examples, M candidates.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from modelwright.evaluation.compare import paired_standard_error
from modelwright.models.fitting.linear import fit_linear
from modelwright.models.fitting.neighbours import fit_neighbours
from modelwright.models.fitting.smooth import fit_smooth
from modelwright.models.fitting.trees import Pairs, Table, boost
from modelwright.models.predictors import Predictor, as_predictions
from modelwright.models.predictors.blend import mean_of
from modelwright.models.predictors.trees import Trees
from modelwright.models.threads import cores
from modelwright.records import Schema
from modelwright.training.search import Bench, Trial

FINE_RATE = 0.4
"""The searched learning rate times this is tried at the end: smaller steps hardly ever lose. Chosen."""
PLACES = 4
"""Of the best trials, so many are blended: they differ by less than luck, and their mean beats the best. Chosen."""
MAX_NEIGHBOURS = 20_000
"""Up to so many examples, and 50 columns, neighbours are a candidate."""
MAX_SMOOTH = 10_000
"""Up to so many examples a smooth model is a candidate: beyond, trees have enough to follow any slope."""
CLEARLY = 2.0
"""Of several candidates one is a standard error ahead by luck alone."""
STEPS = 50
"""Of the greedy choice of blend weights: each weight is a multiple of 1/50."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to fit, and what it answers to the held-out examples when fitted on the rest."""

    name: str
    answers: list[np.ndarray]  # one array for each pair
    fit: Callable[[], Predictor]


def simple_candidates(
    schema: Schema,
    examples: pl.DataFrame,
    train: pl.DataFrame,
    pairs: Pairs,
    *,
    seed: int,
    budget: float,
    tell: Callable[[str], None],
) -> list[Candidate]:
    """The linear model, and where the table is small neighbours and a smooth model: each if time allows."""
    fits: dict[str, Callable[..., Predictor]] = {"linear": fit_linear}
    if len(train) <= MAX_NEIGHBOURS and len(schema.inputs) <= 50:
        fits["neighbours"] = fit_neighbours
    if len(train) <= MAX_SMOOTH and len(schema.inputs) <= 200:
        fits["smooth"] = fit_smooth
    found = []
    for name, fit in fits.items():
        tell(name)
        started = time.monotonic()
        answers: list[np.ndarray] = []
        for kept, held in pairs:
            predictor = fit(schema, examples[kept], seed=seed)
            answers.append(predictor.predict(examples[held]).array)
            if len(answers) < len(pairs) and time.monotonic() - started > budget:
                break
        if len(answers) == len(pairs):
            found.append(Candidate(name, answers, partial(fit, schema, train, seed=seed)))
    return found


def boosted_candidates(
    judge: Bench, trials: Sequence[Trial], count: int, *, seed: int, deadline: float
) -> tuple[list[Candidate], dict[str, Any]]:
    """The trees of the best trials, of a finer learning rate and of the defaults, and what the best tried.

    Args:
        judge: Other folds than those of the search: the best of many trials is partly the luckiest.
        trials: Those of the search.
        count: The examples of train, which come first in the judge's table.
        deadline: On the clock of `time.monotonic`: past its half-way, no more are added.
    """
    ranked = sorted(trials, key=lambda trial: (trial.loss, trial.number))
    best = ranked[0].tried
    rate = judge.settings(best)[1]["learning_rate"] * FINE_RATE
    wanted = {"trees": best, "trees, finer": {**best, "learning_rate": rate}}
    wanted |= {f"trees, place {place + 1}": trial.tried for place, trial in enumerate(ranked[1:PLACES], start=1)}
    if best and not any(each == {} for each in wanted.values()):
        wanted["trees, default"] = {}
    found = []
    for name, tried in wanted.items():
        started = time.monotonic()
        rounds, answers = judge.answers(tried)
        seconds = time.monotonic() - started
        found.append(Candidate(name, answers, partial(_forest, judge, tried, rounds, count, seed)))
        if time.monotonic() + 2 * seconds + _fitting_seconds(len(found), seconds, len(judge.pairs)) > deadline:
            break
    return found, best


def _fitting_seconds(candidates: int, seconds: float, pairs: int) -> float:
    """About how long the last fits take, if each held-out round of all pairs took `seconds`."""
    return candidates * seconds / max(1, min(pairs, cores())) * 1.5


def _forest(bench: Bench, tried: dict[str, Any], rounds: int, count: int, seed: int) -> Trees:
    """Trees of all of train, the first `count` examples of the bench's table."""
    table, settings = bench.settings(tried)
    if count < len(table.targets_N):
        cells, targets = table.cells_NP[:count], table.targets_N[:count]
        table = Table(table.schema, table.ordinals, cells, targets, table.classes_K, table.logarithm)
    booster = boost(table, {**settings, "seed": seed}, rounds)
    return Trees(table.schema, table.ordinals, (booster,), table.classes_K, logarithm=table.logarithm)


def blend_weights(bench: Bench, candidates: Sequence[list[np.ndarray]]) -> np.ndarray:
    """How much each candidate counts, adding up to 1.

    Greedy selection with replacement: starting from nothing, STEPS times add the candidate that lowers the
    held-out loss of the mean most (Caruana et al. 2004, "Ensemble selection from libraries of models").
    """
    joined_MH = [np.concatenate(answers) for answers in candidates]
    counts_M = np.zeros(len(joined_MH), dtype=np.int64)
    total = np.zeros_like(joined_MH[0])
    best_counts_M, least = counts_M, np.inf
    for step in range(1, STEPS + 1):
        losses = [bench.loss([(total + answers) / step]) for answers in joined_MH]
        place = int(np.argmin(losses))
        total = total + joined_MH[place]
        counts_M = counts_M.copy()
        counts_M[place] += 1
        if losses[place] < least:
            best_counts_M, least = counts_M, losses[place]
    return np.asarray(best_counts_M / best_counts_M.sum())


def weights_by_metric(
    bench: Bench, candidates: Sequence[Candidate], weights: np.ndarray, *, metric: str, seed: int
) -> np.ndarray:
    """The blend, or the one candidate that the metric puts above it by more than CLEARLY standard errors."""
    schema, truth_H = bench.table.schema, bench.truth_H
    blend = as_predictions(schema, np.concatenate(mixed(bench, [each.answers for each in candidates], tuple(weights))))
    best, lead = weights, 0.0
    for place, candidate in enumerate(candidates):
        alone = as_predictions(schema, np.concatenate(candidate.answers))
        gain, error = paired_standard_error(metric, schema, truth_H, alone, blend, seed=seed)
        if np.isfinite(error) and gain > CLEARLY * error and gain > lead:
            best, lead = np.eye(len(candidates))[place], gain
    return best


def mixed(bench: Bench, answers: Sequence[list[np.ndarray]], weights: tuple[float, ...]) -> list[np.ndarray]:
    """The blend's answers, one array for each pair."""
    schema = bench.table.schema
    return [
        mean_of([as_predictions(schema, each[pair]) for each in answers], weights).array
        for pair in range(len(bench.pairs))
    ]
