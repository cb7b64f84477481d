"""How much more data would bring: a cheap model on nested parts of the data, and the power law through its errors.

error(n) = a + b n^-c (Hestness et al. 2017, section 2; "POW3" of Viering & Loog 2022, table 1), a ≥ 0, b ≥ 0. A
model of the ladder stands in for the network, which lies higher: what is told is how much room more data leaves, not
what it reaches.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import polars as pl

from modelwright.data.parts import targets_N as targets_of
from modelwright.evaluation.metrics import METRICS, score
from modelwright.models.threads import one_thread
from modelwright.records import Interval, LearningCurve, Schema
from modelwright.training.stand_ins import STAND_INS

SHARES = (0.125, 0.25, 0.5, 1.0)
MOST_EXAMPLES = 8000
"""Of more, so many are drawn: the law is seen as well, in seconds. Chosen."""
SEEDS = 3
LEAST_EXAMPLES = 80
"""With fewer, an eighth is too few to learn from. Chosen."""
DRAWS = 200
"""Of the bootstrap."""
POWERS = np.linspace(0.05, 1.0, 39)
"""Exponents tried: images, texts and speech gave .07 to .5 (Hestness et al. 2017); 1 is a parametric model's own."""
FIRST_SHARE = 0.4
"""Of the time, what the fits of the first seed may take: so many examples are drawn. Chosen, as rates are rough."""
LEAST_ERROR = 1e-6
"""So that a perfect score has a relative error."""
FARTHEST = 100
"""Times the data at hand: a goal that needs more is not within reach. Chosen."""


@dataclass(frozen=True, slots=True)
class Law:
    """error(n) = floor + scale n^-power."""

    floor: float
    scale: float
    power: float

    def error(self, count: float) -> float:
        """At `count` examples."""
        return float(self.floor + self.scale * count**-self.power)

    def needed(self, error: float) -> float:
        """How many examples bring the error down to this; infinite where none do."""
        if self.scale <= 0:
            return 1.0 if error >= self.floor else np.inf
        if error <= self.floor:
            return np.inf
        return float((self.scale / (error - self.floor)) ** (1 / self.power))


def learning_curve(
    schema: Schema,
    train: pl.DataFrame,
    validation: pl.DataFrame,
    *,
    metric: str,
    goal: float | None,
    seconds: float,
    seed: int,
) -> LearningCurve | str:
    """The curve, or why there is none.

    Args:
        schema: Of the data.
        train: Nested parts of it are fitted.
        validation: What errors are taken on.
        metric: Whose curve it is.
        goal: To be reached.
        seconds: No further fit is begun after so long.
        seed: Of the draws.
    """
    if len(train) < LEAST_EXAMPLES:
        return f"{len(train):,} examples are too few to be parted, {LEAST_EXAMPLES} would do"
    most = _most(schema, train, seconds)
    if most < LEAST_EXAMPLES:
        return f"the examples are too long to fit parts of {LEAST_EXAMPLES} in {seconds:.0f} s"
    best = 1.0 if METRICS[metric].higher_is_better else 0.0
    sign = 1.0 if METRICS[metric].higher_is_better else -1.0
    model = STAND_INS[schema.task].name
    points = _points(schema, train, validation, most=most, metric=metric, seconds=seconds, seed=seed)
    sizes = sorted({count for count, _ in points})
    if len(sizes) < 3:
        return f"there was no time to fit parts of three sizes within {seconds:.1f} s"
    if {found for _, found in points} == {points[0][1]} != {best}:  # such as never right, to the letter
        return f"{model} has {metric} {points[0][1]:.3g} on parts of any size"
    counts_P = np.array([count for count, _ in points], dtype=float)
    errors_P = np.array([sign * (best - found) for _, found in points])
    law, draws = fitted(counts_P, errors_P, seed=seed)
    whole = float(len(train))
    doubled = [best - sign * each.error(2 * whole) for each in (law, *draws)]
    low, high = np.quantile(doubled[1:], (0.025, 0.975))
    needed, reachable = None, None
    if goal is not None:
        wanted = sign * (best - goal)
        counts = np.array([each.needed(wanted) for each in (law, *draws)])
        reachable = bool(counts[0] <= FARTHEST * whole)
        if reachable:
            first, last = np.quantile(np.minimum(counts[1:], FARTHEST * whole), (0.025, 0.975))
            needed = Interval(float(counts[0]), float(first), float(last))
    return LearningCurve(
        model=model,
        metric=metric,
        scores={str(size): float(np.mean([found for count, found in points if count == size])) for size in sizes},
        floor=law.floor,
        scale=law.scale,
        power=law.power,
        doubled=Interval(doubled[0], float(low), float(high)),
        needed=needed,
        reachable=reachable,
    )


def fitted(counts_P: np.ndarray, errors_P: np.ndarray, *, seed: int) -> tuple[Law, list[Law]]:
    """The law of least relative error, and those of DRAWS draws of its residuals (Efron 1979, section 7).

    Errors on small parts are larger and spread wider, about in proportion.
    """
    law = _least_squares(counts_P, errors_P)
    expected_P = np.maximum([law.error(count) for count in counts_P], LEAST_ERROR)
    spread = np.sqrt(len(counts_P) / max(1, len(counts_P) - 3))  # three numbers were fitted
    residuals_P = spread * (errors_P / expected_P - 1)
    random = np.random.default_rng(seed)
    again = (random.choice(residuals_P, len(residuals_P)) for _ in range(DRAWS))
    return law, [_least_squares(counts_P, expected_P * (1 + each_P)) for each_P in again]


def _least_squares(counts_P: np.ndarray, errors_P: np.ndarray) -> Law:
    """For each power the floor and scale of least relative error, neither negative; the best of them."""
    from scipy.optimize import nnls

    errors_P = np.maximum(errors_P, LEAST_ERROR)
    best, found = np.inf, Law(float(errors_P.mean()), 0.0, 1.0)
    for power in POWERS:
        design = np.column_stack((np.ones_like(counts_P), counts_P**-power)) / errors_P[:, None]
        (floor, scale), off = nnls(design, np.ones_like(errors_P))
        if off < best:
            best, found = off, Law(float(floor), float(scale), float(power))
    return found


def _most(schema: Schema, train: pl.DataFrame, seconds: float) -> int:
    """How many examples are drawn: all, but no more than MOST_EXAMPLES or than there is time for."""
    rate = STAND_INS[schema.task].seconds(schema)
    most = min(len(train), MOST_EXAMPLES)
    if not rate or schema.kind != "text":
        return most
    characters = sum(int(train[name].cast(pl.String).str.len_chars().sum() or 0) for name in schema.names)
    return min(most, int(FIRST_SHARE * seconds / (sum(SHARES) * rate * max(1, characters)) * len(train)))


def _points(
    schema: Schema,
    train: pl.DataFrame,
    validation: pl.DataFrame,
    *,
    most: int,
    metric: str,
    seconds: float,
    seed: int,
) -> list[tuple[int, float]]:
    """Examples and score of each fit: nested parts of a shuffled train, by several seeds, the smallest first."""
    began = time.perf_counter()
    points: list[tuple[int, float]] = []
    stand_in = STAND_INS[schema.task]
    if stand_in.seconds(schema):  # to answer takes its time too
        validation = validation.head(most)
    truth_N = targets_of(schema, validation)
    with one_thread():
        for number in range(SEEDS):
            drawn = train.sample(most, shuffle=True, seed=seed + number)
            for share in SHARES:
                if time.perf_counter() - began > seconds:
                    return points
                part = drawn.head(round(share * len(drawn)))
                model = stand_in.fit(schema, part)
                found = score(metric, schema, truth_N, model.predict(validation))
                if np.isfinite(found):  # some figures do not exist where nothing is answered
                    points.append((len(part), found))
    return points
