"""What is inferred from a table at first sight, and what is refused."""

import datetime

import numpy as np
import polars as pl
import pytest

from modelwright.data.infer import FEWEST_EXAMPLES, infer
from modelwright.errors import SourceError

COUNT = 200
RNG = np.random.default_rng(0)
TEXTS = [f"message {n} asks about the {'card' if n % 2 else 'loan'} again" for n in range(COUNT)]
LABELS = ["ab"[n % 2] for n in range(COUNT)]
NUMBERS = RNG.normal(size=COUNT)


def table(**columns: object) -> pl.DataFrame:
    return pl.DataFrame(columns)


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (LABELS, "classification"),
        ([n % 2 == 0 for n in range(COUNT)], "classification"),
        ([n % 2 for n in range(COUNT)], "classification"),
        ([n % 2 * 1.0 for n in range(COUNT)], "classification"),
        ([n % 5 + 1 for n in range(COUNT)], "classification"),
        ([n % 10 for n in range(COUNT)], "classification"),
        ([n % 10 + 0.5 for n in range(COUNT)], "regression"),
        ([n % 18 for n in range(COUNT)], "regression"),
        (list(RNG.integers(0, 5000, COUNT)), "regression"),
        (list(NUMBERS), "regression"),
    ],
)
def test_the_task_follows_the_values(values: list[object], task: str) -> None:
    assert infer(table(a=NUMBERS, out=values), output="out").task == task


def test_whole_numbers_in_a_row_called_label_are_classes() -> None:
    frame = table(text=TEXTS, label=[n % 20 for n in range(COUNT)])
    found = infer(frame, output="label")
    assert found.task == "classification"
    assert any("without a gap" in note for note in found.notes)
    assert infer(frame, output="label", task="regression").task == "regression"


def test_the_kind_of_input() -> None:
    ids = [f"{n:04}-XY{n % 7}" for n in range(COUNT)]
    text = infer(table(id=ids, text=TEXTS, same=["x"] * COUNT, label=LABELS), output="label")
    assert (text.kind, [column.name for column in text.inputs]) == ("text", ["text"])
    assert set(text.excluded) == {"id", "same"}
    when = [datetime.datetime(2024, 1, 1) + datetime.timedelta(hours=int(n)) for n in range(COUNT)]
    mixed = infer(table(text=TEXTS, when=when, label=LABELS), output="label")
    assert (mixed.kind, [column.kind for column in mixed.inputs]) == ("table", ["text", "date"])
    image = infer(table(image=[b"x"] * COUNT, size=NUMBERS, label=LABELS), output="label")
    assert (image.kind, [column.name for column in image.inputs]) == ("image", ["image"])
    assert "size" in image.excluded


def test_a_column_that_hardly_varies_does_not_make_a_text_a_table() -> None:
    frame = table(text=TEXTS, flag=[n > 0 for n in range(COUNT)], label=LABELS)
    found = infer(frame, output="label")
    assert (found.kind, set(found.excluded)) == ("text", {"flag"})
    asked = infer(frame, output="label", inputs=("text", "flag"))
    assert [column.name for column in asked.inputs] == ["text", "flag"]


def test_a_few_categories_beside_a_text_are_read_with_it() -> None:
    shop = ["north", "south", "east"]
    frame = table(shop=[shop[n % 3] for n in range(COUNT)], text=TEXTS, label=LABELS)
    found = infer(frame, output="label")
    assert (found.kind, [column.kind for column in found.inputs]) == ("text", ["category", "text"])
    assert any("read together" in note for note in found.notes)
    assert infer(frame.with_columns(size=pl.Series(NUMBERS)), output="label").kind == "table"
    long = frame.with_columns(pl.col("shop") + "-branch-of-the-company-with-a-long-name")
    assert infer(long, output="label").kind == "table"


def test_named_inputs_are_kept_even_where_they_identify() -> None:
    frame = table(id=range(COUNT), a=NUMBERS, label=LABELS)
    found = infer(frame, output="label", inputs=("id", "a"))
    assert [(column.name, column.kind) for column in found.inputs] == [("id", "number"), ("a", "number")]
    assert infer(frame, output="label", inputs="a").excluded.keys() == {"id"}


def test_columns_that_name_parts_and_folds_are_left_out() -> None:
    parts = ["train" if n % 5 else "test" for n in range(COUNT)]
    found = infer(table(split=parts, fold=[n % 10 for n in range(COUNT)], text=TEXTS, label=LABELS), output=None)
    assert (found.kind, found.output) == ("text", "label")
    assert set(found.excluded) == {"split", "fold"}


@pytest.mark.parametrize(
    ("columns", "output"),
    [
        ({"label": LABELS, "a": NUMBERS}, "label"),
        ({"Churn": LABELS, "a": NUMBERS}, "Churn"),
        ({"median_house_value": NUMBERS, "ocean": LABELS}, "median_house_value"),
        ({"a": NUMBERS, "b": LABELS}, "b"),
        ({"column_1": LABELS, "column_2": TEXTS}, "column_1"),
    ],
)
def test_an_unnamed_output_is_chosen_and_said(columns: dict[str, object], output: str) -> None:
    found = infer(pl.DataFrame(columns), output=None)
    assert found.output == output
    assert repr(output) in found.notes[0]


def test_an_output_that_is_not_clear_is_asked_for() -> None:
    with pytest.raises(SourceError, match="'a', 'b'"):
        infer(table(a=NUMBERS, b=LABELS, text=TEXTS), output=None)


def test_an_identifier_that_repeats_is_not_chosen_although_it_stands_last() -> None:
    with pytest.raises(SourceError, match="not clear"):
        infer(table(a=NUMBERS, b=LABELS, customer_id=[n % 7 for n in range(COUNT)]), output=None)


WHEN = [datetime.datetime(2024, 1, 1) + datetime.timedelta(days=n) for n in range(COUNT)]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (WHEN, "is a date"),
        (list(range(COUNT)), "identifier"),
        ([f"{n:04}-XY{n % 7}" for n in range(COUNT)], "identifier"),
        (["x"] * COUNT, "nothing to tell apart"),
        (pl.Series([None] * COUNT, dtype=pl.String), "holds nothing"),
        (TEXTS, "free text"),
        ([f"k{n % 150}" for n in range(COUNT)], "classes that repeat"),
        (["a"] * (COUNT - 1) + ["b"], "two classes with two examples"),
        ([b"x"] * COUNT, "holds images"),
    ],
)
def test_outputs_that_cannot_be_predicted(values: object, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        infer(table(a=NUMBERS, out=values), output="out")


def test_words_are_not_regressed_on() -> None:
    with pytest.raises(SourceError, match="no number: 'a', 'b'"):
        infer(table(a=NUMBERS, out=LABELS), output="out", task="regression")


def test_all_unknown_names_are_told_at_once_with_the_nearest() -> None:
    with pytest.raises(SourceError) as caught:
        infer(table(price=NUMBERS, label=LABELS), output="lable", inputs=("pirce",))
    assert [fault.todo for fault in caught.value.faults] == ["did you mean label?", "did you mean price?"]


def test_too_few_examples_say_how_many_are_needed() -> None:
    frame = table(a=NUMBERS, label=LABELS)
    with pytest.raises(SourceError, match=f"at least {FEWEST_EXAMPLES}"):
        infer(frame.head(3), output="label")
    assert infer(frame.head(FEWEST_EXAMPLES), output="label").task == "classification"


def test_nothing_left_to_predict_from_says_why() -> None:
    with pytest.raises(SourceError, match="id counts the examples"):
        infer(table(id=range(COUNT), label=LABELS), output="label")
    with pytest.raises(SourceError, match="only one column"):
        infer(table(number=NUMBERS), output=None)
