"""A run between two steps: begun or gone on with, validated, saved, watched, and at its end given its best weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from modelwright.errors import IntegrityError, RefusedError
from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.records import Progress, Remark
from modelwright.training import checkpoint as checkpoints
from modelwright.training.basis import Basis, not_exact
from modelwright.training.course import Course, best_or_next, put_back, save, standing, validated
from modelwright.training.job import Job
from modelwright.training.logs import Logs
from modelwright.training.optim import Optimizer
from modelwright.training.parallel import Group
from modelwright.training.start import newest, start_head
from modelwright.training.trained import Trained, begin
from modelwright.training.watch import Watch, chance_loss

Tell = Callable[[Progress], None]


@dataclass(slots=True)
class UnderWay:
    """A run between two steps.

    Args:
        held: The network in the shape that training wants.
        optimizer: Over it.
        course: Where the run stands.
        basis: What it depends on.
        logs: Its logs, which it closes.
        watch: What sees its losses.
        group: The workers that train it together; logs and watch are the first one's, and of no use to the others.
        place: The folder of its checkpoints.
        metric: By which a checkpoint is the best.
        went_on: Whether a killed call began it.
        progress: Told of what stands out.
        saved: When the newest checkpoint was written, on the clock of time.perf_counter.
        disk_bytes: The most that its checkpoints took, in this call.
    """

    held: Trained
    optimizer: Optimizer
    course: Course
    basis: Basis
    logs: Logs
    watch: Watch
    group: Group
    place: Path
    metric: str
    went_on: bool
    progress: Tell
    saved: float
    disk_bytes: int = 0

    def validate(self) -> HistoryPoint:
        """Answer the open parts, note whether this is the best so far, and keep it."""
        point = validated(self.held.job, self.group, step=self.course.step, metric=self.metric)
        self.course.note(point, self.metric)
        self.logs.validation(point)
        self.save()
        return point

    def save(self) -> None:
        """Write a checkpoint; older ones are removed only then."""
        self.logs.sync()
        first = self.group.first  # it writes, and files may vanish while others look
        before = checkpoints.folder_bytes(self.place) if first else 0
        save(self.held, self.optimizer, self.course, self.basis, self.place, self.group)
        if first:
            written = checkpoints.folder_bytes(checkpoints.place(self.place, self.course.step))
            self.disk_bytes = max(self.disk_bytes, before + written)
        self.saved = time.perf_counter()

    def tell(self, remarks: Sequence[Remark]) -> None:
        """Keep and say what stands out; the first worker does.

        Raises:
            RefusedError: going on is of no use.
        """
        if not (remarks and self.group.first):
            return
        self.logs.remarks(self.watch.remarks)
        for remark in remarks:
            if remark.kind == "lost":
                raise RefusedError(f"{remark.sentence}. {self.kept}")
            self.progress(Progress("train", "training", remark.step, lasting=remark.sentence))

    @property
    def kept(self) -> str:
        """What is left where training is given up."""
        return f"The best checkpoint, of step {self.course.best_step:,}, is kept in {self.place}"


def under_way(
    job: Job, group: Group, basis: Basis, *, metric: str, folder: Path, spare: Path, progress: Tell
) -> UnderWay:
    """The run as a killed call left it, or at its beginning.

    Args:
        job: What is trained.
        group: The workers that train it together.
        basis: What it depends on here and now.
        metric: By which a checkpoint is the best.
        folder: The run's own.
        spare: An empty folder, for what workers other than the first log.
        progress: Told of what takes long, and of checkpoints that are damaged.

    Raises:
        IntegrityError: the killed run began with other data, another plan or another model.
    """
    place, settings = folder / "checkpoints", job.settings
    found, damaged = newest(place, group)
    changed = [] if found is None else not_exact(found.state.get("basis"), basis, step=found.step, folder=folder)
    if damaged:
        said = f"damaged checkpoints were passed over: {', '.join(damaged)}"
        progress(Progress("train", "going on", 0, lasting=said))
    if settings.get("compile"):
        progress(Progress("train", "compiling", 0, lasting=_compiling()))
    fresh = found is None and settings["head"] != "random"
    late = group.sharded or settings["quantised"]  # before that, no device that reads quickly holds it
    if fresh and not late:
        start_head(job, group, progress)
    held = begin(job, sharded=group.sharded)
    job = held.job
    if fresh and late:
        start_head(job, group, progress)
    group.equalise(job.network)
    optimizer = held.optimizer(learning_rate=settings["learning_rate"], scaled=settings["precision"] == "fp16")
    course = Course() if found is None else put_back(held, optimizer, found)
    logs = Logs(folder if group.first else spare, step=None if found is None else found.step)
    if group.first:
        course.not_exact += [*changed, *_lost(logs, course, place, metric)]
    course = group.record(course if group.first else None, Course)
    watch = _watch(job, logs, metric)
    now, went_on = time.perf_counter(), found is not None
    return UnderWay(held, optimizer, course, basis, logs, watch, group, place, metric, went_on, progress, saved=now)


def take_best(under: UnderWay, folder: Path) -> None:
    """Give the network the best checkpoint's weights, in the shape that is saved.

    Raises:
        IntegrityError: no checkpoint is sound.
    """
    course, place = under.course, under.place
    course.not_exact += filter(None, [best_or_next(place, course, under.logs.history, under.metric)])
    best = checkpoints.load(checkpoints.place(place, course.best_step))
    if best is None:
        raise IntegrityError(f"{place}: no checkpoint there is sound; train again with --force")
    under.held.load(best.tensors["network"])
    under.held.end(folder / "adapters")


def _compiling() -> str:
    """What is to be told of a run whose blocks are to be compiled."""
    from modelwright.models.compiled import NONE, compiler

    if compiler() == NONE:
        return "the plan compiles blocks, but no C++ compiler is here: steps are taken without"
    return "blocks are compiled in the first step, which takes longer"


def _lost(logs: Logs, course: Course, place: Path, metric: str) -> list[str]:
    """What is not there any more where a run goes on."""
    lacking = [f"{name} lacks steps up to {course.step}: it was cut short or removed" for name in logs.lacking]
    best = best_or_next(place, course, logs.history, metric)
    return [*lacking, best] if best else lacking


def _watch(job: Job, logs: Logs, metric: str) -> Watch:
    """What watches the run, having seen the steps and validations that are in its logs."""
    schema, settings, chance = job.predictor.schema, job.settings, None
    if schema.task in ("classification", "regression"):
        chance = chance_loss(job.examples.targets, classes=len(schema.classes), smoothing=settings["smoothing"])
    scored = None if schema.task == "generation" else metric
    watch = Watch(steps=settings["steps"], learning_rate=settings["learning_rate"], chance=chance, metric=scored)
    places = {point.step: place for place, point in enumerate(logs.history, start=1)}
    for number, loss in enumerate([None, *logs.losses()]):
        if loss is not None:
            watch.step(number, loss)
        if number in places:
            seen = logs.history[: places[number]]
            watch.validation(seen, best_step=max(seen, key=lambda point: standing(asdict(point), metric)).step)
    logs.remarks(watch.remarks)
    return watch
