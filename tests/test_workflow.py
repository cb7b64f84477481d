"""The workflow with quick stand-ins for the ladder and for training; everything else is real."""

import csv
import dataclasses
import json
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelwright.data.parts import read_part, targets_N
from modelwright.data.seal import open_seal
from modelwright.errors import IntegrityError, ProblemError, RefusedError
from modelwright.models.predictors import Predictions, save_predictor
from modelwright.models.predictors.constant import Constant
from modelwright.models.predictors.out_of_sample import save_out_of_sample
from modelwright.problem import Constraints, parse
from modelwright.records import (
    POSITION,
    Candidate,
    Dataset,
    Estimate,
    Interval,
    Latency,
    Plan,
    Run,
    RungScore,
    Setting,
    Verdict,
    identify,
)
from modelwright.workflow import Project, steps
from modelwright.workflow.budget import resolve
from modelwright.workflow.choice import choose
from modelwright.workflow.steps import STEPS, Given

PROBLEM = """
name: tiny
statement: Tell large from small.
correct: large from 50 on.
output: label
metric: accuracy
data: {source: data.csv}
"""


def write_data(folder: Path, count: int = 300) -> None:
    draw = random.Random(0)
    with (folder / "data.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["size", "colour", "label"])
        for _ in range(count):
            size = draw.uniform(0, 100)
            lines.writerow([f"{size:.4f}", draw.choice(["red", "blue"]), "large" if size >= 50 else "small"])


def right(dataset: Dataset, part: pl.DataFrame, wrong: range) -> Predictions:
    """Sure answers to the examples of `part`, those at `wrong` being wrong."""
    truth_N = targets_N(dataset.schema, part).copy()
    truth_N[wrong.start : wrong.stop] = 1 - truth_N[wrong.start : wrong.stop]
    return Predictions(probabilities_NC=np.eye(2)[truth_N] * 0.98 + 0.01)


def save(dataset: Dataset, folder: Path, wrong: range) -> str:
    part = read_part(dataset, "validation")
    save_predictor(Constant(dataset.schema, (0.4, 0.6)), folder)
    save_out_of_sample(folder, part[POSITION].to_numpy(), right(dataset, part, wrong))
    return str(folder)


class Stand:
    """Stand-ins for the dear steps; counts how often each step is made."""

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()
        self.wrong = {"constant": range(15), "linear": range(12), "trained": range(0)}
        self.decision = "train"
        self.refuse = False

    def verdict(self, given: Given, folder: Path) -> Verdict:
        dataset = given.the(Dataset)
        rungs = []
        for name in ("constant", "linear"):
            path = save(dataset, folder / name, self.wrong[name])
            score = Interval(1 - len(self.wrong[name]) / 30, 0.0, 1.0)
            rungs.append(RungScore(name, name, score, Latency(1.0, 2.0), 0.0, 0.1, path=path))
        decision: Any = self.decision
        return identify(
            Verdict("", dataset.id, given.metric, "validation", tuple(rungs), decision, "linear", "so it is")
        )

    def plan(self, given: Given, folder: Path) -> Plan:
        if self.refuse:
            raise RefusedError("no model here fits")
        zero = Interval(0.0)
        settings = {"seed": Setting(given.problem.seed, "problem.yaml")}
        candidates = (Candidate("net", "full", True, "stands in"),)
        return identify(
            Plan("", given.the(Dataset).id, "net", "full", settings, Estimate(zero, zero, zero), candidates)
        )

    def run(self, given: Given, folder: Path) -> Run:
        save(given.the(Dataset), folder / "predictor", self.wrong["trained"])
        (folder / "history.json").write_text("[]")
        plan = given.the(Plan)
        return identify(Run("", plan.id, str(folder), "00", "completed", 9, 9, 0.1, {}, 1.0, 1, {}))


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    stand = Stand()

    def counted(kind: str, make: Callable[[Given, Path], Any]) -> Callable[[Given, Path], Any]:
        def making(given: Given, folder: Path) -> Any:
            stand.made[kind] += 1
            return make(given, folder)

        return making

    own = {"verdict": stand.verdict, "plan": stand.plan, "run": stand.run}
    for kind, step in list(STEPS.items()):
        monkeypatch.setitem(STEPS, kind, dataclasses.replace(step, make=counted(kind, own.get(kind, step.make))))
    return stand


@pytest.fixture
def project(tmp_path: Path, stand: Stand) -> Project:
    folder = tmp_path / "tiny"
    folder.mkdir()
    write_data(folder)
    (folder / "problem.yaml").write_text(PROBLEM)
    return Project(folder)


def restate(project: Project, old: str, new: str) -> None:
    path = project.folder / "problem.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


ALL = {"dataset": 1, "verdict": 1, "plan": 1, "run": 1, "report": 1, "package": 1}


def test_a_run_makes_every_step_once_and_a_second_one_none(project: Project, stand: Stand) -> None:
    first = project.run()
    assert stand.made == ALL
    assert (first.report.predictor, first.report.split) == ("net", "test")
    assert first.report.compared is not None and first.report.compared.to == "linear"
    assert first.package.golden.passed == first.package.golden.count > 0
    assert Project(project.folder).run() == first
    assert stand.made == ALL


def test_another_goal_prepares_and_trains_nothing(project: Project, stand: Stand) -> None:
    project.run()
    restate(project, "metric: accuracy", "metric: accuracy\ngoal: 0.9")
    project.run()
    assert stand.made == {**ALL, "verdict": 2, "report": 2, "package": 2}


def test_another_goal_keeps_the_rungs(project: Project) -> None:
    before = project.ladder()
    restate(project, "metric: accuracy", "metric: accuracy\ngoal: 0.9")
    assert {rung.path for rung in project.ladder().rungs} == {rung.path for rung in before.rungs}


def test_another_seed_makes_everything_again(project: Project, stand: Stand) -> None:
    project.run()
    restate(project, "name: tiny", "name: tiny\ntraining: {seed: 1}")
    project.run()
    assert stand.made == dict.fromkeys(ALL, 2)


def test_other_training_settings_plan_and_train_again(project: Project, stand: Stand) -> None:
    project.run()
    restate(project, "name: tiny", "name: tiny\ntraining: {learning_rate: 0.01}")
    project.run()
    assert (stand.made["dataset"], stand.made["verdict"], stand.made["run"]) == (1, 1, 1)
    assert stand.made["plan"] == 2  # the stand-in's plan says the same, so what follows from it holds


def test_a_byte_more_of_data_prepares_again(project: Project, stand: Stand) -> None:
    project.prepare()
    with (project.folder / "data.csv").open("a") as file:
        file.write("1,red,small\n")
    project.prepare()
    assert stand.made["dataset"] == 2


def test_going_back_finds_the_record_of_then(project: Project, stand: Stand) -> None:
    first = project.prepare()
    restate(project, "name: tiny", "name: tiny\ntraining: {seed: 1}")
    assert project.prepare() != first
    restate(project, "seed: 1", "seed: 0")
    assert project.prepare() == first
    assert stand.made["dataset"] == 2


def test_a_step_makes_those_before_it(project: Project, stand: Stand) -> None:
    project.train()
    assert stand.made == {"dataset": 1, "verdict": 1, "plan": 1, "run": 1}


def test_where_the_verdict_says_stop_nothing_is_trained(project: Project, stand: Stand) -> None:
    stand.decision = "stop"
    outcome = project.run()
    assert (outcome.plan, outcome.run) == (None, None)
    assert outcome.report.predictor == "linear"
    assert outcome.report.compared is not None and outcome.report.compared.to == "constant"
    assert project.run(train=True).run is not None


def test_where_nothing_can_be_trained_the_best_rung_stands(project: Project, stand: Stand) -> None:
    stand.refuse = True
    told = []
    outcome = project.run(tell=lambda kind, record: told.append((kind, record)))
    assert (outcome.plan, outcome.run, outcome.report.predictor) == (None, None, "linear")
    assert ("note", "nothing was trained: no model here fits; the best rung of the ladder stands") in told


def test_each_record_is_told_when_it_is_there(project: Project) -> None:
    told: list[str] = []
    project.run(tell=lambda kind, record: told.append(kind))
    assert told == ["problem", "dataset", "verdict", "plan", "run", "choice", "report", "package"]


def test_force_makes_it_again_and_what_follows_follows(project: Project, stand: Stand) -> None:
    project.run()
    project.run(force=True)
    assert stand.made == dict.fromkeys(ALL, 2)


def test_preparing_again_buys_no_new_looks(project: Project) -> None:
    project.evaluate(split="test")
    dataset = project.prepare()
    assert open_seal(dataset).looks_used == 1
    again = project.prepare(force=True)
    assert again.path == dataset.path
    assert open_seal(again).looks_used == 1
    assert [path.name for path in Path(again.path).parent.iterdir()] == [Path(again.path).name]


def test_looks_outlive_a_lost_store(project: Project) -> None:
    project.evaluate(split="test")
    for path in (project.folder / ".modelwright").glob("store.db*"):
        path.unlink()
    assert open_seal(project.prepare()).looks_used == 1


def test_the_same_report_on_the_test_part_spends_one_look(project: Project) -> None:
    for _ in range(3):
        project.evaluate(split="test")
    assert open_seal(project.prepare()).looks_used == 1


def test_evaluate_answers_on_validation_unless_asked(project: Project) -> None:
    assert project.evaluate().split == "validation"
    assert open_seal(project.prepare()).looks_used == 0


def test_a_lost_part_is_said_with_what_makes_it_again(project: Project) -> None:
    dataset = project.prepare()
    part = Path(dataset.path) / "train.parquet"
    part.unlink()
    with pytest.raises(IntegrityError, match=r"train\.parquet: .*run `modelwright prepare --force` to make it again"):
        project.ladder()
    assert project.prepare(force=True).id == dataset.id
    assert part.exists() and project.ladder()


def test_a_removed_package_is_made_again(project: Project, stand: Stand) -> None:
    shutil.rmtree(project.run().package.path)
    project.run()
    assert stand.made == {**ALL, "package": 2}


def test_a_project_can_be_moved(project: Project, stand: Stand, tmp_path: Path) -> None:
    project.run()
    moved = project.folder.rename(tmp_path / "moved")
    outcome = Project(moved).run()
    assert stand.made == ALL
    assert Path(outcome.dataset.path).is_relative_to(moved)
    assert Path(outcome.package.path).is_relative_to(moved)


def test_a_metric_that_does_not_exist_is_refused_before_anything_is_read(project: Project, stand: Stand) -> None:
    restate(project, "metric: accuracy", "metric: acuracy")
    with pytest.raises(ProblemError, match="did you mean accuracy"):
        project.run()
    assert not stand.made


@pytest.mark.parametrize(
    ("stated", "said"),
    [("metric: r2", "judges regression"), ("metric: accuracy\ngoal: 90", "write 0.9 for 90 per cent")],
)
def test_a_metric_or_goal_that_cannot_be_is_refused(project: Project, stated: str, said: str) -> None:
    restate(project, "metric: accuracy", stated)
    with pytest.raises(ProblemError, match=said):
        project.ladder()


def test_status_says_where_it_stands(project: Project, stand: Stand) -> None:
    states = {each.step: each.state for each in project.status().steps}
    assert set(states.values()) == {"open"}
    assert project.status().next.startswith("modelwright run")
    project.ladder()
    states = {each.step: each.state for each in project.status().steps}
    assert (states["prepare"], states["ladder"], states["train"]) == ("done", "done", "open")
    assert project.status().next.startswith("modelwright plan")
    project.run()
    assert {each.state for each in project.status().steps} == {"done"}
    assert project.status().looks_used == 1
    assert project.status().next.startswith("modelwright serve")
    restate(project, "output: label", "output: colour")
    assert {each.state for each in project.status().steps} == {"changed"}
    assert stand.made["dataset"] == 1


def test_a_second_process_is_told_of_the_first(project: Project) -> None:
    code = (
        "import sys; from modelwright.workflow import Project; p = Project(sys.argv[1])\n"
        "with p.working(): print('at work', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(project.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "at work\n"
        with pytest.raises(RefusedError, match=f"process {other.pid}"):
            project.prepare()
        other.kill()
    assert project.prepare()


def test_a_killed_step_is_handed_its_folder_again(
    project: Project, stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def dies_once(given: Given, folder: Path) -> Run:
        seen.append(sorted(path.name for path in folder.iterdir()) if folder.exists() else [])
        if len(seen) == 1:
            folder.mkdir()
            (folder / "checkpoint").write_text("half way")
            raise KeyboardInterrupt
        return stand.run(given, folder)

    monkeypatch.setitem(STEPS, "run", dataclasses.replace(STEPS["run"], make=dies_once))
    with pytest.raises(KeyboardInterrupt):
        project.run()
    project.run()
    assert seen == [[], ["checkpoint"]]
    assert stand.made["verdict"] == 1


def test_a_killed_run_goes_on_as_planned_after_an_upgrade(
    project: Project, stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other code takes the folder over once; a run that has its record is left alone."""
    seen: list[list[str]] = []
    killed = True

    def dies(given: Given, folder: Path) -> Run:
        seen.append(sorted(path.name for path in folder.iterdir()) if folder.exists() else [])
        folder.mkdir(exist_ok=True)
        (folder / "checkpoint").write_text("half way")
        if killed:
            raise KeyboardInterrupt
        return stand.run(given, folder)

    monkeypatch.setitem(STEPS, "run", dataclasses.replace(STEPS["run"], make=dies))
    with pytest.raises(KeyboardInterrupt):
        project.train()
    told: list[str] = []
    project.progress = lambda progress: told.append(progress.lasting)
    monkeypatch.setattr("modelwright.workflow.project.code_version", lambda *rooms: "newer")
    killed = False
    run = project.train()
    assert seen == [[], ["checkpoint"]]
    assert stand.made["plan"] == 1 and stand.made["dataset"] == 2, "all but the plan is made again"
    assert [said for said in told if said] == [
        "a killed run, begun with other code, goes on as it was planned; `plan --force` plans anew"
    ]
    assert project.train() == run and len(seen) == 2
    monkeypatch.setattr("modelwright.workflow.project.code_version", lambda *rooms: "newest")
    project.train()
    assert seen[2] == [], "nothing was killed: the newest code plans and trains by itself"
    assert stand.made["plan"] == 2 and Path(run.path).exists()


def test_a_kill_while_preparing_again_keeps_the_looks(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.evaluate(split="test")

    def dies(given: Given, folder: Path) -> Dataset:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(STEPS, "dataset", dataclasses.replace(STEPS["dataset"], make=dies))
        with pytest.raises(KeyboardInterrupt):
            project.prepare(force=True)
    assert open_seal(project.prepare()).looks_used == 1


def test_the_inputs_of_a_record_are_stored_with_it(project: Project) -> None:
    project.ladder()
    with project.working() as store:
        entry = store.entry("verdict")
        assert entry is not None
        assert {"metric", "goal", "constraints", "seed", "code", "dataset_id"} <= entry.inputs.keys()
        assert store.latest("problem") == project.problem


def test_a_step_depends_on_nothing_but_what_it_states() -> None:
    """Every record before that `make` reads is in `after`, so its id is in the key."""
    source = Path(steps.__file__).read_text()
    for kind in ("plan", "run"):
        assert f'given.records.get("{kind}")' in source
        assert all(f"{kind}?" in STEPS[each].after for each in ("report", "package"))


# --- the choice -------------------------------------------------------------------------------------


def chosen(project: Project, stand: Stand, **constraints: float) -> tuple[str, str | None]:
    dataset, verdict, plan, run = project.prepare(), project.ladder(), project.plan(), project.train()
    choice = choose(dataset, verdict, plan, run, metric="accuracy", constraints=Constraints(**constraints), seed=0)
    return choice.chosen.name, choice.baseline.name if choice.baseline else None


def test_a_trained_model_that_is_clearly_better_wins(project: Project, stand: Stand) -> None:
    """30 validation examples: 12 wrong against 0; the standard error of the difference is about .09."""
    assert chosen(project, stand) == ("net", "linear")


def test_a_simpler_one_within_noise_wins(project: Project, stand: Stand) -> None:
    """3 wrong against 2 others of 30: a difference of 1/30 = .033; its standard error is
    sqrt((5/30 - (1/30)^2) / 30) = .074.
    """
    stand.wrong |= {"linear": range(3), "trained": range(3, 5)}
    assert chosen(project, stand) == ("linear", "constant")


def test_rungs_below_the_ladders_choice_are_out(project: Project, stand: Stand) -> None:
    """The constant answer is as good here, but the ladder chose linear on more examples."""
    stand.wrong |= {"constant": range(0), "linear": range(0)}
    assert chosen(project, stand) == ("linear", "constant")


def test_what_breaks_the_latency_limit_is_out(project: Project, stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rungs take 2 ms at the 95th percentile, the trained one 50."""
    from modelwright.workflow import choice

    monkeypatch.setattr(choice, "measure_latency", lambda predictor, examples: Latency(40.0, 50.0))
    assert chosen(project, stand, latency_ms=10.0) == ("linear", "constant")
    assert chosen(project, stand, latency_ms=1.0) == ("net", "linear")  # none keeps it: all are looked at


# --- the budget -------------------------------------------------------------------------------------


def test_the_default_budget_is_twelve_minutes_and_says_so() -> None:
    """720 s: the ladder two fifths, at most 180; a tenth, 72, is kept; 100 spent leave 548."""
    stated, _ = parse({"name": "p", "output": "y", "data": {"source": "a"}})
    budget = resolve(stated, gpu=False)
    assert (budget.seconds, budget.ladder_seconds) == (720, 180)
    assert budget.origin == "default without a GPU: 12 min"
    assert budget.training_seconds(100) == 720 - 100 - 72


def test_a_stated_budget_is_shared_out() -> None:
    """2 min = 120 s: 48 for the ladder, 12 kept; where 119 are spent training still gets a quarter."""
    stated, _ = parse({"name": "p", "output": "y", "data": {"source": "a"}, "training": {"budget_minutes": 2}})
    budget = resolve(stated, gpu=True)
    assert (budget.ladder_seconds, budget.training_seconds(8), budget.training_seconds(119)) == (48, 100, 30)


def test_a_budget_in_dollars_is_time_at_the_stated_price() -> None:
    """50 cents at 3 dollars an hour are 600 s; beside 20 minutes the smaller of the two counts, beside 5 the 300 s."""
    fields = {"name": "p", "output": "y", "data": {"source": "a"}, "compute": {"dollars_per_hour": 3}}
    budget = resolve(parse({**fields, "training": {"budget_dollars": 0.5}})[0], gpu=False)
    assert (budget.seconds, budget.origin) == (600, "training.budget_dollars at $3 an hour")
    for minutes, seconds in ((20, 600), (5, 300)):
        both, _ = parse({**fields, "training": {"budget_dollars": 0.5, "budget_minutes": minutes}})
        assert resolve(both, gpu=False).seconds == seconds


def test_records_are_stored_with_paths_that_can_move(project: Project) -> None:
    project.run()
    assert str(project.folder) not in json.dumps(_stored(project))


def _stored(project: Project) -> list[str]:
    import sqlite3

    connection = sqlite3.connect(project.folder / ".modelwright" / "store.db")
    try:
        return [record for (record,) in connection.execute("SELECT record FROM modelwright_records")]
    finally:
        connection.close()


def test_time_spent_is_stored(project: Project, stand: Stand) -> None:
    before = time.perf_counter()
    project.prepare()
    spent = time.perf_counter() - before
    with project.working() as store:
        entry = store.entry("dataset")
        assert entry is not None and 0 < entry.seconds <= spent
