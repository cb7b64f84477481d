"""Step 4: train as planned; go on where a killed call stopped; keep the best; give up nothing that was measured.

The loop yields; everything that is written, drawn or decided between two steps happens here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelwright.data.parts import read_part
from modelwright.errors import IntegrityError
from modelwright.models.catalogue import locate
from modelwright.models.encode import frozen_features
from modelwright.models.fitting.head import set_head
from modelwright.records import Dataset, Plan, Progress, Run
from modelwright.training import checkpoint as checkpoints
from modelwright.training.basis import Basis, basis_of, not_exact
from modelwright.training.course import Clock, Course, Status, best_or_next, put_back, save, validated
from modelwright.training.finish import finish, finished, keep
from modelwright.training.job import Job, build, load_libraries
from modelwright.training.logs import Logs
from modelwright.training.loop import Step, steps
from modelwright.training.memory import Watch, memory_bytes
from modelwright.training.optim import Optimizer
from modelwright.training.past import kind_of_job, remember
from modelwright.training.trained import Trained, begin

Tell = Callable[[Progress], None]


def train(
    dataset: Dataset,
    plan: Plan,
    *,
    metric: str,
    folder: Path,
    project: Path,
    budget_seconds: float,
    progress: Tell = lambda progress: None,
) -> Run:
    """The run that `plan` describes, in `folder`: its logs, checkpoints/ while it lasts, and predictor/.

    Args:
        dataset: Step 2.
        plan: Step 3.
        metric: The best checkpoint is the one with the best validation value of it.
        folder: The run's own; a run that was killed is gone on with from its newest sound checkpoint.
        project: The project's folder, which the model may be named relative to.
        budget_seconds: Training stops after so long with the best checkpoint so far.
        progress: Told of each step, with time left.

    Raises:
        RefusedError: training diverged.
        ResourceError: the disk is full; the checkpoint before is intact.
        IntegrityError: the killed run in `folder` began with other data, another plan or another model.
    """
    if plan.method == "classical":
        from modelwright.training.tabular import train_tabular

        return train_tabular(
            dataset, plan, metric=metric, folder=folder, budget_seconds=budget_seconds, progress=progress
        )
    base = locate(plan.model, folder=project)
    basis = basis_of(dataset, plan, base)
    if (run := finished(basis, folder)) is not None:
        return run
    settings = {name: each.value for name, each in plan.settings.items()}
    load_libraries(settings)
    resumed = (folder / "checkpoints").exists()
    clock = Clock()
    with Watch() as watch:
        job = build(
            dataset.schema,
            read_part(dataset, "train"),
            read_part(dataset, "validation"),
            base=base,
            settings=settings,
            note=lambda what: progress(Progress("train", what, 0)),
        )
        course, status = _follow(
            job, basis, metric=metric, folder=folder, budget_seconds=budget_seconds, clock=clock, progress=progress
        )
        with checkpoints.writing(folder, "the predictor", "the checkpoints are intact"):
            run = finish(job, dataset, plan, course, status, clock=clock, watch=watch, folder=folder)
            keep(run, basis, folder)
    if not resumed:  # one that was killed has started twice
        actual = {"seconds": run.seconds, "peak_memory_bytes": float(run.peak_memory_bytes)}
        remember(kind_of_job(dataset.schema, plan.method), plan.estimate, actual, off=run.forecast_error)
    return run


@dataclass(slots=True)
class _Under:
    """A run under way, between two steps."""

    held: Trained
    optimizer: Optimizer
    course: Course
    basis: Basis
    logs: Logs
    place: Path
    metric: str
    saved: float  # when, on the clock of time.perf_counter

    def validate(self) -> None:
        """Answer the open parts, note whether this is the best so far, and keep it."""
        point = validated(self.held.job, step=self.course.step, metric=self.metric)
        self.course.note(point, self.metric)
        self.logs.validation(point)
        self.save()

    def save(self) -> None:
        """Write a checkpoint."""
        self.logs.sync()
        save(self.held, self.optimizer, self.course, self.basis, self.place)
        self.saved = time.perf_counter()


def _follow(
    job: Job, basis: Basis, *, metric: str, folder: Path, budget_seconds: float, clock: Clock, progress: Tell
) -> tuple[Course, Status]:
    """Train to the end, a standstill or the budget; the network then holds the best checkpoint's weights."""
    place, settings = folder / "checkpoints", job.settings
    found, damaged = checkpoints.newest(place)
    changed = [] if found is None else not_exact(found.state.get("basis"), basis, step=found.step, folder=folder)
    if damaged:
        said = f"damaged checkpoints were passed over: {', '.join(damaged)}"
        progress(Progress("train", "going on", 0, lasting=said))
    if found is None and settings["head"] != "random":
        _start_head(job, progress)
    held = begin(job)
    job = held.job
    optimizer = held.optimizer(learning_rate=settings["learning_rate"], scaled=settings["precision"] == "fp16")
    course = Course() if found is None else put_back(held, optimizer, found)
    clock.began -= course.seconds
    with Logs(folder, step=None if found is None else found.step) as logs:
        course.not_exact += [*changed, *_lost(logs, course, place, metric)]
        under = _Under(held, optimizer, course, basis, logs, place, metric, time.perf_counter())
        status = _steps(under, budget_seconds=budget_seconds, clock=clock, progress=progress)
        course.not_exact += filter(None, [best_or_next(place, course, logs.history, metric)])
    best = checkpoints.load(checkpoints.place(place, course.best_step))
    if best is None:
        raise IntegrityError(f"{place}: no checkpoint there is sound; train again with --force")
    held.load(best.tensors["network"])
    held.end(folder / "adapters")
    return course, status


def _steps(under: _Under, *, budget_seconds: float, clock: Clock, progress: Tell) -> Status:
    """Take the steps that are left; why they ended."""
    job, course, logs, settings = under.held.job, under.course, under.logs, under.held.job.settings
    if course.best is None:
        under.validate()
    status = _ended(course, settings, budget_seconds)
    looped, start = time.perf_counter(), course.step
    loop = steps(
        job.network, job.objective, under.optimizer, job.recipe(), order=job.order, fetch=job.fetch, start=course.step
    )
    while status is None:
        step = next(loop)
        course.step, course.seconds = step.number, clock.seconds
        course.peak_memory_bytes = max(course.peak_memory_bytes, memory_bytes())
        logs.step(step)
        if step.number % settings["validate_every"] == 0 or _ended(course, settings, budget_seconds):
            under.validate()
            status = _ended(course, settings, budget_seconds)
        elif time.perf_counter() - under.saved > checkpoints.EVERY_SECONDS:
            under.save()
        rate = (time.perf_counter() - looped) / (step.number - start)
        progress(_told(course, step, settings["steps"], rate))
    return status


def _ended(course: Course, settings: dict[str, Any], budget_seconds: float) -> Status | None:
    """Why a run that stands so is over; None where it is not. At least one step is taken."""
    if course.step >= settings["steps"]:
        return "completed"
    if course.stale >= settings["patience"]:
        return "stopped_early"
    return "budget" if course.step and course.seconds > budget_seconds else None


def _lost(logs: Logs, course: Course, place: Path, metric: str) -> list[str]:
    """What is not there any more where a run goes on."""
    lacking = [f"{name} lacks steps up to {course.step}: it was cut short or removed" for name in logs.lacking]
    best = best_or_next(place, course, logs.history, metric)
    return [*lacking, best] if best else lacking


def _start_head(job: Job, progress: Tell) -> None:
    def tick(done: int) -> None:
        progress(Progress("train", "reading with the frozen encoder", done, len(job.train), "examples"))

    features_ND = frozen_features(job.network, job.examples.features, precision=job.settings["precision"], tick=tick)
    regression = job.predictor.schema.task == "regression"
    set_head(job.network, features_ND, job.examples.targets, regression=regression, seed=job.settings["seed"])


def _told(course: Course, step: Step, total: int, rate: float) -> Progress:
    best = f"best {course.best['validation_score'] or course.best['validation_loss']:.3f}" if course.best else ""
    note = f"loss {step.loss:.3f} · {step.units / max(step.seconds, 1e-9):.0f} units/s · {best}"
    return Progress("train", "training", step.number, total, "steps", (total - step.number) * rate, note)
