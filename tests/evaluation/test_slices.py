import numpy as np
import polars as pl

from modelwright.evaluation.slices import slice_figures
from modelwright.models.predictors import Predictions
from modelwright.records import Column, Schema

SCHEMA = Schema(
    "classification",
    "table",
    (Column("colour", "category"), Column("size", "number"), Column("note", "text"), Column("on", "date")),
    "y",
    ("no", "yes"),
    "yes",
)


def frame(count: int = 1200) -> pl.DataFrame:
    generator = np.random.default_rng(0)
    days = pl.Series(generator.integers(0, 1000, count)).cast(pl.Date)
    sizes = pl.Series(generator.normal(size=count)).set(pl.Series(np.arange(count) % 12 == 0), None)
    return pl.DataFrame(
        {
            "colour": generator.choice(["red", "green", "blue"], count),
            "size": sizes,
            "note": ["word " * n for n in generator.integers(1, 30, count)],
            "on": days,
        }
    )


def answered(wrong_N: np.ndarray) -> tuple[np.ndarray, Predictions]:
    truth_N = np.random.default_rng(1).integers(0, 2, len(wrong_N))
    return truth_N, Predictions(probabilities_NC=np.eye(2)[np.where(wrong_N, 1 - truth_N, truth_N)])


def test_a_weak_slice_is_found_and_comes_first() -> None:
    examples = frame()
    noise_N = np.random.default_rng(2).random(1200)
    wrong_N = noise_N < np.where(examples["colour"] == "red", 0.35, 0.05)
    found = slice_figures("macro_f1", SCHEMA, examples, *answered(wrong_N))
    assert found[0].name == "colour = red"
    assert found[0].score.value < 0.75
    assert found[0].count == (examples["colour"] == "red").sum()
    assert {each.name for each in found} <= {"colour = red", "colour = green", "colour = blue"}


def test_missing_values_long_texts_and_late_dates_are_slices() -> None:
    examples = frame()
    for hard, name in [
        (examples["size"].is_null(), "size is missing"),
        (examples["note"].str.len_chars() > 110, "characters of note"),
        (examples["on"] > pl.Series([800]).cast(pl.Date)[0], "on 1972-"),
    ]:
        wrong_N = np.random.default_rng(3).random(1200) < np.where(hard, 0.5, 0.03)
        found = slice_figures("accuracy", SCHEMA, examples, *answered(wrong_N))
        assert found[0].name.startswith(name)


def test_chance_makes_no_slice() -> None:
    """Ten data sets of pure noise: at 5% for each whole family, more than three alarms come once in 1,000."""
    alarms = 0
    for seed in range(10):
        wrong_N = np.random.default_rng(seed + 50).random(1200) < 0.15
        alarms += bool(slice_figures("accuracy", SCHEMA, frame(), *answered(wrong_N)))
    assert alarms <= 3


def test_small_slices_are_left_alone() -> None:
    examples = frame(60).with_columns(colour=pl.Series(["rare"] * 20 + ["common"] * 40))
    wrong_N = np.arange(60) < 20
    names = {each.name for each in slice_figures("accuracy", SCHEMA, examples, *answered(wrong_N))}
    assert "colour = rare" not in names


def test_errors_are_worst_where_they_are_largest() -> None:
    schema = Schema("regression", "table", (Column("colour", "category"),), "y")
    examples = frame(600)
    spread_N = np.where(examples["colour"] == "blue", 5.0, 1.0)
    predictions = Predictions(values_N=np.random.default_rng(4).normal(size=600) * spread_N)
    found = slice_figures("r2", schema, examples, np.zeros(600), predictions)
    assert found[0].name == "colour = blue"
    assert found[0].score.value > found[-1].score.value
