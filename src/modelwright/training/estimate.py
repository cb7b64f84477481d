"""What a whole run will take, from what the probe measured: its batches, portions and checkpoints are counted out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from modelwright.models import encode
from modelwright.models.portions import by_length
from modelwright.records import Estimate, Interval
from modelwright.training.checkpoint import EVERY_SECONDS, KEPT
from modelwright.training.job import Job
from modelwright.training.line import Shape, shapes_of
from modelwright.training.probe import Probe
from modelwright.training.rented import priced, rented, tier
from modelwright.training.start import read_first
from modelwright.training.work import FOUR_BITS, Footprint

COUNTED_EPOCHS = 3
"""So many epochs are counted batch by batch; further ones are like them on average."""
CREEP = 0.05
"""What a run takes more than the probe, of what that took: freed memory is not reused whole. Measured: 0 to .06 of six
runs from images to texts of 48 lengths; past runs correct it."""
GPU_CREEP = 1.08
"""The same of a GPU, over all that it held. Chosen."""
HELD_SHARE = 0.5
"""Of what a run's process holds more than the plan's did, what its peak is higher by: the rest are libraries that it
needs anyway, and free memory that it uses again. Measured after ten plans: 0 to 1.1 of it, .3 in the middle; chosen so
that none of the ten takes 5% more than was forecast."""
LEAST_SHARE = 0.25
"""Of a trial, before which it is not stopped for lagging behind others: until then rates have hardly begun to fall.
Chosen."""
LEFT = 1.1
"""Of memory, what later trials of a process take over the first. Measured: 1.11 after eight of a tiny encoder."""
PER_STEP = ("training", "validating", "saving")
"""Parts that a run which stops early has only a share of."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the run of `job` will take.

    Args:
        job: The run's.
        probe: What was measured on it.
        build_seconds: What reading the examples and the model took.
        peak_bytes: Of memory, while all this was measured.
        reads: The run starts with the frozen encoder's features.
        crowd: What other programs took of the processor meanwhile.
        compile_seconds: What compiling the network's blocks takes; 0 where they are not.
        held_bytes: Of memory, before any of this.
    """

    job: Job
    probe: Probe
    build_seconds: float
    peak_bytes: int
    reads: bool
    crowd: float = 0.0
    compile_seconds: float = 0.0
    held_bytes: int = 0

    @property
    def epoch_seconds(self) -> float:
        """One pass over the examples, without validation."""
        return self.steps_seconds(len(self.job.order(0)))

    @property
    def validation_seconds(self) -> float:
        """One validation and the checkpoint after it."""
        parts = (self.job.validation, self.job.watched)
        answering = sum(self.probe.judge.seconds(_portions(part.features.lengths_W)) for part in parts)
        return answering + 2 * self.probe.judge_seconds + self.probe.save_seconds

    @property
    def start_seconds(self) -> float:
        """What comes before the first step."""
        read = 0.0
        if self.reads:
            lengths_n = self.job.train.lengths_N[read_first(self.job)[0]]
            portions = list(encode.portions(lengths_n, self.job.device.type))
            read = self.probe.read.seconds(shapes_of(portions, lengths_n)) + self.probe.head_seconds
        return self.build_seconds + self.probe.begin_seconds + read + self.compile_seconds

    @property
    def end_seconds(self) -> float:
        """What comes after the last step: the best checkpoint, the last answers, their figures, the predictor."""
        answering = self.probe.answer.seconds(_portions(self.job.validation.features.lengths_W))
        return self.probe.restore_seconds + answering + self.probe.finish_seconds + self.probe.save_seconds / 3

    def parts(self, *, steps: int, validate_every: int) -> dict[str, float]:
        """Seconds of each part of a run of so many steps.

        Args:
            steps: In all.
            validate_every: Steps between two validations.
        """
        validations = 1 + math.ceil(steps / validate_every)
        training = self.steps_seconds(steps)
        return {
            "starting": self.start_seconds,
            "training": training,
            "validating": validations * (self.validation_seconds - self.probe.save_seconds),
            "saving": self._saves(training, validations - 1) * self.probe.save_seconds,
            "finishing": self.end_seconds,
        }

    def _saves(self, training: float, intervals: int) -> int:
        """Checkpoints that are written: at each validation, and each minute between two.

        Args:
            training: Seconds that all steps take.
            intervals: Between validations.
        """
        between = training / max(1, intervals)
        return 1 + intervals * (1 + int(between // (EVERY_SECONDS + self.probe.save_seconds)))

    def disk_bytes(self, training: float, intervals: int) -> float:
        """The most that the run's folder holds, where the best checkpoint is none of the newest: while one more is
        written, or with the predictor; as `_saves`.
        """
        saves = min(self._saves(training, intervals), KEPT + 3)
        first = 4.0 * self.probe.trained_count  # there are no moments before the first step
        sizes = [first] + [self.footprint.checkpoint_bytes] * (saves - 1)
        return max(sum(sizes[-KEPT - 2 :]), sum(sizes[-KEPT - 1 :]) + 4.0 * self.probe.weights_count)

    @property
    def memory_bytes(self) -> int:
        """The peak of the run."""
        peak = max(self.peak_bytes, self.probe.steps.largest_bytes)
        if self.job.device.type != "cpu":  # the GPU's allocator has its own way, and holds no libraries
            return round(GPU_CREEP * peak)
        return round(peak + CREEP * (peak - self.held_bytes))

    @property
    def footprint(self) -> Footprint:
        """What the run holds wherever it runs."""
        probe, settings = self.probe, self.job.settings
        frozen = probe.weights_count - probe.trained_count
        held = 4.0 * probe.trained_count + (FOUR_BITS if settings["quantised"] else 4.0) * frozen
        return Footprint(held, probe.trained_count, probe.steps.activation_bytes, settings["batch_size"])

    def operations(self, *, steps: int, validate_every: int) -> float:
        """What the whole run calculates: steps, validations, and reading by the frozen encoder."""
        shapes, lengths_N = self._shapes(steps), self.job.train.lengths_N
        validations = 2 + math.ceil(steps / validate_every)
        answered = _portions(self.job.validation.features.lengths_W) + _portions(self.job.watched.features.lengths_W)
        cost = self.probe.cost
        reading = cost.answering(_portions(lengths_N)) if self.reads else 0.0
        return cost.training(shapes) * steps / len(shapes) + validations * cost.answering(answered) + reading

    def _shapes(self, count: int) -> list[Shape]:
        """The shapes of the first `count` batches, as far as they are counted."""
        lengths_N = self.job.train.lengths_N
        shapes: list[Shape] = []
        for epoch in range(COUNTED_EPOCHS):
            if len(shapes) < count:
                shapes += shapes_of(self.job.order(epoch), lengths_N)
        return shapes[:count]

    def steps_seconds(self, count: int) -> float:
        """So many steps, without what comes between them."""
        shapes = self._shapes(count)
        return self.probe.steps.line.seconds(shapes) * count / len(shapes)


def estimated(forecast: Forecast, *, steps: int, validate_every: int) -> Estimate:
    """What the run takes here, with ranges as wide as such forecasts were off when tried, and elsewhere."""
    parts = forecast.parts(steps=steps, validate_every=validate_every)
    seconds, memory = sum(parts.values()), float(forecast.memory_bytes)
    footprint = forecast.footprint
    offers = rented(forecast.operations(steps=steps, validate_every=validate_every), steps, footprint)
    needed, why = tier(seconds / 3600, offers)
    return Estimate(
        seconds=Interval(seconds, 0.88 * seconds, 1.12 * seconds),
        peak_memory_bytes=Interval(memory, 0.95 * memory, 1.1 * memory),
        cost=Interval(0.0, 0.0, 0.0),
        parts=parts,
        disk_bytes=forecast.disk_bytes(parts["training"], math.ceil(steps / validate_every)),
        tier=needed,
        tier_reason=why,
        rented=offers,
        crowd=forecast.crowd,
        held_bytes=forecast.held_bytes,
    )


def repeated(
    forecast: Forecast, one: Estimate, *, trials: int, longest: float, steps: int, validate_every: int, budget: float
) -> Estimate:
    """What several trials take: so many times one, at most the budget, but no less than one.

    At the least all but the first are stopped as early as they may be.

    Args:
        forecast: Of one trial.
        one: What that takes.
        trials: How many there are at most.
        longest: How many times as many passes over the examples the longest one makes.
        steps: Of one.
        validate_every: Steps between two validations.
        budget: In seconds.
    """
    seconds, memory, most = one.seconds, one.peak_memory_bytes, max(one.seconds.value, budget)
    assert seconds.low is not None and seconds.high is not None and memory.high is not None, "a forecast has a range"
    value = min(trials * seconds.value, most)
    low = min((1 + (trials - 1) * LEAST_SHARE) * seconds.low, value)
    high = max(value, min((1 + (trials - 1) * longest) * seconds.high, max(seconds.high, budget)))
    operations = forecast.operations(steps=steps, validate_every=validate_every)
    offers = rented(trials * operations, trials * steps, forecast.footprint)
    needed, why = tier(value / 3600, offers)
    return replace(
        one,
        seconds=Interval(value, low, high),
        peak_memory_bytes=Interval(
            LEFT * memory.value, memory.low, None if memory.high is None else LEFT * memory.high
        ),
        parts={name: each * value / seconds.value for name, each in one.parts.items()},
        disk_bytes=one.disk_bytes + 4.0 * forecast.probe.weights_count,  # the best predictor so far
        tier=needed,
        tier_reason=why,
        rented=offers,
    )


def with_cost(estimate: Estimate, dollars_per_hour: float | None) -> Estimate:
    """`estimate` with the price of its hours on this machine; nothing where none is stated."""
    if not dollars_per_hour:
        return estimate
    seconds = estimate.seconds
    assert seconds.low is not None and seconds.high is not None, "a forecast has a range"
    hours = Interval(seconds.value / 3600, seconds.low / 3600, seconds.high / 3600)
    return replace(estimate, cost=priced(hours, dollars_per_hour))


def off_by(
    expected: Estimate, *, share: float, seconds: float, peak_memory_bytes: int, disk_bytes: int, held_bytes: int = 0
) -> dict[str, float]:
    """How far the forecast was off, as shares of it.

    Of disk and cost only where they were foreseen.

    Args:
        expected: Of the plan.
        share: Of its steps that the run took: it may have stopped early.
        seconds: That it took.
        peak_memory_bytes: Of its process.
        disk_bytes: The most that its folder held.
        held_bytes: What the process held before the run, where that is known. `modelwright run` has climbed the ladder
            and planned in the same process; the forecast is of one that has not.
    """
    more = max(0, held_bytes - expected.held_bytes) if expected.held_bytes else 0
    whole = expected.seconds.value
    varying = sum(expected.parts.get(name, 0.0) for name in PER_STEP) if expected.parts else whole
    off = {
        "seconds": seconds / (whole - (1 - share) * varying) - 1,
        "peak_memory_bytes": peak_memory_bytes / (expected.peak_memory_bytes.value + HELD_SHARE * more) - 1,
    }
    if expected.disk_bytes:
        off["disk_bytes"] = disk_bytes / expected.disk_bytes - 1
    if expected.cost.value:
        off["cost"] = off["seconds"]  # every second has one price
    return off


def dollars_of(expected: Estimate, seconds: float) -> float:
    """The dollars of so many seconds at the price that the forecast's have; 0 where none was stated."""
    return seconds * expected.cost.value / expected.seconds.value


def _portions(lengths_W: np.ndarray) -> list[Shape]:
    return shapes_of(list(by_length(lengths_W)), lengths_W)
