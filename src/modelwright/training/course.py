"""Where a run stands, what it needs to go on, and which of its validations is the best."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any, Literal

from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.evaluation.metrics import METRICS, score
from modelwright.models.precision import arithmetic
from modelwright.training import checkpoint as checkpoints
from modelwright.training.basis import Basis
from modelwright.training.job import Inputs, Job
from modelwright.training.optim import Optimizer
from modelwright.training.parallel import Group
from modelwright.training.sharding import whole
from modelwright.training.trained import Trained

Status = Literal["completed", "stopped_early", "budget"]


@dataclasses.dataclass(slots=True)
class Course:
    """Where a run stands: everything that a checkpoint must bring back besides tensors and logs.

    Args:
        step: Steps done.
        best: The HistoryPoint of the best validation.
        train_loss: On training examples, at the last validation.
        least_loss: The lowest validation loss so far.
        stale: Validations since the last better one.
        seconds: What the steps took, over all calls.
        peak_memory_bytes: The most that was held.
        not_exact: Why the run will not end as an undisturbed one would.
    """

    step: int = 0
    best: dict[str, Any] | None = None
    train_loss: float = float("inf")
    least_loss: float = float("inf")
    stale: int = 0
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    not_exact: list[str] = dataclasses.field(default_factory=list)

    @property
    def best_step(self) -> int:
        """The step after which the best validation was made."""
        return int(self.best["step"]) if self.best else 0

    def note(self, point: HistoryPoint, metric: str) -> None:
        """Take a validation in; of two that score the same, the one with the lower loss is the better."""
        assert point.validation_loss is not None and point.train_loss is not None
        self.train_loss = point.train_loss
        improved = point.validation_loss < self.least_loss
        self.least_loss = min(self.least_loss, point.validation_loss)
        self.stale = 0 if improved else self.stale + 1
        found = dataclasses.asdict(point)
        if self.best is None or standing(found, metric) > standing(self.best, metric):
            self.best, self.stale = found, 0


@dataclasses.dataclass(slots=True)
class Clock:
    """The time that a run has taken, with what it took before it was killed."""

    began: float = dataclasses.field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """So far."""
        return time.perf_counter() - self.began


def standing(point: dict[str, Any], metric: str) -> tuple[float, float]:
    """By which two validations are compared: the greater is the better; by loss alone where neither has a score.

    One without a score (none was taken, or there is none of these examples) is below all that have one.
    """
    sign = 1.0 if METRICS[metric].higher_is_better else -1.0
    return _or_least(point["validation_score"], sign), _or_least(point["validation_loss"], -1.0)


def _or_least(value: float | None, sign: float) -> float:
    return -math.inf if value is None or not math.isfinite(value) else sign * value


def validated(job: Job, group: Group, *, step: int, metric: str) -> HistoryPoint:
    """The validation part and as much of the training part, answered by the network as it stands.

    In the run's precision, in .55 to .65 of float32's time where that is bf16, for losses that differ by 1e-5 of
    themselves (measured: MiniLM, a small Llama, on two cores); the figures of the record are taken in float32.
    """
    train_loss, train_score = _judge(job, group, job.watched, metric)
    validation_loss, validation_score = _judge(job, group, job.validation, metric)
    return HistoryPoint(
        epoch=step / len(job.order(0)),
        step=step,
        train_loss=train_loss,
        validation_loss=validation_loss,
        train_score=train_score,
        validation_score=validation_score,
    )


def _judge(job: Job, group: Group, part: Inputs, metric: str) -> tuple[float, float | None]:
    """Loss by unit and metric of the network as it stands, on `part`, of which each worker answers its share.

    No metric where answering takes long, or where it is no number of these examples.
    """
    predictor = job.predictor
    shared = group.workers > 1 and predictor.schema.task != "tagging"  # what is said of words has as many rows as words
    mine = part.features.take(group.mine(len(part))) if shared else part.features
    with arithmetic(job.device.type, job.settings["precision"]):
        outputs = predictor.outputs(mine)
    if shared:
        outputs = group.whole(outputs, len(part))
    loss = group.number(predictor.loss(outputs, part.truth_N))  # machines may differ in the last digit: all go by one
    if predictor.schema.task == "generation":
        return loss, None
    found = group.number(float(score(metric, predictor.schema, part.truth_N, predictor.answers(outputs))))
    return loss, found if math.isfinite(found) else None


def save(held: Trained, optimizer: Optimizer, course: Course, basis: Basis, place: Path, group: Group) -> None:
    """Write a checkpoint of all that `put_back` needs: whole tensors, so that any number of workers can go on from it.

    Raises:
        ResourceError: the disk is full; the checkpoints before are intact.
    """
    tensors = {"network": whole(held.tensors(), group), "optimizer": whole(optimizer.tensors(), group)}
    if not group.first:
        return
    state = {**dataclasses.asdict(course), "optimizer": optimizer.plain(), "basis": dataclasses.asdict(basis)}
    checkpoints.save(place, checkpoints.Checkpoint(course.step, tensors, state), keep=course.best_step)


def put_back(held: Trained, optimizer: Optimizer, found: checkpoints.Checkpoint) -> Course:
    """The course at a checkpoint, its weights and moments put back.

    Raises:
        IntegrityError: the checkpoint is of another network.
    """
    held.load(found.tensors["network"])
    optimizer.restore(found.tensors["optimizer"], found.state["optimizer"])
    names = {field.name for field in dataclasses.fields(Course)}
    return Course(**{name: value for name, value in found.state.items() if name in names})


def best_or_next(place: Path, course: Course, history: list[HistoryPoint], metric: str) -> str | None:
    """What is wrong with the best checkpoint, if anything: `course.best` is then the best of those that are sound.

    It is None where no sound one was validated, as between two validations.
    """
    if course.best is None or checkpoints.is_sound(checkpoints.place(place, course.best_step)):
        return None
    sound = {int(each.name.removeprefix("step-")) for each in checkpoints.found(place) if checkpoints.is_sound(each)}
    left = [dataclasses.asdict(point) for point in history if point.step in sound]
    lost = f"the best checkpoint, of step {course.best_step}, was damaged"
    course.best = max(left, key=lambda point: standing(point, metric), default=None)
    if course.best is None:
        return f"{lost}, and no other was validated"
    return f"{lost}; the best of the others is of step {course.best_step}"
