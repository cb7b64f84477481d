"""What the parts of a run take here, from doing a little of each for real: reading, steps, answering, saving.

The weights do not move: the learning rate is nought, and the job is thrown away afterwards.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from modelwright.evaluation.decision import decided
from modelwright.evaluation.intervals import all_intervals
from modelwright.evaluation.metrics import score
from modelwright.models import encode
from modelwright.models.portions import by_length
from modelwright.models.precision import arithmetic
from modelwright.training import checkpoint as checkpoints
from modelwright.training.job import Job
from modelwright.training.line import Line, fitted, shapes_of
from modelwright.training.loop import Recipe, Step, steps
from modelwright.training.memory import check_batch, memory_bytes, saved_bytes
from modelwright.training.optim import Optimizer
from modelwright.training.start import read_first
from modelwright.training.trained import Trained, begin
from modelwright.training.work import Cost, cost_of

PLACES = 9
"""Batches that are timed, evenly spread over their sizes. Chosen."""
ROUNDS = 3
"""How often each is; the first time, when memory is touched anew, does not count. Kernels for a new shape cost nothing
that can be seen: the first times of 47 shapes took .02 s more in all than later ones (measured)."""
STEPS_SECONDS, PORTIONS_SECONDS = 11.0, 2.5
"""No further step or portion is begun after so long; with saving and reading the whole stays under 30 s. Chosen."""
LONGEST_SECONDS = 6.0
"""The largest batch is tried only where it should take no longer than this; else memory is extrapolated. Chosen."""
SETTLING = 60
"""Further batches, in the run's own order, as far as there is time: the line goes through them too, and what is freed
in pieces is not reused whole, so that memory rises for some dozens of steps (MiniLM, 32 and 8 texts: by 20 to 30% over
the first ten)."""
EPOCHS = 3
"""So many are looked through for the largest batch: the longest texts may stand in an epoch's last, small one."""
LEAST_PLACES = 2
"""Batches that are timed however long they take: a line goes through two points."""
HEAD_EVALUATIONS = 330
"""Of the loss, that fitting a head takes: measured on banking77, 334."""


@dataclass(frozen=True, slots=True)
class Stepped:
    """What steps take: seconds, and memory."""

    line: Line
    activation_bytes: int  # what the largest batch keeps for the way back
    largest_bytes: int  # what it will need in all, where it was not tried


@dataclass(frozen=True, slots=True)
class Probe:
    """What was measured, in seconds: of steps, of a portion that is answered or read, and of the rest."""

    steps: Stepped
    answer: Line  # in float32, as at the end
    judge: Line  # in the run's precision, as between steps
    read: Line
    head_seconds: float
    begin_seconds: float
    judge_seconds: float  # scoring one answered part
    save_seconds: float
    restore_seconds: float
    finish_seconds: float
    trained_count: int  # weights that move
    weights_count: int  # all of them
    cost: Cost


def probe(job: Job, truth_N: np.ndarray, *, metric: str, precision: str, reads: bool, place: Path) -> Probe:
    """Do a little of everything that the run will do, in its order, and time it.

    Args:
        job: Not used for anything afterwards.
        truth_N: The targets of the validation part, as in the data.
        metric: That of the run.
        precision: That of the run.
        reads: The run starts with the frozen encoder's features.
        place: A folder on the disk that checkpoints will be written to.

    Raises:
        RefusedError: a batch does not fit into memory; the message says what would.
    """
    first = job.order(0)[0][:1]
    length = int(job.train.lengths_N[first[0]])
    cost = cost_of(job.network, job.fetch(first).inputs, length=length, rank=job.settings["rank"])
    weights_count = sum(each.numel() for each in job.network.parameters())
    read, head_seconds = Line(0.0, 0.0), 0.0
    late = job.settings["quantised"]  # as `under_way` has it
    if reads and not late:
        read, head_seconds = _read(job, precision), _head_seconds(job)
    began = time.perf_counter()
    held = begin(job)
    begin_seconds = time.perf_counter() - began
    job = held.job
    if reads and late:
        read, head_seconds = _read(job, precision), _head_seconds(job)
    features = job.validation.features

    def judged(chosen: np.ndarray) -> None:
        with arithmetic(job.device.type, precision):
            job.predictor.portion(features, chosen)

    judge = answer = _portions(features.lengths_W, judged)
    if precision != "fp32":
        answer = _portions(features.lengths_W, partial(job.predictor.portion, features))
    optimizer = held.optimizer(learning_rate=0.0, scaled=precision == "fp16")
    stepped = _steps(job, optimizer, precision)
    judged(max(by_length(features.lengths_W), key=lambda chosen: _size(chosen, features.lengths_W)))  # for its memory
    trained_count = sum(each.numel() for each in job.network.parameters() if each.requires_grad)
    save_seconds, restore_seconds = _saving(held, optimizer, place)
    judge_seconds, finish_seconds = _judging(job, truth_N, metric)
    return Probe(
        steps=stepped,
        answer=answer,
        judge=judge,
        read=read,
        head_seconds=head_seconds,
        begin_seconds=begin_seconds,
        judge_seconds=judge_seconds,
        save_seconds=save_seconds,
        restore_seconds=restore_seconds,
        finish_seconds=finish_seconds,
        trained_count=trained_count,
        weights_count=weights_count,
        cost=cost,
    )


def largest_batch(job: Job) -> np.ndarray:
    """The batch of most padded tokens in the first epochs."""
    every = (batch for epoch in range(EPOCHS) for batch in job.order(epoch))
    return max(every, key=lambda batch: _size(batch, job.train.lengths_N))


def _size(batch: np.ndarray, lengths_N: np.ndarray) -> int:
    """Its padded tokens."""
    return math.prod(*shapes_of([batch], lengths_N))


def _steps(job: Job, optimizer: Optimizer, precision: str) -> Stepped:
    """What steps take, on batches spread over all sizes."""
    lengths_N = job.train.lengths_N
    batches = sorted(job.order(0), key=lambda batch: _size(batch, lengths_N))
    shapes = shapes_of(batches, lengths_N)
    spread = sorted({int((place + 0.5) / PLACES * len(batches)) for place in range(PLACES)})
    timed: dict[int, list[float]] = {place: [] for place in spread}
    began = time.perf_counter()

    def run(batch: np.ndarray) -> float:
        return sum(step.seconds for step in _loop(job, optimizer, precision, batch))

    largest = largest_batch(job)
    activation_bytes, largest_bytes = _largest(job, largest, run)
    for _ in range(ROUNDS):
        for place in spread[::2] + spread[1::2]:
            if time.perf_counter() - began < STEPS_SECONDS or sum(map(bool, timed.values())) < LEAST_PLACES:
                timed[place].append(run(batches[place]))
        if not largest_bytes and time.perf_counter() - began < STEPS_SECONDS:
            run(largest)  # after smaller ones it finds what they freed in pieces, and memory rises again
    again = {place: each[1:] for place, each in timed.items() if len(each) > 1}
    pairs = [(shapes[place], seconds) for place, each in (again or timed).items() for seconds in each]
    for batch in job.order(0)[:SETTLING] if not largest_bytes else []:
        if time.perf_counter() - began < STEPS_SECONDS:
            pairs.append((shapes_of([batch], lengths_N)[0], run(batch)))
    return Stepped(
        line=fitted([shape for shape, _ in pairs], [seconds for _, seconds in pairs]),
        activation_bytes=activation_bytes,
        largest_bytes=largest_bytes,
    )


def _loop(job: Job, optimizer: Optimizer, precision: str, batch: np.ndarray) -> Iterator[Step]:
    """The loop, for one step on this batch; no weight moves."""
    recipe = Recipe(steps=1, precision=precision, micro_batches=job.settings["micro_batches"])
    return steps(job.network, job.objective, optimizer, recipe, order=lambda epoch: [batch], fetch=job.fetch)


def _largest(job: Job, batch: np.ndarray, run: Callable[[np.ndarray], float]) -> tuple[int, int]:
    """The activations of the largest batch, and what it needs where trying it would take too long, else 0.

    Activations grow with the number of examples of one length, so an eighth of the batch tells them.

    Raises:
        RefusedError: the whole batch does not fit into memory.
    """
    piece = batch[: max(1, len(batch) // 8)]
    run(piece)  # the first step of all makes the optimizer's state
    before = memory_bytes()
    with saved_bytes(job.network) as saved:
        seconds = run(piece)
    activations = round(sum(saved.values()) * len(batch) / len(piece))
    check_batch(before, activations / job.settings["micro_batches"], examples=len(batch))
    if seconds * len(batch) / len(piece) <= LONGEST_SECONDS or len(piece) == len(batch):
        run(batch)
        return activations, 0
    return activations, before + activations


def _portions(
    lengths_W: np.ndarray, work: Callable[[np.ndarray], object], portions: Iterable[np.ndarray] | None = None
) -> Line:
    """The line of a portion, those that answers come in or others: the middle one, to warm up, then the largest and
    some between.
    """
    portions = list(by_length(lengths_W) if portions is None else portions)
    shapes = shapes_of(portions, lengths_W)
    places = [round(share * (len(portions) - 1)) for share in (0.5, 1.0, 0.0, 0.75, 0.25, 0.5, 1.0, 0.0)]
    began, taken, seconds = time.perf_counter(), [], []
    for number, place in enumerate(places):
        started = time.perf_counter()
        work(portions[place])
        if number or started - began > PORTIONS_SECONDS:
            taken.append(place)
            seconds.append(time.perf_counter() - started)
        if len(taken) >= 2 and time.perf_counter() - began > PORTIONS_SECONDS:
            break
    return fitted([shapes[place] for place in taken], seconds)


def _read(job: Job, precision: str) -> Line:
    """The line of a portion that the frozen encoder reads."""
    features = job.examples.features
    read = partial(encode.read_portion, job.network, features, precision=precision)
    return _portions(features.lengths_W, read, encode.portions(features.lengths_W, job.device.type))


def _head_seconds(job: Job) -> float:
    """What fitting the head will take, from a few evaluations of a loss of its size."""
    import torch

    head = job.network.head
    x_ND = torch.rand(read_first(job)[1], head.in_features)
    weight = torch.zeros(head.out_features, head.in_features, requires_grad=True)
    took = []
    for _ in range(4):
        began = time.perf_counter()
        (x_ND @ weight.T).logsumexp(1).mean().backward()
        took.append(time.perf_counter() - began)
    return HEAD_EVALUATIONS * float(np.median(took[1:]))


def _saving(held: Trained, optimizer: Optimizer, place: Path) -> tuple[float, float]:
    """Seconds to write a checkpoint, and to read the best one back and give the network its saved shape."""
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place, prefix=".probe-") as folder:
        tensors = {"network": held.tensors(), "optimizer": optimizer.tensors()}
        began = time.perf_counter()
        written = checkpoints.save(Path(folder), checkpoints.Checkpoint(0, tensors, {"step": 0}))
        saved = time.perf_counter()
        found = checkpoints.load(written)
        assert found is not None, "it was written a moment ago"
        held.load(found.tensors["network"])
        held.end(Path(folder) / "adapters")
        return saved - began, time.perf_counter() - saved


def _judging(job: Job, truth_N: np.ndarray, metric: str) -> tuple[float, float]:
    """Seconds to score one part at a validation, and to make the figures of the record at the end.

    What is scored is drawn at random: the figures cost the same.
    """
    predictor = job.predictor
    schema = predictor.schema
    outputs = predictor.drawn(job.validation.features)
    writing = predictor.writing_seconds(len(truth_N))
    began = time.perf_counter()
    predictor.loss(outputs, truth_N)
    if writing:  # no score is taken before the end, and the figures take no time beside the writing
        return time.perf_counter() - began, writing
    answers = predictor.answers(outputs)
    score(metric, schema, truth_N, answers)
    judged = time.perf_counter()
    _, answers = decided(predictor, answers, metric, truth_N, seed=0)
    all_intervals(schema, truth_N, answers)
    return judged - began, time.perf_counter() - judged
