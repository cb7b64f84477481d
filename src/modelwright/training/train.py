"""Step 4: train as planned; go on where a killed call stopped; keep the best; give up nothing that was measured.

The loop yields; everything that is written, drawn or decided between two steps happens here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from modelwright.data.parts import read_part
from modelwright.errors import RefusedError
from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.execution import ALONE, Place
from modelwright.models.catalogue import locate
from modelwright.models.precision import device as best_device
from modelwright.records import Dataset, Plan, Progress, Run, Schema
from modelwright.training import checkpoint as checkpoints
from modelwright.training.basis import Basis, basis_of
from modelwright.training.course import Clock, Course, Status
from modelwright.training.crowd import Crowd
from modelwright.training.finish import finish, finished, keep
from modelwright.training.fit import still_fits
from modelwright.training.job import Job, build, load_libraries
from modelwright.training.logs import HISTORY
from modelwright.training.loop import Step, steps
from modelwright.training.memory import Peak, memory_bytes, pages_kept, release, within_memory
from modelwright.training.parallel import Group, joined
from modelwright.training.past import learn
from modelwright.training.reporters import Reports, Subject, check
from modelwright.training.sharding import chosen
from modelwright.training.trained import begin
from modelwright.training.trials import GoOn, Pruned, train_trials
from modelwright.training.underway import Tell, UnderWay, take_best, under_way

_COUNTED = {"language-modeling": "tokens", "generation": "answered tokens", "tagging": "tagged words"}
"""What a loss counts, where that is not examples."""


def train(
    dataset: Dataset,
    plan: Plan,
    *,
    metric: str,
    folder: Path,
    project: Path,
    budget_seconds: float,
    sharding: str = "auto",
    place: Place = ALONE,
    progress: Tell = lambda progress: None,
    report_to: Sequence[str] = (),
    go_on: GoOn | None = None,
) -> Run:
    """The run that `plan` describes, in `folder`: its logs, checkpoints/ while it lasts, and predictor/.

    Args:
        dataset: Step 2.
        plan: Step 3.
        metric: The best checkpoint is the one with the best validation value of it.
        folder: The run's own; a run that was killed is gone on with from its newest sound checkpoint.
        project: The project's folder, which the model may be named relative to.
        budget_seconds: Training stops after so long with the best checkpoint so far.
        sharding: Whether each of several workers holds all weights: auto, replicate or shard.
        place: This worker's among those that train together; all are called alike, the first one writes.
        progress: Told of each step, with time left.
        report_to: Names of REPORTERS, which hear of the run too.
        go_on: Asked after each validation of a trial that others came before; such a one takes what memory they left,
            and no forecast learns from it.

    Raises:
        Pruned: `go_on` said no.
        InputError: a reporter is unknown, not installed, or cannot be opened.
        RefusedError: training diverged (the best checkpoint so far is kept), or the memory that it needs is not free.
        ResourceError: the disk is full; the checkpoint before is intact.
        LostWorkerError: another worker is gone.
        IntegrityError: the killed run in `folder` began with other data, another plan or another model.
    """
    check(report_to)
    if plan.method == "classical":
        from modelwright.training.tabular import train_tabular

        run = train_tabular(
            dataset, plan, metric=metric, folder=folder, budget_seconds=budget_seconds, progress=progress
        )
        _report_whole(run, _reports(report_to, plan, folder, project, None, progress), folder)
        return run
    base = locate(plan.model, folder=project)
    basis = basis_of(dataset, plan, base, processes=place.workers)
    if plan.search is not None:
        assert place.workers == 1, "the problem refuses trials by several workers"
        return train_trials(
            plan,
            partial(train, dataset, metric=metric, project=project, report_to=report_to),
            basis=basis,
            metric=metric,
            folder=folder,
            budget_seconds=budget_seconds,
            progress=progress,
        )
    if (found := finished(basis, folder)) is not None:
        return found
    asked = _Asked(dataset, plan, base, metric, folder, project, budget_seconds, progress, report_to, go_on)
    load_libraries(asked.settings)
    if go_on is None:
        still_fits(plan.estimate)
    with joined(place) as group, pages_kept():
        return group.record(_made(asked, basis, group, sharding), Run)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What `train` was asked."""

    dataset: Dataset
    plan: Plan
    base: Path | str
    metric: str
    folder: Path
    project: Path
    budget_seconds: float
    progress: Tell
    report_to: Sequence[str]
    go_on: GoOn | None

    @property
    def settings(self) -> dict[str, Any]:
        """The plan's."""
        return {name: each.value for name, each in self.plan.settings.items()}

    def built(self, device: str | None) -> Job:
        """The job, on that device or the best there is."""
        return build(
            self.dataset.schema,
            read_part(self.dataset, "train"),
            read_part(self.dataset, "validation"),
            base=self.base,
            settings=self.settings,
            device=device,
            note=lambda what: self.progress(Progress("train", what, 0)),
        )


def _made(asked: _Asked, basis: Basis, group: Group, sharding: str) -> Run | None:
    """The run, by the first worker; None by the others, who took the same steps."""
    release()
    clock, crowd, plan, progress = Clock(), Crowd(), asked.plan, asked.progress
    with Peak() as peak, TemporaryDirectory() as spare:
        job = asked.built("cpu" if group.workers > 1 else None)
        group.sharded = chosen(sharding, job.network, group, asked.settings)
        basis = replace(basis, layout="sharded" if group.sharded else "whole")
        if not (group.sharded or asked.settings["quantised"]):
            job.network.to(best_device())
        under = under_way(
            job, group, basis, metric=asked.metric, folder=asked.folder, spare=Path(spare), progress=progress
        )
        clock.began -= under.course.seconds
        told, begun = asked.report_to if group.first else (), under.course.step if under.went_on else None
        with under.logs:
            reports = _reports(told, plan, asked.folder, asked.project, begun, progress)
            try:
                status = _steps(asked, under, reports, clock)
                made = None if status == "pruned" else _saved(asked, job, under, status, clock=clock, peak=peak)
            except BaseException:
                reports.end("failed")
                raise
    reports.end(status)
    if status == "pruned":
        raise Pruned(under.course)
    if made is not None and asked.go_on is None and not under.went_on:
        learn(asked.dataset.schema, plan, made, crowd=crowd.share)
    return made


def _saved(asked: _Asked, job: Job, under: UnderWay, status: Status, *, clock: Clock, peak: Peak) -> Run | None:
    """The record of the run whose best weights were saved, by the first worker.

    Args:
        asked: Of `train`.
        job: As it was built, not as training had it.
        under: Its steps are taken.
        status: Why they ended.
        clock: Of the run.
        peak: Its memory's.
    """
    if not under.group.first:
        return None
    if under.group.sharded:  # what is saved is whole, and no worker's network is
        job = asked.built("cpu")
        under.held = begin(job)
    take_best(under, asked.folder)
    with checkpoints.writing(asked.folder, "the predictor", "the checkpoints are intact"):
        made = finish(job, asked.dataset, asked.plan, under, status, clock=clock, peak=peak, folder=asked.folder)
        keep(made, under.basis, asked.folder)
    return made


def _steps(asked: _Asked, under: UnderWay, reports: Reports, clock: Clock) -> Status | Literal["pruned"]:
    """Take the steps that are left; why they ended."""
    job, course, logs, group = under.held.job, under.course, under.logs, under.group
    settings, go_on, progress = job.settings, asked.go_on, asked.progress
    looped, start = time.perf_counter(), course.step

    def validate() -> None:
        reports.validation(under.validate())
        under.tell(under.watch.validation(logs.history, best_step=course.best_step))

    def over() -> Status | Literal["pruned"] | None:
        ended = _ended(course, settings, asked.budget_seconds)
        return "pruned" if ended is None and go_on is not None and not go_on(logs.history) else ended

    if course.best is None:
        validate()
    status = over()
    loop = steps(
        job.network,
        job.objective,
        under.optimizer,
        job.recipe(),
        order=job.order,
        fetch=job.fetch,
        start=course.step,
        group=group,
    )
    while status is None:
        try:
            with within_memory(settings["batch_size"], kept=f". {under.kept}"):
                step = next(loop)
        except RefusedError as error:
            raise RefusedError(f"{error}. {under.kept}") from error
        course.step, course.seconds = step.number, group.number(clock.seconds)  # all go by one clock
        course.peak_memory_bytes = max(course.peak_memory_bytes, memory_bytes())
        logs.step(step)
        reports.step(step)
        under.tell(under.watch.step(step.number, step.loss))
        if step.number % settings["validate_every"] == 0 or _ended(course, settings, asked.budget_seconds):
            validate()
            status = over()
        elif group.number(time.perf_counter() - under.saved) > checkpoints.EVERY_SECONDS:
            under.save()
        rate = (time.perf_counter() - looped) / (step.number - start)
        progress(_told(job, course, step, rate))
    if status == "completed":
        under.tell(under.watch.end(logs.history))
    return status


def _reports(
    names: Sequence[str], plan: Plan, folder: Path, project: Path, after: int | None, progress: Tell
) -> Reports:
    """The reporters of those names, told of the plan's settings."""
    settings = {"model": plan.model, "method": plan.method}
    settings |= {name: each.value for name, each in plan.settings.items()}
    subject = Subject(project.name, folder, settings, after)
    return Reports(names, subject, tell=lambda said: progress(Progress("train", "training", 0, lasting=said)))


def _report_whole(run: Run, reports: Reports, folder: Path) -> None:
    """Tell of a search that is done: its curve, and how it ended."""
    for point in json.loads((folder / HISTORY).read_text(encoding="utf-8")):
        reports.validation(HistoryPoint(**point))
    reports.end(run.status)


def _ended(course: Course, settings: dict[str, Any], budget_seconds: float) -> Status | None:
    """Why a run that stands so is over; None where it is not. At least one step is taken."""
    if course.step >= settings["steps"]:
        return "completed"
    if course.stale >= settings["patience"]:
        return "stopped_early"
    return "budget" if course.step and course.seconds > budget_seconds else None


def _counted(schema: Schema) -> str:
    return "hidden tokens" if schema.masked else _COUNTED.get(schema.task, "examples")


def _told(job: Job, course: Course, step: Step, rate: float) -> Progress:
    total, counted = job.settings["steps"], _counted(job.predictor.schema)
    best = f"best {course.best['validation_score'] or course.best['validation_loss']:.3f}" if course.best else ""
    note = f"loss {step.loss:.3f} · {step.units / max(step.seconds, 1e-9):.0f} {counted}/s · {best}"
    return Progress("train", "training", step.number, total, "steps", (total - step.number) * rate, note)
