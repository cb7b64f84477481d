"""Learning curves: the law is found again, its range holds, and a goal beyond its floor is said to be out of reach."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelwright.data.hidden import asked_bytes
from modelwright.data.parts import read_part
from modelwright.data.spans import SPANS
from modelwright.records import Column, Dataset, LearningCurve, Schema
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
    assert isinstance(curve, LearningCurve)
    assert list(curve.scores) == ["22", "45", "90", "180"]
    assert curve.doubled.low <= curve.doubled.value <= curve.doubled.high <= 1
    assert curve.reachable is True


def test_too_few_examples_or_too_little_time(text_dataset: Dataset) -> None:
    train, validation = read_part(text_dataset, "train"), read_part(text_dataset, "validation")
    given = {"metric": "accuracy", "goal": None, "seed": 0}
    assert "50 examples" in learning_curve(text_dataset.schema, train.head(50), validation, seconds=60, **given)
    assert "no time" in learning_curve(text_dataset.schema, train, validation, seconds=0, **given)


def test_a_number_is_foretold_by_ridge_regression(text_dataset: Dataset, tmp_path: Path) -> None:
    """y = 3 x + noise of deviation 1 and x of deviation 1: R² tends to 9 / 10."""
    import dataclasses

    random = np.random.default_rng(0)
    x = random.normal(size=600)
    frame = pl.DataFrame({"x": x, "y": 3 * x + random.normal(size=600)})
    schema = dataclasses.replace(
        text_dataset.schema, task="regression", kind="table", inputs=(Column("x", "number"),), output="y", classes=()
    )
    curve = learning_curve(schema, frame[:400], frame[400:], metric="r2", goal=None, seconds=60, seed=0)
    assert isinstance(curve, LearningCurve) and curve.doubled.value == pytest.approx(0.9, abs=0.05)


def of(task: str, *, masked: bool = False) -> tuple[Schema, pl.DataFrame, str]:
    """A schema, 240 examples and a metric of a task: what is rare is learnt from more examples."""
    random, names = np.random.default_rng(0), [f"name{number}" for number in range(60)]
    chosen = random.zipf(1.3, size=240) % 60
    text = pl.Series("text", [f"please call {names[each]} about {names[(each + 1) % 60]}" for each in chosen])
    label, classes, metric = pl.Series("label", [names[each] for each in chosen]), (), "token_f1"
    if task == "multilabel":
        label, classes, metric = (
            pl.Series("label", [[["even", "odd"][each % 2]] for each in chosen]),
            ("even", "odd"),
            "",
        )
        metric = "micro_f1"
    elif task == "tagging":
        cells = [[{"start": 12, "end": 12 + len(names[each]), "label": "who"}] for each in chosen]
        label, classes, metric = pl.Series("label", cells, dtype=SPANS), ("who",), "micro_f1"
    schema = Schema(task, "text", (Column("text", "text"),), "label", classes, masked=masked)
    frame = pl.DataFrame([text, label])
    if task == "language-modeling":
        metric, frame = "bits_per_byte", frame.with_columns(label=asked_bytes(schema, frame).cast(pl.Float64))
    return schema, frame, metric


@pytest.mark.parametrize(
    ("task", "masked"),
    [("multilabel", False), ("tagging", False), ("generation", False), ("language-modeling", False),
     ("language-modeling", True)],
)  # fmt: skip
def test_every_task_has_a_model_that_stands_in(task: str, masked: bool) -> None:
    schema, frame, metric = of(task, masked=masked)
    given = {"metric": metric, "goal": None, "seed": 0}
    curve = learning_curve(schema, frame[:160], frame[160:], seconds=60, **given)
    assert isinstance(curve, LearningCurve) and list(curve.scores) == ["20", "40", "80", "160"]
    first, last = curve.scores["20"], curve.scores["160"]
    assert last < first if metric == "bits_per_byte" else last >= first
    assert "too long" in learning_curve(schema, frame[:160], frame[160:], seconds=0.001, **given)


def test_a_score_that_is_the_same_everywhere_says_nothing() -> None:
    """No answer of another prompt is ever right to the letter: 0 on parts of any size."""
    schema, frame, _ = of("generation")
    frame = frame.with_columns(label=pl.Series([f"answer {number}" for number in range(len(frame))]))
    found = learning_curve(schema, frame[:160], frame[160:], metric="exact_match", goal=None, seconds=60, seed=0)
    assert isinstance(found, str) and "exact_match 0 " in found


@pytest.mark.parametrize("kind", ["text", "table"])
def test_parts_of_one_class_have_their_points_too(kind: str) -> None:
    """Of 100 examples 4 are of the rare class: some parts of an eighth have none of it."""
    rare = np.arange(100) % 25 == 0
    texts = [f"{'lost' if each else 'fine'} card {n}" for n, each in enumerate(rare)]
    cells = texts if kind == "text" else [float(each) + n / 1000 for n, each in enumerate(rare)]
    train = pl.DataFrame({"input": cells, "label": ["b" if each else "a" for each in rare]})
    column = Column("input", "text" if kind == "text" else "number")
    schema = Schema("classification", kind, (column,), "label", ("a", "b"))
    given = {"metric": "accuracy", "goal": None, "seconds": 60, "seed": 0}
    curve = learning_curve(schema, train, train, **given)
    assert isinstance(curve, LearningCurve) and list(curve.scores) == ["12", "25", "50", "100"]
