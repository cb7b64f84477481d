from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelwright.data.parts import targets_N
from modelwright.errors import IntegrityError
from modelwright.models.fitting.folds import folds_N
from modelwright.models.fitting.trees import held_out, read_table
from modelwright.models.predictors import load_predictor
from modelwright.models.predictors.out_of_sample import load_out_of_sample
from modelwright.problem import parse
from modelwright.records import POSITION, Column, Dataset, Estimate, Interval, Plan, Progress, Schema, Seal, Setting
from modelwright.training import search as room
from modelwright.training import tabular
from modelwright.training.candidates import blend_weights
from modelwright.training.crowd import Crowd
from modelwright.training.journal import JOURNAL
from modelwright.training.past import FILE, state_folder
from modelwright.training.plan import plan
from modelwright.training.search import Bench, Trial, best_of, search
from modelwright.training.tabular import TabularFit, fit_tabular, train_tabular

COLUMNS = (Column("size", "number"), Column("other", "number"), Column("colour", "category"))
CLASSES = Schema("classification", "table", COLUMNS, "big", ("no", "yes"), "yes")
VALUES = Schema("regression", "table", COLUMNS, "value")


def table(count: int = 240, *, steps: bool = False) -> pl.DataFrame:
    generator = np.random.default_rng(0)
    size, other = generator.normal(size=count), generator.normal(size=count)
    colour = generator.choice(["red", "green", "blue"], size=count)
    value = 3 * size + 4 * (colour == "red") + 0.5 * generator.normal(size=count)
    if steps:
        value = 5.0 * ((size > 0) ^ (other > 0)) + 0.3 * generator.normal(size=count)
    columns = {
        "size": size,
        "other": other,
        "colour": colour,
        "value": value,
        "big": np.where(value > 1.5, "yes", "no"),
    }
    return pl.DataFrame(columns).with_row_index(POSITION).with_columns(pl.col(POSITION).cast(pl.Int64))


def fitted(schema: Schema, examples: pl.DataFrame, folder: Path, **options: Any) -> TabularFit:
    cut = len(examples) * 3 // 4
    metric = "accuracy" if schema.task == "classification" else "r2"
    settings = {"metric": metric, "seed": 0, "budget_seconds": 120.0, "folder": folder}
    return fit_tabular(schema, examples[:cut], examples[cut:], **{**settings, **options})


@pytest.fixture(autouse=True)
def few_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends a search here is a count, which no load on the machine moves."""
    monkeypatch.setattr(room, "MOST_TRIALS", 8)


@pytest.fixture
def bench() -> Bench:
    examples = table()
    found = read_table(CLASSES, examples, seed=0)
    return Bench(found, held_out(folds_N(found.targets_N, 3, seed=0, stratified=True), 3), 0, 1.0)


def without_seconds(trials: list[Trial]) -> list[tuple[Any, ...]]:
    return [(trial.number, trial.tried, trial.rounds, trial.loss) for trial in trials]


def test_a_search_starts_with_the_defaults_and_keeps_the_best(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_TRIALS", 12)
    trials, in_time = search(bench, folder=tmp_path, deadline=float("inf"))
    assert in_time
    assert len(trials) == 12 and trials[0].tried == {}
    assert best_of(trials).loss == min(trial.loss for trial in trials) <= trials[0].loss
    again = bench.answers(best_of(trials).tried)
    assert bench.loss(again[1]) == best_of(trials).loss, "a trial can be made again"


def test_a_killed_search_goes_on_as_if_it_had_not_been(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_TRIALS", 11)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole, _ = search(bench, folder=tmp_path / "a", deadline=float("inf"))
    lines = (tmp_path / "a" / JOURNAL).read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "b" / JOURNAL).write_text("".join(lines[:9]) + lines[9][:20], encoding="utf-8")
    resumed, _ = search(bench, folder=tmp_path / "b", deadline=float("inf"))
    assert without_seconds(resumed) == without_seconds(whole)
    written = [json.loads(line) for line in (tmp_path / "b" / JOURNAL).read_text(encoding="utf-8").splitlines()]
    assert [line["number"] for line in written] == list(range(11))


def test_a_search_without_time_tries_the_defaults(bench: Bench, tmp_path: Path) -> None:
    trials, in_time = search(bench, folder=tmp_path, deadline=0.0)
    assert [trial.tried for trial in trials] == [{}] and not in_time


def test_a_search_that_ended_by_itself_is_complete_however_long_the_rest_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The eight trials end in time; what comes after them ends past the search's 72 s of 120, at 75 s and more."""
    clock = {"late": 0.0}

    def searched(*given: Any, **named: Any) -> Any:
        found = search(*given, **named)
        clock["late"] = 75.0
        return found

    monkeypatch.setattr(tabular, "search", searched)
    monkeypatch.setattr(tabular, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + clock["late"]))
    assert fitted(CLASSES, table(), tmp_path).complete


def test_blend_weights_are_those_that_lose_least(bench: Bench) -> None:
    """Of one that is right by .8 everywhere, one that is right by .6 and one that is wrong by .8, the first alone
    loses least; of two that are right by .9 on one half each and .5 on the other, equal shares do.
    """
    truth_H = bench.truth_H

    def sure(share_H: np.ndarray) -> list[np.ndarray]:
        table_HC = np.column_stack([1 - share_H, share_H])
        return [np.where(truth_H[:, None] == 1, table_HC, table_HC[:, ::-1])]

    count = len(truth_H)
    flat = [sure(np.full(count, share)) for share in (0.8, 0.6, 0.2)]
    assert blend_weights(bench, flat).tolist() == [1, 0, 0]
    half = np.arange(count) < count // 2
    halves = [sure(np.where(half, 0.9, 0.5)), sure(np.where(half, 0.5, 0.9))]
    np.testing.assert_allclose(blend_weights(bench, halves), [0.5, 0.5], atol=0.03)


def test_a_straight_line_is_left_to_the_linear_model(tmp_path: Path) -> None:
    """The noise is .25 of a variance of about 12.8: the best possible loss is .25."""
    found = fitted(VALUES, table(), tmp_path)
    assert found.weights.get("linear", 0) + found.weights.get("smooth", 0) > 0.5
    assert found.losses["chosen"] < 0.4
    assert found.losses["chosen"] <= min(found.losses.values()) + 1e-9


def test_steps_are_left_to_the_trees(tmp_path: Path) -> None:
    """Value 5 where exactly one of two numbers is positive: no straight line says anything about it."""
    found = fitted(VALUES, table(480, steps=True), tmp_path)
    trees = sum(weight for name, weight in found.weights.items() if name.startswith("trees"))
    assert trees > 0.7
    assert found.losses["linear"] > 4 and found.losses["chosen"] < 1.5
    assert found.history and found.history[-1].train_loss < found.history[0].train_loss


def test_train_is_answered_out_of_fold(tmp_path: Path) -> None:
    examples = table()
    found = fitted(CLASSES, examples, tmp_path)
    assert found.out_of_fold is not None and len(found.out_of_fold) == 180
    right = found.out_of_fold.indices_N == targets_N(CLASSES, examples[:180])
    assert 0.8 < right.mean() < 1
    assert sum(found.weights.values()) == pytest.approx(1)


def test_validation_is_only_looked_at_where_train_cannot_be_folded(tmp_path: Path) -> None:
    examples = table()
    scrambled = examples.with_columns(
        pl.when(pl.col(POSITION) < 180).then(pl.col("value")).otherwise(-pl.col("value")).alias("value")
    )
    first, second = (fitted(VALUES, each, tmp_path / str(place)) for place, each in enumerate([examples, scrambled]))
    assert first.losses["linear"] == second.losses["linear"]
    assert first.trials[0].loss == second.trials[0].loss
    held = fitted(VALUES, examples, tmp_path / "held", foldable=False)
    assert held.out_of_fold is None and held.trials[0].loss != first.trials[0].loss


def written(folder: Path) -> Dataset:
    """The table as a dataset in `folder`."""
    examples = table()
    folder.mkdir()
    examples[:180].write_parquet(folder / "train.parquet")
    examples[180:].write_parquet(folder / "validation.parquet")
    parts = {"train": 180, "validation": 60, "test": 0}
    split = "75/25, stratified by big, seed 0"
    return Dataset("d", str(folder), CLASSES, parts, CLASSES.classes, {}, (), Seal(0, 0, 20), "", "", split, 0.0)


def test_a_run_is_recorded_and_can_be_loaded(tmp_path: Path) -> None:
    examples, dataset = table(), written(tmp_path / "data")
    altered = dataclasses.replace(dataset, parts_sha256={"validation": "0" * 64})
    estimate = Estimate(Interval(2.0, 1.0, 3.0), Interval(1e8, 5e7, 2e8), Interval(0.0, 0.0, 0.0))
    made = Plan("p", "d", "tuned trees", "classical", {"seed": Setting(0, "problem.yaml")}, estimate, ())
    told: list[Progress] = []
    with pytest.raises(IntegrityError, match=r"validation\.parquet: altered .*prepare --force"):
        train_tabular(altered, made, metric="accuracy", folder=tmp_path / "run", budget_seconds=1.5)
    run = train_tabular(
        dataset, made, metric="accuracy", folder=tmp_path / "run", budget_seconds=1.5, progress=told.append
    )
    assert run.plan_id == "p" and run.id and run.steps >= 1 and run.validation["accuracy"].value > 0.8
    assert told and all(each.step == "train" and each.done <= each.total for each in told)
    predictor = load_predictor(tmp_path / "run" / "predictor")
    positions_N, answers = load_out_of_sample(tmp_path / "run" / "predictor")
    assert sorted(positions_N) == list(range(240))
    found = predictor.predict(examples[180:]).probabilities_NC
    np.testing.assert_array_equal(answers.probabilities_NC[:60], found)
    points = json.loads((tmp_path / "run" / "history.json").read_text(encoding="utf-8"))
    assert all({"epoch", "step", "train_loss", "validation_loss"} <= set(point) for point in points)
    about = json.loads((tmp_path / "run" / "blend.json").read_text(encoding="utf-8"))
    assert sum(about["weights"].values()) == pytest.approx(1)
    assert run.cost == 0 and run.forecast_error.keys() == {"seconds", "peak_memory_bytes"}, "the rest was not foreseen"


def test_what_a_run_took_is_kept_beside_the_forecast_and_corrects_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run off by a factor f moves the next forecast by f to the power of 1 / (1 + 2).

    At 3.60 dollars an hour a second costs a tenth of a cent. The system says that this process once held 2^50 bytes.
    """
    problem, _ = parse({"name": "t", "output": "big", "data": {"source": "none"}, "compute": {"dollars_per_hour": 3.6}})
    dataset, budget = written(tmp_path / "data"), {"metric": "accuracy", "budget_seconds": 6.0}
    monkeypatch.setattr(room, "MOST_TRIALS", 2)
    monkeypatch.setattr("resource.getrusage", lambda who: SimpleNamespace(ru_maxrss=2**40))
    monkeypatch.setattr(Crowd, "share", property(lambda self: 0.0))
    first = plan(dataset, problem, folder=tmp_path, **budget)
    run = train_tabular(dataset, first, folder=tmp_path / "run", **budget)
    assert 2e7 < run.peak_memory_bytes < 2**40
    assert run.disk_bytes == sum(each.stat().st_size for each in (tmp_path / "run").rglob("*") if each.is_file())
    assert run.cost == pytest.approx(0.001 * run.seconds)
    actual = {"seconds": run.seconds, "peak_memory_bytes": run.peak_memory_bytes, "cost": run.cost}
    for name, value in actual.items():
        assert run.forecast_error[name] == pytest.approx(value / getattr(first.estimate, name).value - 1)
    assert run.forecast_error["disk_bytes"] == pytest.approx(run.disk_bytes / first.estimate.disk_bytes - 1)

    second = plan(dataset, problem, folder=tmp_path, **budget).estimate
    for name in ("seconds", "peak_memory_bytes"):
        raw = getattr(first.estimate, name).value
        assert getattr(second, name).value == pytest.approx(raw * (actual[name] / raw) ** (1 / 3))
    assert second.seconds.high <= max(6, second.seconds.value) and second.cost.value == pytest.approx(
        0.001 * second.seconds.value
    )

    train_tabular(dataset, first, folder=tmp_path / "run", **budget)
    assert len((state_folder() / FILE).read_text().splitlines()) == 1, "one that was gone on with teaches nothing"
