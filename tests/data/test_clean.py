"""What is left out and why: copies, contradictions, coincidences."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from modelwright.data.clean import DROPPED, clean, copied, missing_input
from modelwright.data.outputs import as_outputs, classes_of, positive_of
from modelwright.records import POSITION, Column, Schema

TEXT = Schema("classification", "text", (Column("text", "text"),), "label")


def texts(*pairs: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame({POSITION: range(len(pairs)), "text": [p[0] for p in pairs], "label": [p[1] for p in pairs]})


def test_of_equal_texts_with_one_label_the_first_stays() -> None:
    cleaned = clean(texts(("a", "x"), ("b", "y"), ("a", "x"), ("a", "x")), TEXT)
    assert cleaned.examples[POSITION].to_list() == [0, 1]
    assert cleaned.dropped.rows() == [(2, "exact_duplicate", 0, None), (3, "exact_duplicate", 0, None)]
    assert cleaned.dropped.schema == DROPPED
    assert cleaned.twins_N is None and cleaned.label_ceiling is None


def test_texts_that_differ_in_one_byte_are_different() -> None:
    """The last two look alike: one code point, and a letter with a combining accent."""
    several = texts(("a", "x"), ("a ", "x"), ("A", "x"), ("\u00e1", "x"), ("a\u0301", "x"))
    assert len(clean(several, TEXT).examples) == 5


def test_of_contradicting_texts_the_strict_majority_stays() -> None:
    """a: two x, one y, so the first x stays. b: one x, one y, so neither. The rest keeps x and y alive."""
    more = [(f"text {i}", "xy"[i % 2]) for i in range(10)]
    cleaned = clean(texts(("a", "y"), ("a", "x"), ("a", "x"), ("b", "x"), ("b", "y"), *more), TEXT)
    assert cleaned.examples[POSITION].to_list() == [1, *range(5, 15)]
    assert cleaned.dropped.rows() == [
        (0, "conflicting_label", 1, "labelled y"),
        (2, "exact_duplicate", 1, None),
        (3, "conflicting_label", None, "labelled x"),
        (4, "conflicting_label", None, "labelled y"),
    ]
    (finding,) = cleaned.findings
    assert (finding.kind, finding.count) == ("conflicting_label", 3)


def test_classes_at_odds_with_each_other_are_kept() -> None:
    """Every text of p is also one of q: dropping them would drop both classes. x and y lose nothing.

    The best guess gets one of each pair: 4 pairs of 14 examples, so 10 of 14.
    """
    pairs = [(f"text {i}", label) for i in range(4) for label in "pq"]
    cleaned = clean(texts(*pairs, *((f"other {i}", "xy"[i % 2]) for i in range(6))), TEXT)
    assert cleaned.dropped.is_empty()
    assert cleaned.label_ceiling == pytest.approx(10 / 14)
    assert cleaned.twins_N is not None
    assert (cleaned.twins_N[:8:2] == cleaned.twins_N[1:8:2]).all()
    assert [finding.kind for finding in cleaned.findings] == ["conflicting_label"]


def test_equal_texts_of_different_values_stay_together() -> None:
    schema = Schema("regression", "text", (Column("text", "text"),), "value")
    frame = pl.DataFrame({POSITION: range(4), "text": list("aaab"), "value": [1.0, 2.0, 2.0, 3.0]})
    cleaned = clean(frame, schema)
    assert cleaned.dropped.rows() == [(2, "exact_duplicate", 1, None)]
    assert cleaned.twins_N is not None
    assert cleaned.twins_N[0] == cleaned.twins_N[1] != cleaned.twins_N[2]
    assert cleaned.label_ceiling is None


def numbers(count: int, *, decimals: int, columns: int = 6, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    values = {f"c{i}": rng.normal(size=count).round(decimals) for i in range(columns)}
    return pl.DataFrame({POSITION: range(count), **values, "label": rng.choice(["x", "y"], count)})


def table(frame: pl.DataFrame) -> Schema:
    columns = (Column(name, "number") for name in frame.columns if name not in {POSITION, "label"})
    return Schema("classification", "table", tuple(columns), "label")


def with_copies(frame: pl.DataFrame, copies: int) -> pl.DataFrame:
    return pl.concat([frame, frame.head(copies)]).with_columns(pl.Series(POSITION, range(len(frame) + copies)))


def test_copied_measurements_go() -> None:
    frame = with_copies(numbers(500, decimals=3), 40)
    cleaned = clean(frame, table(frame))
    assert cleaned.dropped["position"].to_list() == list(range(500, 540))
    assert cleaned.dropped["twin"].to_list() == list(range(40))
    assert set(cleaned.dropped["reason"]) == {"exact_duplicate"}


def test_measurements_that_agree_by_chance_stay_and_share_a_code() -> None:
    """Three columns of whole numbers in -3..3 agree often, and agree in all but one more often still."""
    frame = numbers(500, decimals=0, columns=3)
    cleaned = clean(frame, table(frame))
    assert cleaned.dropped.is_empty()
    assert cleaned.twins_N is not None
    same = frame.select(["c0", "c1", "c2"]).with_columns(twin=pl.Series(cleaned.twins_N))
    inputs = same.select("c0", "c1", "c2").unique().height
    assert same.unique().height == inputs == len(set(cleaned.twins_N.tolist()))


def test_the_ceiling_is_the_best_answer_to_each_input() -> None:
    """Inputs 1: x x y, 2: x y, 3: y. The best answers get 2 + 1 + 1 of 6."""
    frame = pl.DataFrame({POSITION: range(6), "c": [1, 1, 1, 2, 2, 3], "label": list("xxyxyy")})
    schema = Schema("classification", "table", (Column("c", "number"),), "label")
    assert clean(frame, schema).label_ceiling == pytest.approx(4 / 6)


def test_copies_and_coincidences_are_told_apart() -> None:
    fine, coarse = numbers(400, decimals=3), numbers(400, decimals=0, columns=3)
    names = [name for name in fine.columns if name != POSITION]
    assert not copied(fine, names)
    assert copied(with_copies(fine, 5), names)
    assert not copied(with_copies(coarse, 5), ["c0", "c1", "c2", "label"])


def test_missing_equals_missing_and_nothing_else() -> None:
    frame = pl.DataFrame({POSITION: range(4), "text": [None, "", None, "x"], "label": list("aaaa")})
    assert missing_input(frame, TEXT).to_list() == [True, True, True, False]
    two = Schema("classification", "text", (Column("text", "text"), Column("title", "text")), "label")
    titled = frame.with_columns(title=pl.Series(["t", None, " ", "y"]))
    assert missing_input(titled, two).to_list() == [False, True, True, False]
    assert not missing_input(titled, table(titled)).any()
    beside = Schema("classification", "text", (Column("text", "text"), Column("title", "category")), "label")
    assert missing_input(titled, beside).to_list() == [True, True, True, False]


def test_outputs_are_strings_or_finite_numbers() -> None:
    assert as_outputs(pl.Series([1.0, None, 3.0]), "classification").to_list() == ["1", None, "3"]
    assert as_outputs(pl.Series([0.5, float("nan")]), "classification").to_list() == ["0.5", None]
    assert as_outputs(pl.Series([True, None]), "classification").to_list() == ["true", None]
    spelt = pl.Series(["True", "TRUE", " True", None, "False"])
    assert as_outputs(pl.Series([True, True, True, None, False]), "classification", spelt).to_list() == [
        "True",
        "True",
        "True",
        None,
        "False",
    ]
    assert as_outputs(pl.Series([" a ", "  ", "b"]), "classification").to_list() == ["a", None, "b"]
    assert as_outputs(pl.Series(["1.5", "x", " 2"]), "regression").to_list() == [1.5, None, 2.0]
    assert as_outputs(pl.Series([1.0, float("inf"), float("nan")]), "regression").to_list() == [1.0, None, None]


def test_classes_stand_in_the_order_of_their_numbers() -> None:
    assert classes_of(pl.Series(["10", "9", "1"])) == ["1", "9", "10"]
    assert classes_of(pl.Series(["b", "C", "a", None])) == ["a", "b", "C"]


@pytest.mark.parametrize(
    ("counts", "positive"),
    [
        ({"no": 10, "yes": 90}, "yes"),
        ({"<=50K": 3, ">50K": 7}, ">50K"),
        ({"ham": 1, "spam": 9}, "spam"),
        ({"good": 7, "bad": 3}, "bad"),
        ({"0": 1, "1": 5}, "1"),
        ({"benign": 1, "malignant": 5}, "malignant"),
        ({"cat": 5, "dog": 2}, "dog"),
        ({"a": 5, "b": 5}, "a"),
        ({"a": 1, "b": 2, "c": 3}, None),
    ],
)
def test_the_positive_class_is_the_one_asked_about(counts: dict[str, int], positive: str | None) -> None:
    assert positive_of(counts) == positive
