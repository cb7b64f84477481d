"""Plan and train on a tiny encoder: the record, what is saved, and going on after an interruption."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from modelwright.data.parts import read_part, targets_N
from modelwright.errors import InputError, IntegrityError, RefusedError, ResourceError
from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.models.inputs import Features
from modelwright.models.predictors import load_predictor
from modelwright.models.predictors.out_of_sample import load_out_of_sample
from modelwright.models.predictors.transformer import Transformer
from modelwright.problem import Problem
from modelwright.records import Dataset, Interval, Plan, Progress, Run
from modelwright.training import basis, checkpoint
from modelwright.training import train as training
from modelwright.training import underway as room
from modelwright.training.job import Job
from modelwright.training.loop import Step
from modelwright.training.parallel import Group
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


def test_the_most_that_a_run_takes_of_the_disk(
    text_dataset: Dataset, problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older checkpoints are looked up, to be removed, when the new one is whole; all go when the record is kept."""
    seen: list[int] = []

    def bytes_in(folder: Path) -> int:
        return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())

    def found(folder: Path) -> list[Path]:
        seen.append(bytes_in(folder))
        return sorted(folder.glob("step-*"), reverse=True)

    def keep(run: Run, basis: object, folder: Path) -> None:
        seen.append(bytes_in(folder))

    monkeypatch.setattr(checkpoint, "found", found)
    monkeypatch.setattr(training, "keep", keep)
    made = planned(text_dataset, problem, tmp_path)
    hourly = dataclasses.replace(made.estimate, cost=Interval(made.estimate.seconds.value / 1000, None, None))
    run = trained(text_dataset, dataclasses.replace(made, estimate=hourly), tmp_path / "run")
    assert run.disk_bytes == max(seen) > bytes_in(tmp_path / "run/predictor")
    assert run.forecast_error["disk_bytes"] == pytest.approx(run.disk_bytes / made.estimate.disk_bytes - 1)
    assert -0.3 < run.forecast_error["disk_bytes"] < 0.1, "less where the best is among the newest"
    assert run.cost == pytest.approx(run.seconds / 1000)
    assert run.forecast_error["cost"] == run.forecast_error["seconds"]


def test_nulls_and_empty_texts_are_answered(text_dataset: Dataset, problem: Problem, tmp_path: Path) -> None:
    run = trained(text_dataset, planned(text_dataset, problem, tmp_path), tmp_path / "run")
    predictor = load_predictor(Path(run.path) / "predictor")
    answers = predictor.predict(pl.DataFrame({"text": [None, "", "unknown words only", "card " * 500]}))
    assert len(answers) == 4
    np.testing.assert_allclose(answers.probabilities_NC.sum(axis=1), 1)


class Stop(Exception):
    pass


def stopped(dataset: Dataset, made: Plan, folder: Path, number: int) -> None:
    """A training in `folder` that ends as if it were killed after step `number`."""

    def stop(progress: Progress) -> None:
        if progress.what == "training" and progress.done == number:
            raise Stop

    with pytest.raises(Stop):
        trained(dataset, made, folder, stop)


def test_an_interrupted_run_ends_like_one_that_was_not(text_dataset: Dataset, problem: Problem, tmp_path: Path) -> None:
    made = planned(text_dataset, problem, tmp_path)
    whole = trained(text_dataset, made, tmp_path / "whole")

    for number in (5, 17, 30):  # before the first checkpoint after the start, and in the middle of two epochs
        stopped(text_dataset, made, tmp_path / "parts", number)
    parts = trained(text_dataset, made, tmp_path / "parts")
    assert parts.weights_sha256 == whole.weights_sha256 and parts.id == whole.id and parts.not_exact == ()
    for name in ("log.jsonl", "log.csv", "history.json"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_run_goes_on_in_another_surrounding_and_says_so(
    text_dataset: Dataset, problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = planned(text_dataset, problem, tmp_path)
    stopped(text_dataset, made, tmp_path / "run", 17)
    monkeypatch.setattr(basis, "code_version", lambda *rooms: "0.9.9+other")
    stopped(text_dataset, made, tmp_path / "run", 30)
    run = trained(text_dataset, made, tmp_path / "run")
    assert len(run.not_exact) == 1
    assert run.not_exact[0].startswith("it went on after step 12 with Modelwright 0.9.9+other (before: ")


def test_other_data_or_another_model_is_not_gone_on_with(
    text_dataset: Dataset, problem: Problem, tmp_path: Path
) -> None:
    own = tmp_path / "model"
    shutil.copytree(problem.model.base, own)
    moved = problem.model_copy(update={"model": problem.model.model_copy(update={"base": str(own)})})
    made = planned(text_dataset, moved, tmp_path)
    stopped(text_dataset, made, tmp_path / "run", 17)
    weights = own / "model.safetensors"
    sound = weights.read_bytes()
    weights.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    with pytest.raises(IntegrityError, match="after step 12 began with other files of the model"):
        trained(text_dataset, made, tmp_path / "run")
    weights.write_bytes(sound)
    part = Path(text_dataset.path) / "validation.parquet"
    pl.read_parquet(part)[1:].write_parquet(part)
    with pytest.raises(IntegrityError, match=r"another validation part .*--force"):
        trained(text_dataset, made, tmp_path / "run")


def test_a_best_checkpoint_that_is_damaged_gives_way_to_the_next_best(
    text_dataset: Dataset, problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step 12 is made the best, and damaged after a checkpoint of step 24."""
    measure = room.validated

    def better_at_12(job: Job, group: Group, *, step: int, metric: str) -> HistoryPoint:
        found = measure(job, group, step=step, metric=metric)
        return dataclasses.replace(found, validation_score=2.0) if step == 12 else found

    monkeypatch.setattr(room, "validated", better_at_12)
    made = planned(text_dataset, problem, tmp_path)
    stopped(text_dataset, made, tmp_path / "run", 30)
    state = tmp_path / "run/checkpoints/step-000000012/state.json"
    state.write_bytes(state.read_bytes()[:-1])
    run = trained(text_dataset, made, tmp_path / "run")
    assert run.best_step in (24, 36)
    assert run.not_exact == ("the best checkpoint, of step 12, was damaged; the best of the others is of step 24",)


def test_without_a_sound_best_checkpoint_the_run_is_validated_where_it_stands(
    text_dataset: Dataset, problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between steps 12 and 24, with a checkpoint after each: of those that are kept only the best was validated."""
    monkeypatch.setattr(checkpoint, "EVERY_SECONDS", 0.0)
    made = planned(text_dataset, problem, tmp_path)
    stopped(text_dataset, made, tmp_path / "run", 17)
    kept = sorted((tmp_path / "run/checkpoints").iterdir())
    assert len(kept) == 3 and [each.name for each in kept[1:]] == ["step-000000016", "step-000000017"]
    state = kept[0] / "state.json"
    best_step = json.loads(state.read_text())["step"]
    state.write_bytes(state.read_bytes()[:-1])
    run = trained(text_dataset, made, tmp_path / "run")
    assert run.best_step in (17, 24, 36)
    assert run.not_exact == (f"the best checkpoint, of step {best_step}, was damaged, and no other was validated",)
    history = json.loads((tmp_path / "run/history.json").read_text())
    assert [point["step"] for point in history] == [0, 12, 17, 24, 36]


def test_a_metric_that_is_no_number_leaves_it_to_the_loss_and_is_said_once(
    text_dataset: Dataset, problem: Problem, tmp_path: Path
) -> None:
    """One class alone in the validation part has no ROC AUC."""
    part = Path(text_dataset.path) / "validation.parquet"
    pl.read_parquet(part).filter(pl.col("label") == "class 0").write_parquet(part)
    made, told = plan(text_dataset, problem, folder=tmp_path, metric="roc_auc", budget_seconds=600), []
    where = {"folder": tmp_path / "run", "project": tmp_path, "progress": lambda each: told.append(each.lasting)}
    run = train(text_dataset, made, metric="roc_auc", budget_seconds=600, **where)
    history = json.loads((tmp_path / "run/history.json").read_text())
    assert [point["validation_score"] for point in history] == [None] * len(history)
    assert run.best_step == min(history, key=lambda point: point["validation_loss"])["step"] > 0
    said = "after step 0 the validation examples give no roc_auc (are all of one class?)"
    assert [remark.kind for remark in run.remarks].count("unscored") == 1
    assert sum(each.startswith(said) for each in told) == 1


def test_a_call_after_the_end_gives_the_record_again(text_dataset: Dataset, problem: Problem, tmp_path: Path) -> None:
    """As where the process was killed after training and before its record was stored."""
    made = planned(text_dataset, problem, tmp_path)
    run = trained(text_dataset, made, tmp_path / "run")
    written = (tmp_path / "run/predictor/model.safetensors").stat().st_mtime_ns
    assert trained(text_dataset, made, tmp_path / "run") == run
    assert (tmp_path / "run/predictor/model.safetensors").stat().st_mtime_ns == written


def test_a_run_that_is_lost_stops_and_keeps_its_best_checkpoint(
    text_dataset: Dataset, problem: Problem, tmp_path: Path
) -> None:
    """Learning rates a hundred times too high; a second call says the same from where it stopped."""
    training = problem.training.model_copy(update={"epochs": 30.0})
    made = planned(text_dataset, problem.model_copy(update={"training": training}), tmp_path)
    made.settings["learning_rate"] = dataclasses.replace(made.settings["learning_rate"], value=0.5)  # a plan refuses it
    made.settings["patience"] = dataclasses.replace(made.settings["patience"], value=99)
    told = r"training diverged.*set training\.learning_rate below 0\.17\. The best checkpoint, of step \d+, is kept in "
    with pytest.raises(RefusedError, match=told) as first:
        trained(text_dataset, made, tmp_path / "run")
    assert '"kind": "lost"' in (tmp_path / "run/remarks.jsonl").read_text()
    assert list((tmp_path / "run/checkpoints").glob("step-*"))
    with pytest.raises(RefusedError) as second:
        trained(text_dataset, made, tmp_path / "run")
    assert str(second.value) == str(first.value)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_memory_that_is_full_is_said_with_what_would_fit(
    error: Exception, text_dataset: Dataset, problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is full at the third step of the run; and then at once, when another is planned."""
    made = planned(text_dataset, problem, tmp_path)
    size = made.settings["batch_size"].value
    real = training.steps

    def full(*given: Any, **named: Any) -> Iterator[Step]:
        yield from itertools.islice(real(*given, **named), 2)
        raise error

    monkeypatch.setattr(training, "steps", full)
    told = rf"memory does not hold a batch of {size} .*; set training\.batch_size to {size // 2} or less"
    with pytest.raises(ResourceError, match=told + r"\. The best checkpoint, of step 0, is kept in "):
        trained(text_dataset, made, tmp_path / "run")
    monkeypatch.setattr("modelwright.training.probe.steps", full)
    with pytest.raises(ResourceError, match=told + "$"):
        planned(text_dataset, problem, tmp_path)


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


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_validation_goes_in_the_precision_of_the_run_and_the_record_in_float32(
    precision: str, text_dataset: Dataset, problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = problem.training.model_copy(update={"precision": precision, "epochs": 1})
    made = planned(text_dataset, problem.model_copy(update={"training": asked}), tmp_path)
    honest, seen = Transformer.outputs, []

    def outputs(self: Transformer, features: Features) -> np.ndarray:
        seen.append(torch.is_autocast_enabled("cpu"))
        return honest(self, features)

    monkeypatch.setattr(Transformer, "outputs", outputs)
    run = trained(text_dataset, made, tmp_path / "run")
    *between, last = seen
    assert len(between) >= 4 and set(between) == {precision == "bf16"} and not last
    curve = json.loads((Path(run.path) / "history.json").read_text())
    best = next(point for point in curve if point["step"] == run.best_step)
    assert run.validation["accuracy"].value == pytest.approx(best["validation_score"], abs=0.02)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_disk_that_is_full_where_adapters_are_written_is_said(
    text_dataset: Dataset, problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("peft")
    from modelwright.models import adapters

    model = problem.model.model_copy(update={"method": "lora"})
    asked = problem.training.model_copy(update={"epochs": 1})
    made = planned(text_dataset, problem.model_copy(update={"model": model, "training": asked}), tmp_path)

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(ResourceError, match="Make room"):
        patched.setattr(adapters, "save_adapters", full)
        trained(text_dataset, made, tmp_path / "run")
    assert trained(text_dataset, made, tmp_path / "run").not_exact == ()
