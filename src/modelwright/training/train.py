"""Step 4: train as planned; go on where a killed call stopped; keep the best; give up nothing that was measured.

The loop yields; everything that is written, drawn or decided between two steps happens here.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from modelwright.data.parts import read_part, targets_N
from modelwright.errors import IntegrityError
from modelwright.evaluation.decision import decided
from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.evaluation.intervals import all_intervals
from modelwright.evaluation.metrics import METRICS, score
from modelwright.execution import ALONE, Place
from modelwright.models.catalogue import locate
from modelwright.models.precision import device as best_device
from modelwright.models.predictors import save_predictor
from modelwright.models.predictors.out_of_sample import save_out_of_sample
from modelwright.models.predictors.transformer import outputs_NK
from modelwright.records import POSITION, Dataset, Plan, Progress, Run, digest, identify
from modelwright.training import checkpoint as checkpoints
from modelwright.training.calibrate import best_temperature
from modelwright.training.estimate import memory_bytes
from modelwright.training.job import Inputs, Job, build
from modelwright.training.loop import Step, steps
from modelwright.training.optim import Optimizer, adamw
from modelwright.training.parallel import Group, joined
from modelwright.training.sharding import chosen, whole
from modelwright.training.start import newest, start_head
from modelwright.training.trained import Trained, begin

CHECKPOINT_SECONDS = 60.0
"""Between two checkpoints at least: what a kill may cost. Chosen; writing one takes about a second."""

Status = Literal["completed", "stopped_early", "budget"]


@dataclasses.dataclass(slots=True)
class Course:
    """Where a run stands: everything that a checkpoint must bring back besides tensors."""

    step: int = 0
    best: dict[str, float] | None = None  # the HistoryPoint of the best validation
    stale: int = 0
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    log: list[dict[str, float]] = dataclasses.field(default_factory=list)

    @property
    def best_step(self) -> int:
        """The step after which the best validation was made."""
        return int(self.best["step"]) if self.best else 0


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
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Run:
    """The run that `plan` describes, in `folder`: checkpoints/, log.jsonl, history.json and predictor/.

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

    Raises:
        RefusedError: training diverged.
        ResourceError: the disk is full; the checkpoint before is intact.
        LostWorkerError: another worker is gone.
    """
    if plan.method == "classical":
        from modelwright.training.tabular import train_tabular

        return train_tabular(
            dataset, plan, metric=metric, folder=folder, budget_seconds=budget_seconds, progress=progress
        )
    settings = {name: each.value for name, each in plan.settings.items()}

    def built(device: str | None) -> Job:
        return build(
            dataset.schema,
            read_part(dataset, "train"),
            read_part(dataset, "validation"),
            base=locate(plan.model, folder=project),
            settings=settings,
            device=device,
            note=lambda what: progress(Progress("train", what, 0)),
        )

    with joined(place) as group:
        job = built("cpu" if group.workers > 1 else None)
        group.sharded = chosen(sharding, job.network, group, settings)
        if not group.sharded:
            job.network.to(best_device())
        held, course, status = _follow(
            job, group, metric=metric, folder=folder, budget_seconds=budget_seconds, progress=progress
        )
        run = None
        if group.first:
            if group.sharded:  # what is saved is whole, and no worker's network is
                job = built("cpu")
                held = begin(job)
            _end(held, course, folder)
            run = _finish(job, dataset, plan, course, status, folder=folder)
        return group.record(run, Run)


def _follow(
    job: Job, group: Group, *, metric: str, folder: Path, budget_seconds: float, progress: Callable[[Progress], None]
) -> tuple[Trained, Course, Status]:
    """Train to the end, a standstill or the budget."""
    place, settings = folder / "checkpoints", job.settings
    found, damaged = newest(place, group)
    fresh = found is None and settings["head"] != "random"
    if fresh and not group.sharded:
        start_head(job, group, progress)
    held = begin(job, sharded=group.sharded)
    job = held.job
    if fresh and group.sharded:
        start_head(job, group, progress)
    group.equalise(job.network)
    optimizer = adamw(job.network, learning_rate=settings["learning_rate"], scaled=settings["precision"] == "fp16")
    course = Course() if found is None else _put_back(held, optimizer, found)
    if damaged:
        progress(Progress("train", "passed over damaged checkpoints", 0, note=", ".join(damaged)))
    began = time.perf_counter() - course.seconds
    if course.best is None:
        _validate(job, group, course, Step(0, 0, float("nan"), 1, 0.0, 0.0, 0.0), metric)
        _save(held, optimizer, course, place, group)
    saved = group.number(time.perf_counter() - began)
    status: Status = "completed"
    loop = steps(
        job.network,
        job.objective,
        optimizer,
        job.recipe(),
        order=job.order,
        fetch=job.fetch,
        start=course.step,
        group=group,
    )
    if course.stale >= settings["patience"]:
        status, loop = "stopped_early", iter(())
    for step in loop:
        course.step, course.seconds = step.number, group.number(time.perf_counter() - began)  # all go by one clock
        course.peak_memory_bytes = max(course.peak_memory_bytes, memory_bytes())
        course.log.append(_logged(step))
        last = step.number == settings["steps"]
        spent = course.seconds > budget_seconds
        if step.number % settings["validate_every"] == 0 or last or spent:
            _validate(job, group, course, step, metric)
            stopping = course.stale >= settings["patience"]
            _save(held, optimizer, course, place, group)
            saved = group.number(time.perf_counter() - began)
            if not last and (stopping or spent):
                status = "stopped_early" if stopping else "budget"
                break
        elif course.seconds - saved > CHECKPOINT_SECONDS:
            _save(held, optimizer, course, place, group)
            saved = group.number(time.perf_counter() - began)
        progress(_told(course, step, settings["steps"], time.perf_counter() - began))
    course.seconds = time.perf_counter() - began
    return held, course, status


def _end(held: Trained, course: Course, folder: Path) -> None:
    """Give the network the best checkpoint's weights and the shape that is saved."""
    place = folder / "checkpoints"
    best = checkpoints.load(place / f"step-{course.best_step:09d}")
    if best is None:
        raise IntegrityError(
            f"{place}: the best checkpoint, step {course.best_step}, is gone or damaged; run again with --force"
        )
    held.load(best.tensors["network"])
    held.end(folder / "adapters")


def _put_back(held: Trained, optimizer: Optimizer, found: checkpoints.Checkpoint) -> Course:
    """The course at a checkpoint, its weights and moments put back."""
    held.load(found.tensors["network"])
    optimizer.restore(found.tensors["optimizer"], found.state["optimizer"])
    names = {field.name for field in dataclasses.fields(Course)}
    return Course(**{name: value for name, value in found.state.items() if name in names})


def _save(held: Trained, optimizer: Optimizer, course: Course, place: Path, group: Group) -> None:
    """Write a checkpoint: whole tensors, so that any number of workers can go on from it."""
    tensors = {"network": whole(held.tensors(), group), "optimizer": whole(optimizer.tensors(), group)}
    if not group.first:
        return
    state = {**dataclasses.asdict(course), "optimizer": optimizer.plain()}
    checkpoints.save(place, checkpoints.Checkpoint(course.step, tensors, state), keep=course.best_step)


def _validate(job: Job, group: Group, course: Course, step: Step, metric: str) -> None:
    """Answer the validation part and as much of the training part; note whether this is the best so far."""
    train_loss, train_score = _judge(job, group, job.watched, metric)
    validation_loss, validation_score = _judge(job, group, job.validation, metric)
    epoch = step.number / len(job.order(0))
    point = HistoryPoint(
        epoch=epoch,
        step=step.number,
        train_loss=train_loss,
        validation_loss=validation_loss,
        train_score=train_score,
        validation_score=validation_score,
    )
    course.history.append(dataclasses.asdict(point))
    sign = 1.0 if METRICS[metric].higher_is_better else -1.0
    best_loss = min((each["validation_loss"] for each in course.history[:-1]), default=float("inf"))
    course.stale = 0 if validation_loss < best_loss else course.stale + 1
    standing = (sign * validation_score, -validation_loss)  # of two that score the same, the surer one is better
    if course.best is None or standing > (sign * course.best["validation_score"], -course.best["validation_loss"]):
        course.best, course.stale = dataclasses.asdict(point), 0


def _judge(job: Job, group: Group, part: Inputs, metric: str) -> tuple[float, float]:
    """Loss per example and metric of the network as it stands, on `part`, of which each worker answers its share."""
    outputs = group.whole(outputs_NK(job.network, part.features.take(group.mine(len(part)))), len(part))
    schema, how = job.predictor.schema, job.predictor.preparation
    if schema.task == "regression":
        loss = float(0.5 * np.mean((outputs[:, 0] - part.targets_N) ** 2))
        truth_N = part.targets_N.astype(np.float64) * how.target_deviation + how.target_mean
    else:
        truth_N = part.targets_N
        loss = float(score("log_loss", schema, truth_N, job.predictor.answers(outputs)))
    value = float(score(metric, schema, truth_N, job.predictor.answers(outputs)))
    return group.number(loss), group.number(value)  # machines may differ in the last digit, and all must decide alike


def _logged(step: Step) -> dict[str, float]:
    """What the log keeps of a step: only what is the same after a kill and a resume."""
    fields = dataclasses.asdict(step)
    del fields["seconds"]
    return fields


def _told(course: Course, step: Step, total: int, elapsed: float) -> Progress:
    rate = elapsed / max(1, step.number)
    best = f"best {course.best['validation_score']:.3f}" if course.best else ""
    note = f"loss {step.loss:.3f} · {step.units / max(step.seconds, 1e-9):.0f} examples/s · {best}"
    return Progress("train", "training", step.number, total, "steps", (total - step.number) * rate, note)


def _finish(job: Job, dataset: Dataset, plan: Plan, course: Course, status: Status, *, folder: Path) -> Run:
    """Calibrate on validation, save the predictor and its answers, and make the record."""
    schema = dataset.schema
    validation = read_part(dataset, "validation")
    outputs = outputs_NK(job.network, job.validation.features)
    predictor = job.predictor
    if schema.task == "classification":
        temperature = best_temperature(outputs, job.validation.targets_N)
        predictor.preparation = dataclasses.replace(predictor.preparation, temperature=temperature)
    how = {"scratch": "trained from scratch", "full": "fine-tuned"}.get(plan.method, f"{plan.method} merged in")
    predictor.preparation = dataclasses.replace(predictor.preparation, describes=f"{plan.model}, {how}")
    metric, truth_N = job.settings["metric"], targets_N(schema, validation)
    saved, answers = decided(predictor, predictor.answers(outputs), metric, truth_N, seed=job.settings["seed"])
    save_predictor(saved, folder / "predictor")
    save_out_of_sample(folder / "predictor", validation[POSITION].to_numpy(), answers)
    _write_lines(folder / "log.jsonl", course.log)
    (folder / "history.json").write_text(json.dumps(course.history), encoding="utf-8")
    weights = {p.name: checkpoints.file_sha256(p) for p in sorted((folder / "predictor").rglob("*.safetensors"))}
    expected, share = plan.estimate, course.step / job.settings["steps"]  # a run may stop early
    record = Run(
        id="",
        plan_id=plan.id,
        path=str(folder),
        weights_sha256=digest(weights),
        status=status,
        steps=course.step,
        best_step=course.best_step,
        train_loss=float(course.history[-1]["train_loss"]),
        validation=all_intervals(schema, truth_N, answers),
        seconds=course.seconds,
        peak_memory_bytes=course.peak_memory_bytes,
        forecast_error={
            "seconds": course.seconds / (expected.seconds.value * share) - 1,
            "peak_memory_bytes": course.peak_memory_bytes / expected.peak_memory_bytes.value - 1,
        },
    )
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    identified: Run = identify(record)
    return identified


def _write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
