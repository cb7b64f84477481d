"""What stands out in losses: silence on recorded healthy trainings, a sentence on provoked ones, and worked cases."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.records import Remark
from modelwright.training.watch import (
    Watch,
    chance_loss,
    has_not_moved,
    is_far_above,
    is_lost,
    overfitting,
    underfitting,
)

CURVES = json.loads(Path(__file__).with_name("curves.json").read_text())
"""See record_curves.py; what a provoked one shows stands after the colon in its name."""


def watched(curve: dict[str, Any]) -> list[Remark]:
    """All remarks on a recorded run, as training would make them; it ends with the first of kind `lost`."""
    counts = curve["counts"]
    chance = 0.5
    if counts:
        labels_N = np.repeat(np.arange(len(counts)), counts)
        chance = chance_loss(labels_N, classes=len(counts), smoothing=curve["smoothing"])
    watch = Watch(steps=curve["steps"], learning_rate=1e-3, chance=chance)
    history: list[HistoryPoint] = []
    points = {point[0]: point for point in curve["points"]}
    for number, loss in enumerate([math.nan, *curve["losses"]]):
        if number and any(remark.kind == "lost" for remark in watch.step(number, loss)):
            return watch.remarks
        if number in points:
            _, train, validation, score = points[number]
            history.append(HistoryPoint(number / 10, number, train, validation, None, score))
            best = max(history, key=lambda point: (point.validation_score, -point.validation_loss))
            watch.validation(history, best_step=best.step)
    watch.end(history)
    return watch.remarks


@pytest.mark.parametrize("curve", [each for each in CURVES if ":" not in each["name"]], ids=lambda each: each["name"])
def test_a_healthy_run_is_left_in_peace(curve: dict[str, Any]) -> None:
    assert watched(curve) == []


@pytest.mark.parametrize("curve", [each for each in CURVES if ":" in each["name"]], ids=lambda each: each["name"])
def test_a_provoked_run_is_told_what_it_shows(curve: dict[str, Any]) -> None:
    assert curve["name"].split(": ")[1] in [remark.kind for remark in watched(curve)]


def test_no_order_of_healthy_losses_is_a_spike() -> None:
    """Losses that scatter as log-normal ones do, 20,000 of them: by chance alone none should stand out."""
    losses = np.random.default_rng(0).lognormal(sigma=0.5, size=20_000)
    watch = Watch(steps=20_000, learning_rate=1e-3, chance=None)
    for number, loss in enumerate(losses, start=1):
        watch.step(number, float(loss))
    assert [remark for remark in watch.remarks if remark.kind != "slow"] == []


def flat(count: int, *, level: float = 1.0) -> list[float]:
    """Losses of .95, 1 and 1.05 times `level` in turn: their median is `level`."""
    return [level * (0.95 + 0.05 * (number % 3)) for number in range(count)]


def seen(losses: list[float], *, steps: int = 1000, chance: float | None = None) -> list[Remark]:
    watch = Watch(steps=steps, learning_rate=1e-3, chance=chance)
    return [remark for number, loss in enumerate(losses, start=1) for remark in watch.step(number, loss)]


def test_four_losses_in_a_row_far_above_are_a_spike_and_three_are_not() -> None:
    """The fourth of them is step 104; the learning rate of .001 over three is .00033."""
    assert seen([*flat(100), 9, 9, 9, *flat(20)]) == []
    (found,) = seen([*flat(100), 9, 9, 9, 9, *flat(20)])
    assert (found.kind, found.step) == ("spike", 104)
    assert found.sentence.startswith("the loss jumped from about 1 to 9 at step 101 and stayed there for 4 steps")
    assert "training.learning_rate below 0.00033" in found.sentence


def test_a_second_spike_is_told_too() -> None:
    assert len(seen([*flat(100), 9, 9, 9, 9, *flat(100), 9, 9, 9, 9])) == 2


def test_a_loss_that_comes_back_is_not_lost_and_one_that_stays_is() -> None:
    """Lost needs the median of 64 to be above, which is so 33 steps after the jump, and 100 steps more of that (a tenth
    of 1,000); it is looked at every 8 steps."""
    gone = [remark for remark in seen([*flat(200), *flat(400, level=3)]) if remark.kind == "lost"]
    assert len(gone) == 1 and 200 + 33 + 100 <= gone[0].step <= 200 + 33 + 100 + 16
    assert "the loss began at 1 and has been about 3 since step 2" in gone[0].sentence
    assert not [remark for remark in seen([*flat(200), *flat(60, level=3), *flat(400)]) if remark.kind == "lost"]


def test_nothing_is_lost_while_validation_knows_better() -> None:
    """Losses of .9 after a start at .3, where knowing nothing gives .69: dropout over a head that was fitted before."""

    def point(step: int, loss: float) -> HistoryPoint:
        return HistoryPoint(epoch=step / 100, step=step, train_loss=0.3, validation_loss=loss)

    for later, lost in ((0.4, False), (1.2, True)):
        watch = Watch(steps=1000, learning_rate=1e-4, chance=0.69)
        watch.validation([point(0, 0.35)], best_step=0)
        said = [*watch.step(1, 0.9), *watch.validation([point(0, 0.35), point(1, later)], best_step=0)]
        for number in range(2, 600):
            said += watch.step(number, 0.9)
        assert ("lost" in {remark.kind for remark in said}) == lost


def test_what_is_lost() -> None:
    """Began at .4, knowing nothing is 1.1: 1.05 is above .95 of it, so it knows nothing any more; .9 is not yet."""
    assert is_lost(0.4, 1.05, chance=1.1) and not is_lost(0.4, 0.9, chance=1.1)
    assert not is_lost(1.0, 1.05, chance=1.1), "it never knew more"
    assert not is_lost(1.0, 1.6, chance=1.1) and is_lost(1.0, 1.7, chance=1.1), "1.5 times what knowing nothing gives"
    assert is_lost(1.0, 1.6, chance=None) and not is_lost(1.0, 1.4, chance=None)


def test_far_above_is_by_the_scatter_and_by_the_level() -> None:
    """Of 1 ± .1 half and half the median is 1 (or .9, 1.1) and the deviation about .15: 1.9 is 6 of them."""
    calm = [0.9, 1.1] * 32
    assert is_far_above(2.0, calm) and not is_far_above(1.8, calm)
    still = [1e-6] * 64
    assert not is_far_above(1.4e-6, still) and is_far_above(1.6e-6, still)


def test_what_has_not_moved() -> None:
    still, moved = np.array(flat(64)), np.array(flat(64, level=0.9))
    assert has_not_moved(still, np.array(flat(64, level=0.999))) and not has_not_moved(still, moved)


def test_a_low_loss_that_stays_low_is_not_slow() -> None:
    """Of 1,000 steps 300 are looked at: at 1 of a chance of 1.1 there is room, at 1 of 3 there is none."""
    assert [remark.kind for remark in seen(flat(400), chance=1.1)] == ["slow"]
    assert seen(flat(400), chance=3.0) == []


def history(*points: tuple[float, float]) -> list[HistoryPoint]:
    return [HistoryPoint(epoch, 10 * epoch, *losses) for epoch, losses in enumerate(points)]


def test_overfitting_is_a_validation_loss_that_rose_twice() -> None:
    rising = history((1.0, 1.0), (0.5, 0.6), (0.3, 0.7), (0.2, 0.8))
    found = overfitting(rising, best_step=10)
    assert found is not None and found.step == 30
    assert "since epoch 1 the loss on validation examples rose from 0.6 to 0.8" in found.sentence
    assert "on training examples fell from 0.5 to 0.2; the checkpoint of step 10 is the best so far" in found.sentence
    assert overfitting(rising, best_step=30) is None, "the metric still gains"
    assert overfitting(rising[:3], best_step=10) is None, "once may be chance"
    assert overfitting(history((1.0, 1.0), (0.5, 0.6), (0.6, 0.7), (0.7, 0.8)), best_step=10) is None


def test_underfitting_is_a_loss_that_still_falls_or_never_fell() -> None:
    """.5 to .39 is a fifth and more, .5 to .41 is not."""
    assert underfitting(history((1.0, 1.0), (0.5, 0.6), (0.39, 0.5)), chance=1.1) is not None
    assert underfitting(history((1.0, 1.0), (0.5, 0.6), (0.41, 0.5)), chance=1.1) is None
    assert underfitting(history((1.0, 1.0), (0.5, 0.4), (0.39, 0.5)), chance=1.1) is None, "validation has turned"
    found = underfitting(history((1.1, 1.1), (1.09, 1.1), (1.08, 1.1)), chance=1.1)
    assert found is not None and "it has learnt hardly anything" in found.sentence


def test_the_loss_of_knowing_nothing() -> None:
    """Three to one: -(3/4 ln 3/4 + 1/4 ln 1/4) = .5623; smoothed by .2 the shares are .7 and .3: .6109.

    Values 0 and 2 have a variance of 1: half of it is .5.
    """
    labels_N = np.array([0, 0, 0, 1])
    assert chance_loss(labels_N, classes=2) == pytest.approx(0.5623, abs=1e-4)
    assert chance_loss(labels_N, classes=2, smoothing=0.2) == pytest.approx(0.6109, abs=1e-4)
    assert chance_loss(np.array([0.0, 2.0]), classes=0) == 0.5
