"""Reporters hear of a run what its logs hold; the real ones are tried where they are installed."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pytest

from modelwright.errors import InputError, UnknownNameError
from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.problem import Problem
from modelwright.records import Dataset, Plan, Progress, Run
from modelwright.training.loop import Step
from modelwright.training.plan import plan
from modelwright.training.reporters import REPORTERS, Reports, Subject, check
from modelwright.training.reporters.memory import Memory
from modelwright.training.train import train


@pytest.fixture(autouse=True)
def nothing_open() -> None:
    Memory.opened.clear()


def trained(dataset: Dataset, made: Plan, folder: Path, progress: Callable[[Progress], None] = lambda _: None) -> Run:
    return train(
        dataset,
        made,
        metric="accuracy",
        folder=folder,
        project=folder.parent,
        budget_seconds=600,
        progress=progress,
        report_to=["memory"],
    )


class Stop(Exception):
    pass


def test_a_reporter_hears_what_the_logs_hold(text_dataset: Dataset, problem: Problem, tmp_path: Path) -> None:
    made = plan(text_dataset, problem, folder=tmp_path, metric="accuracy", budget_seconds=600)
    trained(text_dataset, made, tmp_path / "run")
    (heard,) = Memory.opened
    assert heard.subject.project == tmp_path.name and heard.subject.settings["learning_rate"] == 1e-3
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [(step.number, step.loss) for step in heard.steps] == [(line["number"], line["loss"]) for line in lines]
    assert [point.step for point in heard.validations] == [0, 12, 24, 36]
    assert heard.status == "completed"


def test_a_run_that_goes_on_goes_on_in_the_same_report(text_dataset: Dataset, problem: Problem, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.done == 17:
            raise Stop

    made = plan(text_dataset, problem, folder=tmp_path, metric="accuracy", budget_seconds=600)
    with pytest.raises(Stop):
        trained(text_dataset, made, tmp_path / "run", stop)
    trained(text_dataset, made, tmp_path / "run")
    first, second = Memory.opened
    assert (first.status, second.status) == ("failed", "completed")
    assert first.known_as == second.known_as
    assert (first.subject.after, second.subject.after) == (None, 12)
    assert [step.number for step in second.steps] == list(range(13, 37))


def test_a_run_that_begins_anew_has_a_report_of_its_own(tmp_path: Path) -> None:
    first = Memory(Subject("p", tmp_path / "run", {}))
    assert Memory(Subject("p", tmp_path / "run", {})).known_as != first.known_as


def test_ids_are_kept_whole_and_damaged_ones_begin_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill while they are written leaves those of before."""
    Subject("p", tmp_path, {}).keep_id("memory", "run 7")
    again = Subject("p", tmp_path, {}, after=2)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            again.keep_id("mlflow", "m")
    assert again.id_with("memory") == "run 7" and again.id_with("mlflow") is None
    (tmp_path / "reports.json").write_text('{"memory": "ru')
    assert again.id_with("memory") is None
    again.keep_id("memory", "run 8")
    assert again.id_with("memory") == "run 8"


class Failing(Memory):
    """Fails at the second step."""

    def step(self, step: Step) -> None:
        super().step(step)
        if len(self.steps) == 2:
            raise ConnectionError("the server is gone")


def with_row(monkeypatch: pytest.MonkeyPatch, reporter: type[Memory]) -> None:
    """Put `reporter` into the table as an outside package would."""
    point = EntryPoint("mine", "tests", "modelwright.reporter")
    monkeypatch.setattr(REPORTERS, "_outside", {"mine": point})
    monkeypatch.setattr(EntryPoint, "load", lambda point: reporter)


def step(number: int) -> Step:
    return Step(number, 0, 1 / number, 16, 1e-3, 2.5, 0.125)


def point(number: int) -> HistoryPoint:
    return HistoryPoint(number / 4, number, 1.0, 2.0, 0.5, None)


def test_a_reporter_that_fails_is_let_go_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_row(monkeypatch, Failing)
    said: list[str] = []
    reports = Reports(["mine"], Subject("p", tmp_path, {}), tell=said.append)
    for number in (1, 2, 3):
        reports.step(step(number))
    reports.end("completed")
    assert said == ["mine is not told any more: ConnectionError: the server is gone; the logs here are whole"]
    assert len(Memory.opened[0].steps) == 2 and Memory.opened[0].status is None


class Unreachable(Memory):
    def __init__(self, subject: Subject) -> None:
        raise ConnectionError("no answer")


class Absent(Memory):
    package: ClassVar[str] = "no_such_package"


def test_one_that_cannot_be_opened_is_refused_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_row(monkeypatch, Unreachable)
    with pytest.raises(InputError, match="mine cannot be opened: no answer; see to mine, or train without it"):
        Reports(["mine"], Subject("p", tmp_path, {}), tell=print)


def test_one_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    with_row(monkeypatch, Absent)
    with pytest.raises(InputError, match="--report-to: mine is not installed; run: pip install no_such_package"):
        check(["mine"])


def test_an_unknown_one_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="tensorboard"):
        check(["tensorbord"])


def told(name: str, folder: Path) -> None:
    """A run of four steps that is killed after the third, having a checkpoint of the second, and goes on."""
    settings: dict[str, Any] = {"metric": "accuracy", "learning_rate": 1e-3}
    first = REPORTERS[name](Subject("shop", folder, settings))
    first.validation(point(0))
    for number in (1, 2, 3):
        first.step(step(number))
    first.end("failed")
    again = REPORTERS[name](Subject("shop", folder, settings, after=2))
    for number in (3, 4):
        again.step(step(number))
    again.validation(point(4))
    again.end("completed")


@pytest.mark.filterwarnings("ignore")
def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    told("tensorboard", tmp_path)
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(each.step, each.value) for each in found.Scalars("train/loss")] == [
        (number, pytest.approx(1 / number)) for number in (1, 2, 3, 4)
    ]
    assert [each.step for each in found.Scalars("validation/loss")] == [0, 4]


@pytest.mark.filterwarnings("ignore")
def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    told("mlflow", tmp_path / "run")
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("shop").experiment_id])
    assert run.data.params["learning_rate"] == "0.001" and run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert {each.step: each.value for each in history} == {number: 1 / number for number in (1, 2, 3, 4)}


@pytest.mark.filterwarnings("ignore")
def test_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    (tmp_path / "run").mkdir()
    told("wandb", tmp_path / "run")
    known_as = json.loads((tmp_path / "run/reports.json").read_text())["wandb"]
    written = list((tmp_path / "run/wandb").glob("offline-run-*/run-*.wandb"))
    assert len(written) == 2 and {path.stem for path in written} == {f"run-{known_as}"}


@pytest.mark.filterwarnings("ignore")
def test_trackio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    import sqlite3

    told("trackio", tmp_path / "run")
    (database,) = (tmp_path / "trackio").glob("shop*.db")
    with sqlite3.connect(database) as opened:
        rows = opened.execute("select step, metrics from metrics order by step").fetchall()
    figures = [(number, json.loads(values)) for number, values in rows]
    losses = {number: each["train/loss"] for number, each in figures if "train/loss" in each}
    assert losses == {number: pytest.approx(1 / number) for number in (1, 2, 3, 4)}
