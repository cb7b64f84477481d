"""Several trainings of one network, one after the other: the best one's weights become the run's.

The first is the plan's own and is never stopped. What the next one tries depends on the seed and on the finished ones
alone, and so does whether it is stopped, so a search that was killed goes on as if it had not been: finished trials are
in a journal, the one under way goes on from its checkpoint.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from modelwright.errors import RefusedError
from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.records import Plan, Progress, Run, Trial, identify
from modelwright.training.basis import Basis, begun
from modelwright.training.checkpoint import folder_bytes, newest_sound, writing
from modelwright.training.course import Course
from modelwright.training.estimate import dollars_of, off_by
from modelwright.training.finish import RECORD, finished, keep
from modelwright.training.journal import enter, entries
from modelwright.training.logs import HISTORY, LOG, REMARKS, SPEED, TABLE
from modelwright.training.space import own, plan_of
from modelwright.training.standings import Done, Ended, best_of, expected_seconds, lags, points_of, proposed

KEPT = "the trials that were finished are kept"

GoOn = Callable[[Sequence[HistoryPoint]], bool]
"""Whether a training with these validations is worth going on with."""


class Pruned(Exception):  # no error: a trial that was stopped, on its way to where it is noted
    """A training that was not worth going on with; `course` is where it stood."""

    def __init__(self, course: Course) -> None:
        super().__init__(f"stopped after step {course.step}")
        self.course = course


class Train(Protocol):
    """One training by a plan without trials, in a folder."""

    def __call__(
        self,
        plan: Plan,
        *,
        folder: Path,
        budget_seconds: float,
        go_on: GoOn | None,
        progress: Callable[[Progress], None],
    ) -> Run:
        """The run.

        Raises:
            Pruned: `go_on` said no.
            RefusedError: training diverged.
        """


def train_trials(
    plan: Plan,
    train: Train,
    *,
    basis: Basis,
    metric: str,
    folder: Path,
    budget_seconds: float,
    progress: Callable[[Progress], None],
) -> Run:
    """The run of the best trial, in `folder`; the others' logs are in its folder `trials`.

    Args:
        plan: With a search.
        train: Makes one training.
        basis: What the whole search depends on.
        metric: The best validation value of it decides, of equals the lower loss.
        folder: The run's own.
        budget_seconds: For all; no trial but the first begins that would likely end later.
        progress: Told what each trial tells, and how each ended.

    Raises:
        RefusedError: the plan's own settings diverge.
        IntegrityError: the killed search in `folder` began with other data, another plan or another model, or its
            journal was altered.
    """
    if (found := finished(basis, folder)) is not None:
        return found
    done = entries(folder, Done)
    changed = begun(folder, basis, step=len(done))
    in_time = _make(plan, train, done, metric=metric, folder=folder, budget_seconds=budget_seconds, progress=progress)
    best = best_of(done, metric)
    home, one = trial_folder(folder, best.number), plan_of(plan, best.settings, best.number)
    again = train(one, folder=home, budget_seconds=budget_seconds, go_on=None, progress=progress)  # it is over
    seconds = sum(each.seconds for each in done)
    runs = [_run(trial_folder(folder, each.number)) for each in done if each.whole]
    most = max(int(each["peak_memory_bytes"]) for each in runs)
    disk_bytes = max(int(each.get("disk_bytes", 0)) for each in runs) + folder_bytes(home / "predictor")
    record = replace(
        again,
        plan_id=plan.id,
        path=str(folder),
        status=again.status if in_time else "budget",
        seconds=seconds,
        peak_memory_bytes=most,
        forecast_error=off_by(plan.estimate, share=1.0, seconds=seconds, peak_memory_bytes=most, disk_bytes=disk_bytes),
        not_exact=(*changed, *(f"trial {each.number + 1}: {why}" for each in done for why in each.not_exact)),
        trials=tuple(_record(each, metric, best=best) for each in done),
        disk_bytes=disk_bytes,
        cost=dollars_of(plan.estimate, seconds),
    )
    run: Run = identify(record)
    with writing(folder, "the best trial's predictor", KEPT):
        _promote(home, folder)
        keep(run, basis, folder)
    return run


def _make(
    plan: Plan,
    train: Train,
    done: list[Done],
    *,
    metric: str,
    folder: Path,
    budget_seconds: float,
    progress: Callable[[Progress], None],
) -> bool:
    """Make the trials that are left, behind those in `done`; whether there was time for all."""
    assert plan.search is not None, "there are trials"
    trials = plan.search.trials
    _keep_best_only(folder, done, metric)
    while len(done) < trials:
        tried = proposed(plan, done, metric=metric) if done else own(plan)
        if tried is None:
            break
        left = budget_seconds - sum(each.seconds for each in done)
        if done and expected_seconds(done, tried) > left:
            return False
        over = _tried(plan, train, tried, done, metric=metric, folder=folder, left=left, progress=progress)
        with writing(folder, "the journal of trials", KEPT):
            enter(folder, over)
        done.append(over)
        _keep_best_only(folder, done, metric)
        progress(Progress("train", "the next trial", len(done), trials, "trials", lasting=_told(over, metric)))
    return True


def trial_folder(folder: Path, number: int) -> Path:
    """Where in the run's folder a trial is made."""
    return folder / "trials" / f"{number + 1:03d}"


def _tried(
    plan: Plan,
    train: Train,
    tried: dict[str, Any],
    done: Sequence[Done],
    *,
    metric: str,
    folder: Path,
    left: float,
    progress: Callable[[Progress], None],
) -> Done:
    """The next trial, made or gone on with."""
    assert plan.search is not None, "there are trials"
    number = len(done)
    one, home = plan_of(plan, tried, number), trial_folder(folder, number)
    steps, word = one.settings["steps"].value, f"trial {number + 1} of {plan.search.trials}"

    def tell(told: Progress) -> None:
        lasting = f"{word}: {told.lasting}" if told.lasting else ""
        progress(replace(told, note=" · ".join(filter(None, (word, told.note))), lasting=lasting))

    def go_on(history: Sequence[HistoryPoint]) -> bool:
        return not lags(points_of(history, steps), done, metric)

    def over(ended: Ended, seconds: float, not_exact: Sequence[str]) -> Done:
        found = json.loads((home / HISTORY).read_text(encoding="utf-8"))
        points = points_of([HistoryPoint(**point) for point in found], steps)
        return Done(number, tried, ended, points, seconds, list(not_exact))

    began = time.perf_counter() - _spent_seconds(home)
    try:
        run = train(one, folder=home, budget_seconds=left, go_on=go_on if done else None, progress=tell)
    except Pruned as stopped:
        return over("pruned", time.perf_counter() - began, stopped.course.not_exact)
    except RefusedError as error:
        if not done or not (home / HISTORY).exists():  # the plan's own, or it never began
            raise
        cause = str(error).partition(";")[0]  # what to do about it is for the plan's own
        tell(Progress("train", "training", 0, lasting=cause))
        return over("diverged", time.perf_counter() - began, ())
    return over(run.status, run.seconds, run.not_exact)


def _spent_seconds(home: Path) -> float:
    """What killed calls took of the trial in `home`, up to the checkpoint that it goes on from."""
    found, _ = newest_sound(home / "checkpoints")
    return 0.0 if found is None else float(json.loads((found / "state.json").read_text(encoding="utf-8"))["seconds"])


def _keep_best_only(folder: Path, done: Sequence[Done], metric: str) -> None:
    """Remove the weights of all trials that are over but the best; their logs stay."""
    best = best_of(done, metric) if done else None
    for each in done:
        if each is not best:
            for name in ("predictor", "adapters", "checkpoints"):
                shutil.rmtree(trial_folder(folder, each.number) / name, ignore_errors=True)


def _promote(home: Path, folder: Path) -> None:
    """Make a trial's results the run's; a call that was killed meanwhile is gone on with."""
    for name in ("predictor", "adapters"):
        if (home / name).is_dir():
            shutil.rmtree(folder / name, ignore_errors=True)
            (home / name).rename(folder / name)
    for name in (LOG, TABLE, SPEED, HISTORY, REMARKS):
        shutil.copyfile(home / name, folder / name)


def _run(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / RECORD).read_text(encoding="utf-8"))["run"]
    return found


def _record(done: Done, metric: str, *, best: Done) -> Trial:
    point = done.best(metric)
    return Trial(
        number=done.number,
        settings=done.settings,
        ended=done.ended,
        score=point["validation_score"],
        loss=point["validation_loss"],
        seconds=done.seconds,
        chosen=done is best,
    )


def _told(done: Done, metric: str) -> str:
    """A trial that is over, in a line."""
    point = done.best(metric)
    score, loss = point["validation_score"], point["validation_loss"]
    reached = f"{metric} {score:.3f}" if score is not None else f"loss {loss:.4f}"
    tried = ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in done.settings.items()
    )
    how = {"pruned": "stopped, it lagged behind: ", "diverged": "its loss was lost: "}.get(done.ended, "")
    return f"trial {done.number + 1}: {tried} · {how}{reached}"
