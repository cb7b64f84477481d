"""A search for the settings of boosted trees: one trial after the other, each in a journal.

The tree-structured Parzen estimator (Bergstra et al. 2011, Optuna) proposes; folds within train judge. A trial
depends on the seed and on the trials before it alone, so a search that was killed goes on as if it had not been.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelwright.models.fitting.trees import (
    Halves,
    Pairs,
    Settings,
    Table,
    allowed_rounds,
    boosting_curve,
    default_settings,
    halves_of,
    on_log_scale,
)
from modelwright.models.predictors import log_loss
from modelwright.models.predictors.trees import raw_answers, spread
from modelwright.training.journal import enter, entries
from modelwright.training.proposals import proposals

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

STARTUP = 8
"""Trials drawn at random before the estimator has enough to go by; the default settings come first."""
MOST_TRIALS = 200
STALE_TRIALS = 40
"""The search ends when so many trials in a row have gained less than GAIN of the loss. Chosen."""
GAIN = 1e-4
WHOLE = {"feature_fraction": 1.0, "bagging_fraction": 1.0, "num_leaves": 31, "learning_rate": 0.1}
"""Tried second: every column and example at each step, which suits tables without noise."""
SEARCH_RATE = 0.1
"""The learning rate of trials: a smaller one gains the same for all settings and is taken at the end."""
TRIAL_SHARE = 0.2
"""Of the whole budget: the work that one trial may be at most."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial: what was tried, how many rounds were best, and the loss of held-out examples there."""

    number: int
    tried: dict[str, Any]
    rounds: int
    loss: float
    seconds: float


@dataclass(slots=True)
class Bench:
    """What trials are made on: the table (and its logarithm), the folds, and LightGBM's form of them."""

    table: Table
    pairs: Pairs
    seed: int
    most_seconds: float
    logged: Table | None = field(init=False)
    halves: dict[bool, Halves] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.logged = on_log_scale(self.table)

    def settings(self, tried: dict[str, Any]) -> tuple[Table, Settings]:
        """The table (as it is, or its logarithm) and the whole settings that `tried` stands for."""
        settings = default_settings(self.table, seed=self.seed)
        settings |= {key: value for key, value in tried.items() if key != "target"}
        if tried.get("target") == "poisson":
            settings["objective"] = "poisson"
        if tried.get("target") == "logarithm" and self.logged is not None:
            return self.logged, settings
        return self.table, settings

    def answers(self, tried: dict[str, Any]) -> tuple[int, list[np.ndarray]]:
        """The best number of rounds, and what the booster of each pair answers to its held-out examples."""
        table, settings = self.settings(tried)
        if table.logarithm not in self.halves:
            self.halves[table.logarithm] = halves_of(table, settings, self.pairs)
        rounds = allowed_rounds(table, self.most_seconds, fits=len(self.pairs))
        rounds, boosters = boosting_curve(settings, self.halves[table.logarithm], rounds)
        answers = []
        for booster, (_, held) in zip(boosters, self.pairs, strict=True):
            found = raw_answers(booster, table.cells_NP[held], logarithm=table.logarithm, rounds=rounds)
            answers.append(found if table.schema.task == "regression" else self._spread(found))
        return rounds, answers

    def _spread(self, found: np.ndarray) -> np.ndarray:
        return spread(found, self.table.classes_K, len(self.table.schema.classes))

    @property
    def truth_H(self) -> np.ndarray:
        """Class indices of the schema, or values, of all held-out examples, pair by pair."""
        held = np.concatenate([held for _, held in self.pairs])
        if self.table.schema.task == "regression":
            return np.asarray(self.table.targets_N[held])
        return np.asarray(self.table.classes_K[self.table.targets_N[held]])

    def loss(self, answers: Sequence[np.ndarray]) -> float:
        """Log loss, or mean squared error, over all held-out examples."""
        joined = np.concatenate(list(answers))
        if self.table.schema.task == "regression":
            return float(((joined - self.truth_H) ** 2).mean())
        return log_loss(joined, self.truth_H)


def search(
    bench: Bench, *, folder: Path, deadline: float, tell: Callable[[int, float], None] = lambda number, loss: None
) -> tuple[list[Trial], bool]:
    """The trials, in order, and whether there was time for all; those in the journal of `folder` are not made again.

    Args:
        deadline: On the clock of `time.monotonic`; no trial starts that would likely end after it. At
            least the default settings are tried.
        tell: Told of each trial's number and the least loss so far.
    """
    trials = _read(folder)
    while len(trials) < MOST_TRIALS and not _stale(trials):
        usual = float(np.median([trial.seconds for trial in trials])) if trials else 0.0
        if trials and time.monotonic() + usual > deadline:
            return trials, False
        tried = _propose(bench, trials)
        started = time.perf_counter()
        rounds, answers = bench.answers(tried)
        loss = bench.loss(answers)
        trial = Trial(len(trials), tried, rounds, loss, time.perf_counter() - started)
        trials.append(trial)
        enter(folder, trial)
        tell(len(trials), best_of(trials).loss)
    return trials, True


def journaled(folder: Path) -> tuple[int, float]:
    """How many trials are in the journal of `folder`, and the seconds that they took.

    Raises:
        IntegrityError: the journal was altered.
    """
    trials = _read(folder)
    return len(trials), sum(trial.seconds for trial in trials)


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial with the least loss, the earliest of equals."""
    return min(trials, key=lambda trial: (trial.loss if math.isfinite(trial.loss) else math.inf, trial.number))


def _stale(trials: Sequence[Trial]) -> bool:
    if len(trials) <= STALE_TRIALS + STARTUP:
        return False
    before, after = best_of(trials[:-STALE_TRIALS]).loss, best_of(trials).loss
    return before - after < GAIN * abs(before)


def _read(folder: Path) -> list[Trial]:
    """The trials of an earlier call."""
    trials = entries(folder, Trial)
    return [replace(trial, loss=math.inf) if trial.loss is None else trial for trial in trials]


def _space(bench: Bench) -> dict[str, BaseDistribution]:
    """What a trial chooses, and from where."""
    from optuna.distributions import CategoricalDistribution as OneOf
    from optuna.distributions import FloatDistribution as Real
    from optuna.distributions import IntDistribution as Whole

    table = bench.table
    count = len(table.targets_N)
    space: dict[str, BaseDistribution] = {
        "num_leaves": Whole(4, int(np.clip(count // 10, 8, 255)), log=True),
        "min_child_samples": Whole(1, int(np.clip(count // 8, 4, 200)), log=True),
        "feature_fraction": Real(0.3, 1.0),
        "bagging_fraction": Real(0.5, 1.0),
        "lambda_l1": Real(1e-3, 10.0, log=True),
        "lambda_l2": Real(1e-3, 30.0, log=True),
        "extra_trees": OneOf([False, True]),
    }
    if table.ordinals.coded:
        space["cat_smooth"] = Real(1.0, 100.0, log=True)
        space["cat_l2"] = Real(1.0, 50.0, log=True)
        space["max_cat_to_onehot"] = Whole(2, 32, log=True)
    if bench.logged is not None:
        space["target"] = OneOf(["value", "logarithm", "poisson"])
    return space


def _propose(bench: Bench, trials: Sequence[Trial]) -> dict[str, Any]:
    """What the next trial tries: the defaults first, then draws, then what the estimator expects most of."""
    first: list[dict[str, Any]] = [{}, WHOLE]
    if bench.logged is not None:
        first.append({"target": "logarithm"})
    if len(trials) < len(first):
        return first[len(trials)]
    space = _space(bench)
    tried = [
        ({key: trial.tried[key] for key in space}, trial.loss) for trial in trials if set(space) <= set(trial.tried)
    ]
    seed = bench.seed * MOST_TRIALS + len(trials)
    return {**next(proposals(space, tried, seed=seed, startup=STARTUP)), "learning_rate": SEARCH_RATE}
