"""Learning curves: the law is found again, its range holds, and a goal beyond its floor is said to be out of reach."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelwright.data.parts import read_part
from modelwright.records import Dataset
from modelwright.training.curve import Law, fitted, learning_curve

SIZES = np.repeat([100.0, 200.0, 400.0, 800.0], 3)


def test_a_law_without_noise_is_found_again() -> None:
    """error = .1 + 2 n^-.5: .2 at 400, .15 at 1,600; .12 needs (2 / .02)² = 10,000; .09 is never reached."""
    law, _ = fitted(SIZES, 0.1 + 2 * SIZES**-0.5, seed=0)
    assert (law.floor, law.scale, law.power) == pytest.approx((0.1, 2.0, 0.5), abs=1e-6)
    assert law.error(1600) == pytest.approx(0.15)
    assert law.needed(0.12) == pytest.approx(10_000)
    assert law.needed(0.09) == math.inf


def test_the_range_holds_the_truth_about_as_often_as_it_says() -> None:
    """At twice the data, error .1 + 2 x 1600^-.5 = .15; of 60 noisy curves at least 50 ranges hold it (95% is 57)."""
    random, held = np.random.default_rng(1), 0
    for number in range(60):
        noisy = 0.1 + 2 * SIZES**-0.5 + random.normal(scale=0.004, size=len(SIZES))
        draws = [each.error(1600) for each in fitted(SIZES, noisy, seed=number)[1]]
        held += bool(np.quantile(draws, 0.025) <= 0.15 <= np.quantile(draws, 0.975))
    assert held >= 50


def test_errors_that_do_not_fall_promise_nothing() -> None:
    law, _ = fitted(SIZES, np.full(len(SIZES), 0.3), seed=0)
    assert law.error(1e6) == pytest.approx(0.3, abs=1e-3)
    assert Law(0.3, 0.0, 1.0).needed(0.29) == math.inf and Law(0.3, 0.0, 1.0).needed(0.31) == 1


def test_the_curve_of_a_dataset(text_dataset: Dataset) -> None:
    train, validation = read_part(text_dataset, "train"), read_part(text_dataset, "validation")
    curve = learning_curve(text_dataset.schema, train, validation, metric="accuracy", goal=0.9, seconds=60, seed=0)
    assert curve is not None
    assert list(curve.scores) == ["22", "45", "90", "180"]
    assert curve.doubled.low <= curve.doubled.value <= curve.doubled.high <= 1
    assert curve.reachable is True


def test_too_few_examples_or_too_little_time(text_dataset: Dataset) -> None:
    train, validation = read_part(text_dataset, "train"), read_part(text_dataset, "validation")
    given = {"metric": "accuracy", "goal": None, "seed": 0}
    assert learning_curve(text_dataset.schema, train.head(50), validation, seconds=60, **given) is None
    assert learning_curve(text_dataset.schema, train, validation, seconds=0, **given) is None


def test_a_number_is_foretold_by_ridge_regression(text_dataset: Dataset, tmp_path: Path) -> None:
    """y = 3 x + noise of deviation 1 and x of deviation 1: R² tends to 9 / 10."""
    import dataclasses

    from modelwright.records import Column

    random = np.random.default_rng(0)
    x = random.normal(size=600)
    frame = pl.DataFrame({"x": x, "y": 3 * x + random.normal(size=600)})
    schema = dataclasses.replace(
        text_dataset.schema, task="regression", kind="table", inputs=(Column("x", "number"),), output="y", classes=()
    )
    curve = learning_curve(schema, frame[:400], frame[400:], metric="r2", goal=None, seconds=60, seed=0)
    assert curve is not None and curve.doubled.value == pytest.approx(0.9, abs=0.05)
