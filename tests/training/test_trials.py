"""Several trainings of a tiny encoder: the best one is kept, laggards are stopped, and a killed search ends alike."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from modelwright.data.parts import read_part, targets_N
from modelwright.errors import InputError, RefusedError
from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.models.predictors import load_predictor
from modelwright.problem import Problem
from modelwright.records import BatchSize, Dataset, Estimate, Interval, Plan, Progress, Run, Search, Setting
from modelwright.training import checkpoint
from modelwright.training import trials as room
from modelwright.training.course import Course
from modelwright.training.journal import JOURNAL
from modelwright.training.plan import plan
from modelwright.training.space import chosen, own, params_of, plan_of
from modelwright.training.standings import Done, best_of, lags, proposed
from modelwright.training.train import train


@pytest.fixture
def made(text_dataset: Dataset, problem: Problem, tmp_path: Path) -> Plan:
    """Five trials of 3 epochs whose rates and batch sizes are open; the head starts anew, so that rates matter."""
    found = planned(text_dataset, searching(problem, trials=5), tmp_path)
    assert found.search is not None
    search = dataclasses.replace(found.search, learning_rates={"full": (1e-4, 1e-2)})
    changed = {"head": Setting("random", "test"), "learning_rate": Setting(1e-3, "test")}
    return dataclasses.replace(found, search=search, settings=found.settings | changed)


def searching(problem: Problem, *, method: str = "full", **training: Any) -> Problem:
    """The problem with learning rate and batch size left open."""
    stated = {"learning_rate": "auto", "batch_size": "auto", "epochs": 3.0, **training}
    model = problem.model.model_copy(update={"method": method})
    return problem.model_copy(update={"training": problem.training.model_copy(update=stated), "model": model})


def planned(dataset: Dataset, problem: Problem, folder: Path) -> Plan:
    return plan(dataset, problem, folder=folder, metric="accuracy", budget_seconds=600)


def trained(dataset: Dataset, made: Plan, folder: Path, progress=lambda progress: None, budget: float = 600) -> Run:
    where = {"folder": folder, "project": folder.parent}
    return train(dataset, made, metric="accuracy", **where, budget_seconds=budget, progress=progress)


def tries(monkeypatch: pytest.MonkeyPatch, *rates: float) -> None:
    """Let the second trial and those after it try these learning rates."""

    def next_rate(plan: Plan, done: list[Done], *, metric: str) -> dict[str, Any]:
        return {**own(plan), "learning_rate": rates[len(done) - 1]}

    monkeypatch.setattr(room, "proposed", next_rate)


def weights(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*.safetensors"))


def test_the_best_trial_becomes_the_run(text_dataset: Dataset, made: Plan, tmp_path: Path) -> None:
    """Trained alone by the same settings it ends with the same weights; nothing else of a trial's weights is kept."""
    run = trained(text_dataset, made, tmp_path / "run")
    assert [each.number for each in run.trials] == list(range(5))
    assert run.trials[0].settings == own(made), "the plan's own come first"
    (best,) = (each for each in run.trials if each.chosen)
    whole = [each for each in run.trials if each.ended in ("completed", "stopped_early")]
    assert (best.score, -best.loss) == max((each.score, -each.loss) for each in whole)
    assert len({json.dumps(each.settings) for each in run.trials}) == 5, "nothing is tried twice"
    assert run.seconds == pytest.approx(sum(each.seconds for each in run.trials))
    assert run.validation["accuracy"].value == pytest.approx(best.score)
    kept = sum(each.stat().st_size for each in (tmp_path / "run/predictor").rglob("*") if each.is_file())

    alone = trained(text_dataset, plan_of(made, best.settings, best.number), tmp_path / "alone")
    assert alone.weights_sha256 == run.weights_sha256 and alone.trials == ()
    assert run.disk_bytes >= alone.disk_bytes + kept > kept, "a trial, and beside it the best so far"
    assert run.forecast_error["disk_bytes"] == pytest.approx(run.disk_bytes / made.estimate.disk_bytes - 1)
    assert (tmp_path / "alone/history.json").read_bytes() == (tmp_path / "run/history.json").read_bytes()
    assert weights(tmp_path / "run") == weights(tmp_path / "alone")
    answers = load_predictor(tmp_path / "run/predictor").predict(validation := read_part(text_dataset, "validation"))
    assert (answers.indices_N == targets_N(text_dataset.schema, validation)).mean() == pytest.approx(best.score)
    assert trained(text_dataset, made, tmp_path / "run") == run, "a call after the end gives the record again"


class Stop(Exception):
    pass


def stopped(dataset: Dataset, made: Plan, folder: Path, trial: int, step: int) -> None:
    """A search that ends as if it were killed after a step of a trial."""

    def stop(progress: Progress) -> None:
        if progress.what == "training" and progress.done == step and progress.note.startswith(f"trial {trial} of"):
            raise Stop

    with pytest.raises(Stop):
        trained(dataset, made, folder, stop)


def journal(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / JOURNAL).read_text(encoding="utf-8").splitlines()
    return [{**json.loads(line), "seconds": None, "crc32": None} for line in lines]


def test_a_killed_search_ends_like_one_that_was_not(
    text_dataset: Dataset, made: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the first trial, in a later one, before a trial is in the journal, and before the record is kept."""
    made = dataclasses.replace(made, search=dataclasses.replace(made.search, trials=4))
    whole = trained(text_dataset, made, tmp_path / "whole")
    parts = tmp_path / "parts"
    stopped(text_dataset, made, parts, 1, 9)
    stopped(text_dataset, made, parts, 3, 3)
    for name in ("enter", "keep"):
        with monkeypatch.context() as patched:
            patched.setattr(room, name, lambda *given: (_ for _ in ()).throw(Stop))
            with pytest.raises(Stop):
                trained(text_dataset, made, parts)
    again = trained(text_dataset, made, parts)
    assert again.weights_sha256 == whole.weights_sha256 and again.id == whole.id and again.not_exact == ()
    assert journal(parts) == journal(tmp_path / "whole")
    for name in ("log.jsonl", "history.json", "trials/002/log.jsonl", "trials/004/log.jsonl"):
        assert (parts / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_trial_that_lags_behind_is_stopped(
    text_dataset: Dataset, made: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """180 examples in batches of 32 are 6 an epoch; the first validation after a quarter of 18 steps is at step 6.

    A call that is killed before the trial is in the journal stops it at the same place.
    """
    tries(monkeypatch, 2e-3, 1e-6, 3e-3)
    four = dataclasses.replace(made, search=dataclasses.replace(made.search, trials=4))
    with monkeypatch.context() as patched:
        enter = room.enter

        def killed(folder: Path, trial: Done) -> None:
            if trial.ended == "pruned":
                raise Stop
            enter(folder, trial)

        patched.setattr(room, "enter", killed)
        with pytest.raises(Stop):
            trained(text_dataset, four, tmp_path / "run")
    said: list[str] = []
    run = trained(text_dataset, four, tmp_path / "run", lambda told: said.append(told.lasting))
    assert [each.ended for each in run.trials] == ["completed", "completed", "pruned", "completed"]
    assert len((tmp_path / "run/trials/003/log.jsonl").read_text().splitlines()) == 6
    assert any("trial 3: method full, learning_rate 1e-06" in each and "lagged behind" in each for each in said)


@pytest.mark.parametrize("ended", ["pruned", "diverged"])
def test_a_trial_that_was_killed_is_charged_for_all_its_calls(ended: str, made: Plan, tmp_path: Path) -> None:
    """A killed call took 100 seconds up to its checkpoint; this one ends at once."""
    home = room.trial_folder(tmp_path, 1)
    checkpoint.save(home / "checkpoints", checkpoint.Checkpoint(3, {}, {"step": 3, "seconds": 100.0}))
    (home / "history.json").write_text(json.dumps([dataclasses.asdict(HistoryPoint(0, 0, 1.0, 1.0, 0.5, 0.5))]))

    def ends(plan: Plan, **given: Any) -> Run:
        raise room.Pruned(Course(step=4)) if ended == "pruned" else RefusedError("training diverged; do this")

    first = [over(0, [0.1, 0.5])]
    given = {"metric": "accuracy", "folder": tmp_path, "left": 600.0, "progress": lambda told: None}
    done = room._tried(made, ends, {**own(made), "learning_rate": 2e-3}, first, **given)
    assert done.ended == ended and 100 <= done.seconds < 110


def test_a_trial_that_diverges_is_noted_but_the_plans_own_is_refused(
    text_dataset: Dataset, made: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = dataclasses.replace(made, search=dataclasses.replace(made.search, trials=2))
    tries(monkeypatch, 1e30)
    run = trained(text_dataset, two, tmp_path / "run")
    assert [(each.ended, each.chosen) for each in run.trials] == [("completed", True), ("diverged", False)]
    hopeless = dataclasses.replace(two, settings=two.settings | {"learning_rate": Setting(1e30, "test")})
    with pytest.raises(RefusedError, match="learning_rate"):
        trained(text_dataset, hopeless, tmp_path / "hopeless")


def test_without_time_for_another_trial_the_plans_own_is_the_run(
    text_dataset: Dataset, made: Plan, tmp_path: Path
) -> None:
    run = trained(text_dataset, made, tmp_path / "run", budget=0.0)
    assert run.status == "budget" and [each.chosen for each in run.trials] == [True]


def test_what_the_user_named_stays(text_dataset: Dataset, problem: Problem, tmp_path: Path) -> None:
    """180 examples are 12 batches of 16, 6 of 32 and 3 of 64, which is cut in two: no piece is larger than planned."""
    found = planned(text_dataset, searching(problem, learning_rate=1e-3, trials=9), tmp_path)
    assert found.search is not None and found.search.learning_rates == {"full": (1e-3, 1e-3)}
    assert found.search.batch_sizes == (BatchSize(16, 12, 1), BatchSize(32, 6, 1), BatchSize(64, 3, 2))
    assert found.search.epochs == (3.0,) and found.search.methods == ("full",)
    one = plan_of(found, {"method": "full", "learning_rate": 1e-3, "batch_size": 64, "epochs": 3.0}, 1)
    assert {name: one.settings[name].value for name in ("steps", "validate_every", "micro_batches")} == {
        "steps": 9,
        "validate_every": 3,
        "micro_batches": 2,
    }
    assert one.settings["steps"].origin == "trial 2" and one.settings["epochs"].origin == "problem.yaml"
    run = trained(text_dataset, found, tmp_path / "run")
    assert sorted(each.settings["batch_size"] for each in run.trials) == [16, 32, 64], "there is nothing else to try"
    assert run.status in ("completed", "stopped_early")


def test_with_nothing_left_open_there_is_nothing_to_search(
    text_dataset: Dataset, problem: Problem, tmp_path: Path
) -> None:
    stated = searching(problem, learning_rate=1e-3, batch_size=16, trials=3)
    with pytest.raises(InputError, match=r"training\.trials: 3, and learning_rate, batch_size and epochs are all"):
        planned(text_dataset, stated, tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_adapters_are_tried_where_the_method_is_open(text_dataset: Dataset, problem: Problem, tmp_path: Path) -> None:
    """Around the rule's rates, 5e-5 and 5e-4, five times up and down.

    The two take twice one; at the least the second is stopped after a quarter, at the most it has twice the epochs.
    """
    found = planned(text_dataset, searching(problem, method="auto", epochs="auto", trials=2), tmp_path)
    search = found.search
    assert search is not None and search.methods == ("full", "lora")
    assert search.learning_rates["full"] == pytest.approx((1e-5, 2.5e-4))
    assert search.learning_rates["lora"] == pytest.approx((1e-4, 2.5e-3))
    assert search.epochs == (5.0, 10.0, 20.0), "the rule's ten, half and twice as many"
    both, one = found.estimate.seconds, search.estimate.seconds
    assert both.value == pytest.approx(2 * one.value)
    assert both.low == pytest.approx(1.25 * one.low) and both.high == pytest.approx(3 * one.high)
    adapted = plan_of(found, {"method": "lora", "learning_rate": 1e-3, "batch_size": 32, "epochs": 5.0}, 1)
    assert adapted.method == "lora" and (adapted.settings["rank"].value, adapted.settings["alpha"].value) == (16, 32)
    run = trained(text_dataset, adapted, tmp_path / "run")
    assert run.validation["accuracy"].value > 0.8 and (tmp_path / "run/adapters").is_dir()


def test_a_seed_of_any_size_is_drawn_from(made: Plan) -> None:
    """1,000 times this seed is more than numpy takes."""
    seeds = {"seed": dataclasses.replace(made.settings["seed"], value=2**31 - 1)}
    large = dataclasses.replace(made, settings={**made.settings, **seeds}, search=of_space())
    assert proposed(large, [over(1, [0.1, 0.5])], metric="accuracy") is not None


def of_space() -> Search:
    some = Interval(1.0, 1.0, 1.0)
    sizes = tuple(BatchSize(size, 64 // size, 1) for size in (16, 32, 64))
    rates = {"full": (1e-5, 1e-3), "lora": (1e-4, 1e-2)}
    return Search(9, ("full", "lora"), rates, sizes, (1.5, 3.0, 6.0), Estimate(some, some, some))


def test_a_choice_stands_for_settings_and_back() -> None:
    """Half of the way from 1e-4 to 1e-2 on a logarithmic scale is 1e-3."""
    params = {"method": "lora", "learning_rate": 0.5, "batch_size": 2, "epochs": 0}
    settings = {"method": "lora", "learning_rate": 1e-3, "batch_size": 64, "epochs": 1.5}
    assert chosen(of_space(), params) == settings
    assert params_of(of_space(), settings) == pytest.approx(params)


def over(number: int, scores: list[float | None], *, ended: str = "completed", losses: Any = None) -> Done:
    points = []
    for place, score in enumerate(scores):
        loss = losses[place] if losses else 1.0
        points.append((place / (len(scores) - 1), {"step": place, "validation_score": score, "validation_loss": loss}))
    settings = {"method": "full", "learning_rate": 1e-4 * (1 + number), "batch_size": 32, "epochs": 3.0}
    return Done(number, settings, ended, points, 1.0, [])  # type: ignore[arg-type]


def test_the_stopping_rule_is_that_of_optunas_median_pruner() -> None:
    """With an odd number of others, where no mean of two is taken; ties of scores are broken by loss, here equal."""
    generator, agreed = np.random.default_rng(0), 0
    for _ in range(60):
        others = [over(n, list(generator.normal(size=5).round(1))) for n in range(int(generator.choice([3, 5, 7])))]
        mine = over(99, list(generator.normal(size=5).round(1)))
        study = optuna.create_study(
            direction="maximize", pruner=optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=1)
        )
        for other in others:
            best = [float(other.best("accuracy", at)["validation_score"]) for at, _ in other.points]
            study.add_trial(
                optuna.trial.create_trial(value=best[-1], intermediate_values=dict(enumerate(best)), params={})
            )
        trial = study.ask()
        for place, (_, point) in enumerate(mine.points):
            trial.report(float(point["validation_score"]), place)
            said = place >= 1 and trial.should_prune()
            assert lags(mine.points[: place + 1], others, "accuracy") == said
            agreed += said
    assert agreed > 30


def test_trials_of_unlike_length_are_compared_after_the_same_share() -> None:
    """After half: the others stood at .5 and .6 by then, though they end at .9; two are enough, one is not."""
    others = [over(0, [0.1, 0.5, 0.9]), over(1, [0.1, 0.3, 0.6, 0.8, 0.9])]
    assert not lags(over(2, [0.1, 0.55, 0.55]).points[:2], others, "accuracy")
    assert lags(over(2, [0.1, 0.45, 0.45]).points[:2], others, "accuracy")
    assert not lags(over(2, [0.1, 0.45, 0.45]).points[:2], others[:1], "accuracy")
    assert not lags(
        over(2, [0.1, 0.45, 0.45]).points[:2], [*others[:1], over(1, [9.0, 9.0], ended="pruned")], "accuracy"
    )


def test_of_equal_scores_the_lower_loss_decides_and_then_the_earlier() -> None:
    losses = ([3.0, 2.0], [3.0, 1.0], [3.0, 1.0])
    done = [over(n, [0.1, 0.9], losses=each) for n, each in enumerate(losses)]
    stopped_one = over(3, [0.1, 0.95], ended="pruned")
    assert best_of([*done, stopped_one], "accuracy").number == 1
    unscored = [over(n, [None, None], losses=[3.0, 2.0 - n]) for n in range(2)]
    assert best_of(unscored, "accuracy").number == 1


def test_what_is_tried_next_depends_on_the_trials_before_alone(made: Plan) -> None:
    done = [dataclasses.replace(over(0, [0.1, 0.5]), settings=own(made))]
    seen = []
    for number in range(1, 8):
        first, second = (proposed(made, done, metric="accuracy") for _ in range(2))
        assert first == second is not None
        rate = math.log10(first["learning_rate"])
        seen.append(rate)
        done.append(dataclasses.replace(over(number, [0.1, 1 - abs(rate + 2.2)]), settings=first))
    assert all(-4 <= rate <= -2 for rate in seen) and len(set(seen)) == 7
