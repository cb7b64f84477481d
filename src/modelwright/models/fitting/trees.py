"""Boosted trees: as many rounds as folds within train say, then all of train.

Dimensions: N examples, P columns, K classes seen in train.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from modelwright.data.parts import targets_N as targets_of
from modelwright.models.features.ordinals import Ordinals, fit_ordinals
from modelwright.models.fitting.constant import fit_constant
from modelwright.models.fitting.folds import folds_N
from modelwright.models.fitting.opinions import fit_opinions
from modelwright.models.fitting.skewed import TREE_SKEWNESS, is_skewed
from modelwright.models.predictors import Predictor
from modelwright.models.predictors.each import NO, YES, Each, one_of
from modelwright.models.predictors.trees import Trees, raw_answers
from modelwright.models.threads import cores
from modelwright.records import Schema

if TYPE_CHECKING:
    from lightgbm import Booster

Settings = dict[str, Any]
Pairs = list[tuple[np.ndarray, np.ndarray]]
"""Places of (kept, held-out) examples, each in rising order."""
Halves = list[tuple[Any, Any]]
"""LightGBM's form of the same."""
MAX_ROUNDS = 3000
PATIENCE = 50
"""Rounds without gain before boosting stops."""
FOLDED_COUNT = 5000
"""Smaller trains choose their rounds by 5 folds, larger ones by one held-out fifth."""
CELLS_PER_SECOND = 4e7
"""Cells (examples times columns) that one round of one class gets through: measured on 2 slow cores, rounded
down. Only a guide for the work that is allowed: nothing is timed, so that the same data gives the same trees."""
MANY_CELLS = 200_000
"""From so many cells on one booster gains from several threads. Chosen."""


@dataclass(frozen=True, slots=True)
class Table:
    """Train as trees read it. `targets_N`: classes counted from 0 among those seen, or values."""

    schema: Schema
    ordinals: Ordinals
    cells_NP: np.ndarray
    targets_N: np.ndarray
    classes_K: np.ndarray
    logarithm: bool = False

    @property
    def trees_per_round(self) -> int:
        """One, or one for each class from three on."""
        return len(self.classes_K) if len(self.classes_K) > 2 else 1


def fit_each_trees(schema: Schema, train: pl.DataFrame, *, seed: int) -> Each:
    """Trees for each label by itself; where train shows a label always or never, its share."""
    members: list[Predictor] = []
    question = one_of(schema)
    for label in schema.classes:
        fits = train[schema.output].list.contains(label)
        asked = train.with_columns(pl.when(fits).then(pl.lit(YES)).otherwise(pl.lit(NO)).alias(schema.output))
        fit = fit_trees if fits.n_unique() > 1 else fit_constant
        members.append(fit(question, asked, seed=seed))
    return Each(schema, tuple(members))


def read_table(schema: Schema, examples: pl.DataFrame, *, seed: int, learned: int | None = None) -> Table:
    """`examples` as trees read them; opinions are learned from the first `learned` of them alone (None: all)."""
    targets_N = targets_of(schema, examples)
    classes_K = np.empty(0, dtype=np.int64)
    if schema.task == "classification":
        classes_K, targets_N = np.unique(targets_N, return_inverse=True)
    ordinals = fit_ordinals(schema, examples, seed=seed)
    first = len(examples) if learned is None else learned
    opinions, unseen = fit_opinions(schema, examples[:first], targets_N[:first], seed=seed)
    said = [np.vstack([each, of.transform(examples[first:])]) for of, each in zip(opinions, unseen, strict=True)]
    cells_NP = np.hstack([ordinals.transform(examples), *said])
    return Table(schema, replace(ordinals, opinions=opinions), cells_NP, targets_N, classes_K)


def on_log_scale(table: Table) -> Table | None:
    """The table with ln(1 + value) for values; None where some are negative or they are hardly skewed."""
    values_N = table.targets_N
    if table.schema.task != "regression" or not is_skewed(values_N, TREE_SKEWNESS):
        return None
    cells = (table.schema, table.ordinals, table.cells_NP, np.log1p(values_N), table.classes_K)
    return Table(*cells, logarithm=True)


def default_settings(table: Table, *, seed: int) -> Settings:
    """LightGBM's settings before any tuning, gentle where there is little data."""
    count = len(table.targets_N)
    settings: Settings = {
        "objective": "regression",
        "learning_rate": 0.05,
        "num_leaves": 31 if count >= 2000 else 15 if count >= 500 else 7,
        "min_child_samples": max(2, min(20, count // 40)),
        "feature_fraction": 0.8,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "cat_smooth": 10.0,
        "min_data_per_group": max(5, min(100, count // 50)),
        "lambda_l2": 1.0,
        **fixed_settings(seed),
    }
    if table.schema.task == "classification":
        settings["objective"] = "binary" if len(table.classes_K) <= 2 else "multiclass"
        if len(table.classes_K) > 2:
            settings["num_class"] = len(table.classes_K)
    if count * table.cells_NP.shape[1] * table.trees_per_round > CELLS_PER_SECOND / 5:
        settings["learning_rate"] = 0.1  # half the rounds where each one is dear
    return settings


def fixed_settings(seed: int) -> Settings:
    """What is never tuned: reproducible, silent, on all cores."""
    return {
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": cores(),
        "verbosity": -1,
        "feature_pre_filter": False,
        "max_bin": 255,
    }


def dataset_of(table: Table, settings: Settings) -> Any:
    """LightGBM's own form of the table; columns go by position, since names may hold anything."""
    from lightgbm import Dataset

    # A column that holds no number at all would be dropped by LightGBM's binning anyway; codes must be
    # non-negative or NaN, which Ordinals sees to.
    own = {key: settings[key] for key in ("max_bin", "feature_pre_filter", "verbosity", "num_threads")}
    names = [f"c{place}" for place in range(table.cells_NP.shape[1])]
    return Dataset(
        table.cells_NP,
        label=table.targets_N,
        feature_name=names,
        categorical_feature=table.ordinals.coded,
        params=own,
        free_raw_data=False,
    )


def allowed_rounds(table: Table, seconds: float, *, fits: float = 1.0) -> int:
    """Rounds that `seconds` of work are reckoned to hold, between 20 and MAX_ROUNDS."""
    cells = len(table.targets_N) * (table.cells_NP.shape[1] + 10) + 20_000
    return int(np.clip(seconds * CELLS_PER_SECOND / (cells * table.trees_per_round * fits), 20, MAX_ROUNDS))


def held_out(fold_N: np.ndarray, folds: int) -> Pairs:
    """The first `folds` pairs of (kept, held) places, without those where either is empty."""
    pairs = [(np.flatnonzero(fold_N != fold), np.flatnonzero(fold_N == fold)) for fold in range(folds)]
    return [(kept, held) for kept, held in pairs if len(kept) and len(held)]


def halves_of(table: Table, settings: Settings, pairs: Pairs) -> Halves:
    """LightGBM's form of the kept and of the held-out examples of each pair, binned once."""
    data = dataset_of(table, settings).construct()
    return [(data.subset(kept).construct(), data.subset(held).construct()) for kept, held in pairs]


def boosting_curve(settings: Settings, halves: Halves, rounds: int) -> tuple[int, list[Booster]]:
    """The number of rounds with the least mean loss over the halves, and the booster of each.

    Halves are boosted side by side with few threads each, which keeps all cores busy where the threads of
    one booster would mostly wait for each other.
    """
    workers = min(len(halves), cores())
    own = {**settings, "num_threads": max(1, cores() // workers)}
    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(lambda half: _curve(own, half[0], half[1], rounds), halves))
    length = min(len(losses) for _, losses in found)
    mean = np.mean([losses[:length] for _, losses in found], axis=0)
    return int(np.argmin(mean)) + 1, [booster for booster, _ in found]


def _curve(settings: Settings, kept: Any, held: Any, rounds: int) -> tuple[Booster, list[float]]:
    """A booster of the kept examples and the loss of the held-out ones after each round."""
    import lightgbm

    told: dict[str, dict[str, list[float]]] = {}
    booster = lightgbm.train(
        settings,
        kept,
        num_boost_round=rounds,
        valid_sets=[held],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False), lightgbm.record_evaluation(told)],
        keep_training_booster=True,
    )
    (losses,) = told["valid_0"].values()
    return booster, losses


def boost(table: Table, settings: Settings, rounds: int, data: Any = None) -> Booster:
    """A booster of the whole table."""
    import lightgbm

    data = dataset_of(table, settings) if data is None else data
    threads = cores() if table.cells_NP.size >= MANY_CELLS else 1
    return lightgbm.train({**settings, "num_threads": threads}, data, num_boost_round=rounds)


def fit_trees(schema: Schema, train: pl.DataFrame, *, seed: int, seconds: float = 40.0) -> Trees:
    """Boosted trees with default settings.

    Args:
        seconds: About how much work the fit may be, reckoned from the size of the data, not timed.
    """
    table = read_table(schema, train, seed=seed)
    settings = default_settings(table, seed=seed)
    classes = schema.task == "classification"
    fold_N = folds_N(table.targets_N, 5, seed=seed, stratified=classes)
    folds = 5 if len(train) < FOLDED_COUNT else 1
    pairs = held_out(fold_N, folds)
    rounds = allowed_rounds(table, seconds, fits=1 + 0.8 * folds)
    best, boosters = boosting_curve(settings, halves_of(table, settings, pairs), rounds)
    logged = on_log_scale(table)
    if logged is not None:
        log_best, log_boosters = boosting_curve(settings, halves_of(logged, settings, pairs), rounds)
        if held_error(logged, log_boosters, pairs, log_best) < held_error(table, boosters, pairs, best):
            table, best = logged, log_best
    booster = boost(table, settings, best)
    return Trees(schema, table.ordinals, (booster,), table.classes_K, logarithm=table.logarithm)


def held_error(table: Table, boosters: list[Booster], pairs: list[tuple[np.ndarray, np.ndarray]], rounds: int) -> float:
    """The mean squared error of held-out values on their own scale."""
    total, count = 0.0, 0
    for booster, (_, held) in zip(boosters, pairs, strict=True):
        answers_N = raw_answers(booster, table.cells_NP[held], logarithm=table.logarithm, rounds=rounds)
        truth_N = np.expm1(table.targets_N[held]) if table.logarithm else table.targets_N[held]
        total += float(((answers_N - truth_N) ** 2).sum())
        count += len(held)
    return total / count
