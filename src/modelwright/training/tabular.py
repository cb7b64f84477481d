"""The tuned model of a table: boosted trees searched within a time budget, blended with simpler models.

Everything is chosen by folds within train; validation is only answered, at the end. Where train may not be
folded (split by time, or by groups), validation is what settings are chosen on, and that is said.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from modelwright.data.parts import read_part, targets_N
from modelwright.disk import file_sha256
from modelwright.evaluation.decision import decided
from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.evaluation.intervals import all_intervals
from modelwright.models.fitting.folds import ENOUGH, folds_N, folds_within
from modelwright.models.fitting.trees import Pairs, Table, held_out, read_table
from modelwright.models.predictors import Predictions, Predictor, as_predictions, joined, log_loss, save_predictor
from modelwright.models.predictors.blend import Blend
from modelwright.models.predictors.out_of_sample import save_out_of_sample
from modelwright.models.predictors.trees import Trees
from modelwright.records import POSITION, Dataset, Plan, Progress, Run, Schema, digest, identify, plain
from modelwright.training.basis import basis_of, begun
from modelwright.training.candidates import (
    blend_weights,
    boosted_candidates,
    mixed,
    simple_candidates,
    weights_by_metric,
)
from modelwright.training.checkpoint import folder_bytes, writing
from modelwright.training.crowd import Crowd
from modelwright.training.estimate import dollars_of, off_by
from modelwright.training.memory import Peak, release
from modelwright.training.past import learn
from modelwright.training.search import TRIAL_SHARE, Bench, Trial, best_of, journaled, search

FOLDS = 5
SEARCH_SHARE = 0.6
"""Of the budget; the rest is for simpler candidates, a finer learning rate and the last fit."""
TOLD = 2000
"""Examples of each part that the history is told of."""


@dataclass(frozen=True, slots=True)
class TabularFit:
    """What the tuner found.

    Args:
        predictor: Fitted on all of train.
        weights: How the candidates are blended.
        settings: What the best trial tried.
        trials: Every trial of the search.
        losses: The held-out loss of each candidate and of the blend (log loss, or squared error).
        out_of_fold: The answers to train in its order, where every example was held out once.
        history: Losses of train and validation as boosting went on.
        complete: False where the budget ended the search.
    """

    predictor: Predictor
    weights: dict[str, float]
    settings: dict[str, Any]
    trials: tuple[Trial, ...]
    losses: dict[str, float]
    out_of_fold: Predictions | None
    history: tuple[HistoryPoint, ...]
    complete: bool


def fit_tabular(
    schema: Schema,
    train: pl.DataFrame,
    validation: pl.DataFrame,
    *,
    metric: str,
    seed: int,
    budget_seconds: float,
    folder: Path,
    folds: tuple[np.ndarray, np.ndarray] | None = None,
    foldable: bool = True,
    progress: Callable[[Progress], None] = lambda told: None,
) -> TabularFit:
    """The best model of the table that the budget buys.

    Args:
        metric: Decides between the blend and its members where it tells them apart clearly.
        budget_seconds: The search stops in time for the last fit; the default settings are always tried.
        folder: Where the journal of trials is kept; a search that was killed goes on from it.
        folds: Two ways to fold train that keep apart what must be, to search and to judge on; drawn here if None.
        foldable: False where folds within train would flatter: settings are then chosen on validation.
        progress: Told after each trial.
    """
    began = time.monotonic() - journaled(folder)[1]  # a search that was killed has spent that already
    folder.mkdir(parents=True, exist_ok=True)

    def tell(what: str, note: str = "") -> None:
        spent = time.monotonic() - began
        left = max(0.0, budget_seconds - spent)
        progress(Progress("train", what, min(spent, budget_seconds), budget_seconds, "s", left, note))

    tell("reading the table")
    table, searched, judged = _ground(schema, train, validation, folds=folds, foldable=foldable, seed=seed)
    judge = Bench(table, judged, seed, TRIAL_SHARE * budget_seconds)
    examples = train if foldable else pl.concat([train, validation], how="diagonal_relaxed")
    candidates = simple_candidates(schema, examples, train, judged, seed=seed, budget=0.3 * budget_seconds, tell=tell)
    trials, in_time = search(
        Bench(table, searched, seed, TRIAL_SHARE * budget_seconds),
        folder=folder,
        deadline=began + SEARCH_SHARE * budget_seconds,
        tell=lambda number, loss: tell(f"trial {number}", f"least loss {loss:.5g}"),
    )
    tell("judging the best trials on other folds")
    deadline = began + budget_seconds
    boosted, best = boosted_candidates(judge, trials, len(train), seed=seed, deadline=deadline)
    candidates = [*boosted, *candidates]
    weights = blend_weights(judge, [each.answers for each in candidates])
    weights = weights_by_metric(judge, candidates, weights, metric=metric, seed=seed)
    kept = [(each, weight) for each, weight in zip(candidates, weights, strict=True) if weight > 0]
    tell("the last fit on all of train", " + ".join(f"{weight:.2f} {each.name}" for each, weight in kept))
    members = tuple(each.fit() for each, _ in kept)
    shares = tuple(float(weight) for _, weight in kept)
    predictor = members[0] if len(members) == 1 else Blend(schema, members, shares)
    answers = mixed(judge, [each.answers for each, _ in kept], shares)
    losses = {each.name: judge.loss(each.answers) for each in candidates} | {"chosen": judge.loss(answers)}
    return TabularFit(
        predictor,
        {each.name: float(weight) for each, weight in kept},
        best,
        tuple(trials),
        losses,
        _out_of_fold(schema, len(train), judged, answers),
        _history(schema, members, train, validation),
        in_time,
    )


def _ground(
    schema: Schema,
    train: pl.DataFrame,
    validation: pl.DataFrame,
    *,
    folds: tuple[np.ndarray, np.ndarray] | None,
    foldable: bool,
    seed: int,
) -> tuple[Table, Pairs, Pairs]:
    """The table that trials are made on, and the pairs of kept and held-out places to search and to judge on."""
    if not foldable:
        both = pl.concat([train, validation], how="diagonal_relaxed")
        table = read_table(schema, both, seed=seed, learned=len(train))
        last = np.arange(len(train), len(train) + len(validation))
        pairs = [(np.arange(len(train)), last)]
        return table, pairs, pairs
    table = read_table(schema, train, seed=seed)
    if folds is None:
        classes = schema.task == "classification"
        first, second = (folds_N(table.targets_N, FOLDS, seed=each, stratified=classes) for each in _seeds(seed))
    else:
        first, second = folds
    count = len(train)
    # All folds while validation is too small to be scored on alone; fewer where one fold is many already.
    used = FOLDS if len(validation) < ENOUGH or count < 8000 else 3 if count < 20_000 else 2 if count < 50_000 else 1
    return table, held_out(first, used), held_out(second, used)


def _seeds(seed: int) -> tuple[int, int]:
    """The seeds of the folds to search on and of those to judge on."""
    return seed, seed + 1_000_003


def _out_of_fold(schema: Schema, count: int, pairs: Pairs, answers: list[np.ndarray]) -> Predictions | None:
    """The answers in the order of train, or None where some examples were never held out."""
    held = np.concatenate([held for _, held in pairs])
    if not np.array_equal(np.sort(held), np.arange(count)):
        return None
    return as_predictions(schema, np.concatenate(answers)[np.argsort(held)])


def _history(
    schema: Schema, members: Sequence[Predictor], train: pl.DataFrame, validation: pl.DataFrame
) -> tuple[HistoryPoint, ...]:
    """Losses of the first forest at twenty points of its boosting, on up to 2,000 examples of each part.

    An epoch is a round. The loss is log loss, or squared error in units of the variance in train.
    """
    forest = next((member for member in members if isinstance(member, Trees)), None)
    if forest is None:
        return ()
    parts = [part.head(TOLD) for part in (train, validation)]
    truths = [targets_N(schema, part) for part in parts]
    scale = float(truths[0].var()) or 1.0

    def loss(place: int, rounds: int) -> float:
        found = forest.predict_after(parts[place], rounds)
        if found.probabilities_NC is not None:
            return log_loss(found.probabilities_NC, truths[place])
        return float(((found.values_N - truths[place]) ** 2).mean()) / scale

    points = np.unique(np.linspace(1, forest.rounds, 20).round().astype(int)).tolist()
    return tuple(HistoryPoint(rounds, rounds, loss(0, rounds), loss(1, rounds)) for rounds in points)


def train_tabular(
    dataset: Dataset,
    plan: Plan,
    *,
    metric: str,
    folder: Path,
    budget_seconds: float,
    progress: Callable[[Progress], None] = lambda told: None,
) -> Run:
    """The run that `plan` describes, in `folder`: predictor/, trials.jsonl, history.json and blend.json.

    Args:
        dataset: Step 2.
        plan: Step 3, whose method is "classical"; its setting `seed` is drawn from.
        metric: See `fit_tabular`.
        folder: The run's own; a run that was killed goes on from its journal of trials.
        budget_seconds: About how long it may take.
        progress: Told after each trial.

    Raises:
        ResourceError: the disk is full; the trials before are kept.
        IntegrityError: the killed run in `folder` began with other data or another plan, or its journal was altered.
    """
    release()
    crowd, fresh = Crowd(), not journaled(folder)[0]
    with writing(folder, "the search", "the trials that were finished are kept"), Peak(resident=True) as peak:
        made = _trained(dataset, plan, metric, folder, budget_seconds, progress, peak)
    if fresh:  # one that was killed has started twice
        learn(dataset.schema, plan, made, crowd=crowd.share)
    return made


def _trained(
    dataset: Dataset,
    plan: Plan,
    metric: str,
    folder: Path,
    budget_seconds: float,
    progress: Callable[[Progress], None],
    peak: Peak,
) -> Run:
    trials, spent_seconds = journaled(folder)
    began = time.monotonic() - spent_seconds
    changed = begun(folder, basis_of(dataset, plan), step=trials)
    schema, seed = dataset.schema, int(plan.settings["seed"].value)
    train, validation = read_part(dataset, "train"), read_part(dataset, "validation")
    first, second = (folds_within(dataset, train, FOLDS, seed=each) for each in _seeds(seed))
    folds = None if first is None or second is None else (first, second)
    found = fit_tabular(
        schema,
        train,
        validation,
        metric=metric,
        seed=seed,
        budget_seconds=budget_seconds,
        folder=folder,
        folds=folds,
        foldable=folds is not None,
        progress=progress,
    )
    answers = _kept(found, train, validation, metric=metric, seed=seed, folder=folder)
    took: dict[str, Any] = {"seconds": time.monotonic() - began, "peak_memory_bytes": peak.bytes}
    took["disk_bytes"] = folder_bytes(folder)
    saved = sorted(each for each in (folder / "predictor").rglob("*") if each.is_file())
    weights = {str(each.relative_to(folder)): file_sha256(each) for each in saved}
    record: Run = identify(
        Run(
            id="",
            plan_id=plan.id,
            path=str(folder),
            weights_sha256=digest(weights),
            status="completed" if found.complete else "budget",
            steps=len(found.trials),
            best_step=best_of(found.trials).number,
            train_loss=float(found.history[-1].train_loss or 0.0) if found.history else found.losses["chosen"],
            validation=all_intervals(schema, targets_N(schema, validation), answers, seed=seed),
            forecast_error=off_by(plan.estimate, share=1.0, **took),
            not_exact=tuple(changed),
            cost=dollars_of(plan.estimate, took["seconds"]),
            **took,
        )
    )
    return record


def _kept(
    found: TabularFit, train: pl.DataFrame, validation: pl.DataFrame, *, metric: str, seed: int, folder: Path
) -> Predictions:
    """The answers to validation by what was found, which is written into `folder`."""
    schema = found.predictor.schema
    answers = found.predictor.predict(validation)
    scored, positions_N = answers, validation[POSITION].to_numpy()
    truth_N = targets_N(schema, validation)
    if found.out_of_fold is not None and len(validation) < ENOUGH:
        scored = joined([answers, found.out_of_fold])
        positions_N = np.concatenate([positions_N, train[POSITION].to_numpy()])
        truth_N = np.concatenate([truth_N, targets_N(schema, train)])
    predictor, scored = decided(found.predictor, scored, metric, truth_N, seed=seed)
    save_predictor(predictor, folder / "predictor")
    save_out_of_sample(folder / "predictor", positions_N, scored)
    (folder / "history.json").write_text(json.dumps([asdict(point) for point in found.history]), encoding="utf-8")
    about = {"weights": found.weights, "settings": found.settings, "losses": found.losses, "trials": len(found.trials)}
    (folder / "blend.json").write_text(json.dumps(plain(about), indent=1), encoding="utf-8")
    return replace(answers, weights_C=scored.weights_C)
