"""Plan and train on a tiny encoder: the record, what is saved, and going on after an interruption."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelwright.data.parts import read_part, targets_N
from modelwright.errors import InputError
from modelwright.models.predictors import load_predictor
from modelwright.models.predictors.out_of_sample import load_out_of_sample
from modelwright.problem import Problem
from modelwright.records import Dataset, Plan, Progress, Run
from modelwright.training.plan import plan
from modelwright.training.train import train


def planned(dataset: Dataset, problem: Problem, folder: Path) -> Plan:
    return plan(dataset, problem, folder=folder, metric="accuracy", budget_seconds=600)


def trained(dataset: Dataset, made: Plan, folder: Path, progress=lambda progress: None) -> Run:
    return train(
        dataset,
        made,
        metric="accuracy",
        folder=folder,
        project=folder.parent,
        budget_seconds=600,
        progress=progress,
    )


def test_plan_says_where_every_value_comes_from(text_dataset: Dataset, problem: Problem, tmp_path: Path) -> None:
    """180 examples in batches of 16 are 12 batches an epoch, and 36 steps in 3 epochs."""
    made = planned(text_dataset, problem, tmp_path)
    assert made.method == "full"
    assert made.settings["steps"].value == 36
    assert made.settings["epochs"].origin == "problem.yaml"
    assert all(each.origin for each in made.settings.values())
    assert made.estimate.seconds.low < made.estimate.seconds.value < made.estimate.seconds.high


def test_a_run_learns_and_its_predictor_answers_alike(text_dataset: Dataset, problem: Problem, tmp_path: Path) -> None:
    run = trained(text_dataset, planned(text_dataset, problem, tmp_path), tmp_path / "run")
    assert run.status == "completed" and run.steps == 36
    assert run.validation["accuracy"].value > 0.8
    history = json.loads((tmp_path / "run/history.json").read_text())
    assert [point["step"] for point in history] == [0, 12, 24, 36]
    assert len((tmp_path / "run/log.jsonl").read_text().splitlines()) == 36

    predictor = load_predictor(tmp_path / "run/predictor")
    validation = read_part(text_dataset, "validation")
    again = predictor.predict(validation)
    _, kept = load_out_of_sample(tmp_path / "run/predictor")
    np.testing.assert_allclose(again.probabilities_NC, kept.probabilities_NC, atol=1e-6)
    alone = predictor.predict(validation[3:4])
    np.testing.assert_allclose(alone.probabilities_NC[0], again.probabilities_NC[3], atol=1e-5)
    truth_N = targets_N(text_dataset.schema, validation)
    assert (again.indices_N == truth_N).mean() == pytest.approx(run.validation["accuracy"].value)


def test_nulls_and_empty_texts_are_answered(text_dataset: Dataset, problem: Problem, tmp_path: Path) -> None:
    run = trained(text_dataset, planned(text_dataset, problem, tmp_path), tmp_path / "run")
    predictor = load_predictor(Path(run.path) / "predictor")
    answers = predictor.predict(pl.DataFrame({"text": [None, "", "unknown words only", "card " * 500]}))
    assert len(answers) == 4
    np.testing.assert_allclose(answers.probabilities_NC.sum(axis=1), 1)


class Stop(Exception):
    pass


def test_an_interrupted_run_ends_like_one_that_was_not(text_dataset: Dataset, problem: Problem, tmp_path: Path) -> None:
    made = planned(text_dataset, problem, tmp_path)
    whole = trained(text_dataset, made, tmp_path / "whole")

    def stop_at(number: int):
        def stop(progress: Progress) -> None:
            if progress.what == "training" and progress.done == number:
                raise Stop

        return stop

    for number in (5, 17, 30):  # before the first checkpoint after the start, and in the middle of two epochs
        with pytest.raises(Stop):
            trained(text_dataset, made, tmp_path / "parts", stop_at(number))
    parts = trained(text_dataset, made, tmp_path / "parts")
    assert parts.weights_sha256 == whole.weights_sha256
    assert (tmp_path / "parts/log.jsonl").read_bytes() == (tmp_path / "whole/log.jsonl").read_bytes()


def test_a_spent_budget_stops_with_the_best_so_far(text_dataset: Dataset, problem: Problem, tmp_path: Path) -> None:
    made = planned(text_dataset, problem, tmp_path)
    run = train(text_dataset, made, metric="accuracy", folder=tmp_path / "run", project=tmp_path, budget_seconds=0.0)
    assert run.status == "budget" and run.steps == 1
    assert (tmp_path / "run/predictor/model.safetensors").exists()


def test_a_model_that_is_not_there(text_dataset: Dataset, problem: Problem, tmp_path: Path) -> None:
    missing = problem.model_copy(update={"model": problem.model.model_copy(update={"base": "all-MiniLM-L6-v3"})})
    with pytest.raises(InputError, match="all-MiniLM-L6-v2"):
        planned(text_dataset, missing, tmp_path)


def test_a_text_regression_is_in_the_targets_own_unit(text_dataset: Dataset, problem: Problem, tmp_path: Path) -> None:
    """The target is 1000 + 100 x class: predictions must lie near it, not near its standardised value."""
    import dataclasses

    folder = Path(text_dataset.path)
    for part in ("train", "validation"):
        frame = pl.read_parquet(folder / f"{part}.parquet")
        number = frame["label"].str.slice(-1).cast(pl.Float64) * 100 + 1000
        frame.with_columns(number.alias("label")).write_parquet(folder / f"{part}.parquet")
    schema = dataclasses.replace(text_dataset.schema, task="regression", classes=())
    dataset = dataclasses.replace(text_dataset, schema=schema, classes=())
    made = plan(dataset, problem, folder=tmp_path, metric="r2", budget_seconds=600)
    run = train(dataset, made, metric="r2", folder=tmp_path / "run", project=tmp_path, budget_seconds=600)
    assert run.validation["r2"].value > 0.5
    values = load_predictor(tmp_path / "run/predictor").predict(read_part(dataset, "validation")).values_N
    assert 850 < values.min() < values.max() < 1350
