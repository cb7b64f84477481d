from __future__ import annotations

import io
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer

from modelwright.errors import IntegrityError
from modelwright.models.features.categories import Categories, fit_categories
from modelwright.models.features.design import fit_design
from modelwright.models.features.frame import date_parts_NP, dates, numbers_NP, strings, texts
from modelwright.models.features.images import gradients_NF, pixels_NSSC
from modelwright.models.features.landmarks import at_landmarks
from modelwright.models.features.numbers import Numbers, fit_numbers, raw_names, raw_NP
from modelwright.models.features.ordinals import Ordinals, fit_ordinals
from modelwright.models.features.stored import load_state, save_state
from modelwright.models.features.text import Terms, fit_terms, fit_topics
from modelwright.records import Column, Schema

DOCUMENTS = [
    "Where is my refund?",
    "my card, MY CARD is gone!",
    "",
    "the refund of the card",
    "Größe und Preis",
    "where are you",
]


def test_numbers_are_read_from_whatever_type() -> None:
    frame = pl.DataFrame({"a": ["1", " 2.5 ", "x", None], "b": [True, False, None, True], "c": [1, 2, 3, 4]})
    nan = np.nan
    expected = [[1, 1, 1, nan], [2.5, 0, 2, nan], [nan, nan, 3, nan], [nan, 1, 4, nan]]
    np.testing.assert_array_equal(numbers_NP(frame, ["a", "b", "c", "missing"]), expected)
    wild = pl.DataFrame({"a": [float("inf"), float("-inf"), float("nan"), 1e300]})
    np.testing.assert_array_equal(numbers_NP(wild, ["a"]), [[nan], [nan], [nan], [1e300]])
    kinds = pl.DataFrame({"a": pl.Series(["7", "x"], dtype=pl.Categorical), "b": pl.Series([1, 2], dtype=pl.Decimal)})
    np.testing.assert_array_equal(numbers_NP(kinds, ["a", "b"]), [[7, 1], [nan, 2]])


def test_a_value_reads_as_the_same_text_in_whatever_type() -> None:
    assert strings(pl.DataFrame({"a": [1, 2, None]}), "a") == ["1", "2", None]
    assert strings(pl.DataFrame({"a": [1.0, 2.5, float("nan")]}), "a") == ["1", "2.5", "NaN"]
    assert strings(pl.DataFrame({"a": [True, False]}), "a") == ["true", "false"]
    assert strings(pl.DataFrame({"a": [" x ", "", "  "]}), "a") == ["x", None, None]
    assert strings(pl.DataFrame({"a": [[1], [2]]}), "a") == [None, None]
    assert strings(pl.DataFrame({"b": [1]}), "a") == [None]


def test_text_columns_are_joined() -> None:
    frame = pl.DataFrame({"subject": ["Hi", None], "body": ["there", "alone"]})
    assert texts(frame, ["subject", "body"]) == ["Hi\nthere", "alone"]
    assert texts(frame, ["subject"]) == ["Hi", ""]


@pytest.mark.parametrize(
    "cell",
    [
        "2024-03-05T06:07:00",
        "2024-03-05 06:07:00",
        "2024-03-05 06:07",
        "2024-03-05T06:07:00Z",
        "2024-03-05T06:07:00.000",
        datetime(2024, 3, 5, 6, 7),
        datetime(2024, 3, 5, 6, 7, tzinfo=UTC),
    ],
)
def test_a_date_is_read_however_it_is_written(cell: str | datetime) -> None:
    assert dates(pl.DataFrame({"d": [cell]}), "d").to_list() == [datetime(2024, 3, 5, 6, 7)]


def test_the_parts_of_a_date() -> None:
    """1970-01-02 06:30 is 1 + 6.5 / 24 days after 1970; it was a Friday, day 5 of the week."""
    frame = pl.DataFrame({"d": ["1970-01-02 06:30", "no date", None]})
    parts_NP = date_parts_NP(frame, "d")
    np.testing.assert_allclose(parts_NP[0], [1 + 6.5 / 24, 1970, 1, 2, 5, 6, 30])
    assert np.isnan(parts_NP[1:]).all()
    assert date_parts_NP(pl.DataFrame({"d": [date(1970, 1, 1)]}), "d")[0].tolist() == [0, 1970, 1, 1, 4, 0, 0]


def test_the_days_between_dates_are_features() -> None:
    frame = pl.DataFrame(
        {"to": [date(2024, 3, 1), None], "x": [1.0, 2.0], "from": [date(2024, 2, 1), date(2024, 1, 1)]}
    )
    names = raw_names(("x",), ("from", "to"))
    assert names[0] == "x"
    assert names[-1] == "days from from to to"
    values_NP = raw_NP(frame, ("x",), ("from", "to"))
    assert values_NP.shape == (2, len(names))
    assert values_NP[0, -1] == 29
    assert np.isnan(values_NP[1, -1])
    assert sum(name.startswith("days from") for name in raw_names((), tuple("abcdefgh"))) == 10


def test_numbers_are_standardised_and_missing_ones_are_marked() -> None:
    """[1, 3, missing]: mean 2, deviation 1, so -1, 1 and 0, with a mark on the third; a constant is left out."""
    frame = pl.DataFrame({"a": [1.0, 3.0, None], "b": [5.0, 5.0, 5.0]})
    fitted = fit_numbers(frame, ("a", "b"), (), bent=False)
    # The quantiles .005 and .995 of two values lie 1% inside, 1.01 and 2.99: they scale to -1 and 1 again.
    np.testing.assert_allclose(fitted.transform(frame), [[-1, 0], [1, 0], [0, 1]], atol=1e-9)
    beyond = fitted.transform(pl.DataFrame({"a": [1e9, -1e9], "b": [0.0, 0.0]}))
    np.testing.assert_allclose(beyond, [[1, 0], [-1, 0]], atol=1e-9)


def test_a_bent_number_is_piecewise_linear() -> None:
    """Knots at the values 0, 10, 30: 20 lies past the first piece and half-way through the second."""
    frame = pl.DataFrame({"a": [0.0] * 100 + [10.0] * 100 + [30.0] * 100})
    fitted = fit_numbers(frame, ("a",), (), bent=True)
    found = fitted.transform(pl.DataFrame({"a": [20.0, 5.0, -3.0, None]}))
    np.testing.assert_allclose(found[:, -2:], [[1, 0.5], [0.5, 0], [0, 0], [0, 0]])
    again = Numbers.from_state(fitted.state())
    np.testing.assert_array_equal(again.transform(frame), fitted.transform(frame))


def test_categories_are_coded_by_how_common_they_are() -> None:
    frame = pl.DataFrame({"c": ["b", "b", "a", "a", "a", "rare", None, "z", "z"]})
    fitted = fit_categories(frame, ("c",), min_count=2, max_values=2)
    assert fitted.values == ({"a": 0, "b": 1},)
    asked = pl.DataFrame({"c": ["a", "b", "z", None, "new"]})
    assert fitted.codes_NP(asked)[:, 0].tolist() == [0, 1, -2, -1, -2]
    # One column each for another, missing, a, b.
    expected = [[0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]]
    assert fitted.transform(asked).toarray().tolist() == expected
    assert Categories.from_state(fitted.state()) == fitted


@pytest.mark.parametrize(("unit", "sizes"), [("word", (1, 2)), ("char_wb", (2, 4))])
def test_terms_are_weighed_as_scikit_learn_does(unit: str, sizes: tuple[int, int]) -> None:
    pattern = {"token_pattern": r"(?u)\b\w+\b"} if unit == "word" else {}
    oracle = TfidfVectorizer(analyzer=unit, ngram_range=sizes, sublinear_tf=True, min_df=2, **pattern)
    expected = oracle.fit_transform(DOCUMENTS).toarray()
    terms, weights = fit_terms(DOCUMENTS, unit, sizes, min_count=2, max_terms=1000)
    assert list(terms.terms) == oracle.get_feature_names_out().tolist()
    np.testing.assert_allclose(weights.toarray(), expected, atol=1e-6)
    again = Terms.from_state(terms.state())
    np.testing.assert_array_equal(again.transform(DOCUMENTS).toarray(), weights.toarray())


def test_topics_are_the_singular_vectors() -> None:
    frame = pl.DataFrame({"t": DOCUMENTS * 3})
    topics = fit_topics(frame, ("t",), components=3, seed=0)
    weights = topics.text.transform(frame).toarray()
    exact = np.linalg.svd(weights, full_matrices=False)
    found = topics.transform(frame)
    np.testing.assert_allclose(np.abs(found), np.abs(exact.U[:, :3] * exact.S[:3]), atol=1e-4)


def test_an_image_is_read_and_what_is_none_is_grey() -> None:
    file = io.BytesIO()
    Image.fromarray(np.full((40, 20), 255, dtype=np.uint8)).save(file, "PNG")
    found = pixels_NSSC([file.getvalue(), b"not an image", None], 8)
    assert found.shape == (3, 8, 8, 3)
    assert (found[0] == 1).all() and (found[1:] == 0.5).all()


def test_gradients_tell_edges_apart_but_not_brightness() -> None:
    upright = np.zeros((1, 32, 32, 3), dtype=np.float32)
    upright[:, :, 16:] = 0.5
    flat = upright.transpose(0, 2, 1, 3)
    assert np.abs(gradients_NF(upright) - gradients_NF(flat)).max() > 0.3
    np.testing.assert_allclose(gradients_NF(upright), gradients_NF(upright + 0.3), atol=1e-5)


def test_landmarks_reproduce_the_kernel_among_themselves() -> None:
    """With whitening, products of features are the kernel: exp(-rate * d²) (Williams & Seeger 2001)."""
    generator = np.random.default_rng(0)
    frame = pl.DataFrame({"a": generator.normal(size=12), "b": generator.normal(size=12)})
    schema = Schema("regression", "table", (Column("a", "number"), Column("b", "number")), "y")
    design, points_ND = fit_design(schema, frame)
    near = at_landmarks(design, np.asarray(points_ND), 0.5).transform(frame)
    squares = ((points_ND[:, None, :] - points_ND[None, :, :]) ** 2).sum(axis=2)
    np.testing.assert_allclose(near @ near.T, np.exp(-0.5 * squares), atol=1e-3)


def test_trees_get_numbers_as_they_are_and_unknown_categories_as_missing() -> None:
    frame = pl.DataFrame({"n": [1.0, None, 3.0], "c": ["a", "a", "b"]})
    schema = Schema("regression", "table", (Column("n", "number"), Column("c", "category")), "y")
    fitted = fit_ordinals(schema, frame, seed=0)
    assert fitted.names == ["n", "c"] and fitted.coded == [1]
    nan = np.nan
    np.testing.assert_array_equal(fitted.transform(frame), [[1, 0], [nan, 0], [3, nan]])
    again = Ordinals.from_state(fitted.state())
    np.testing.assert_array_equal(again.transform(frame), fitted.transform(frame))


def test_state_comes_back_from_disk(tmp_path: Path) -> None:
    sparse = hstack([csr_matrix(np.eye(3)), csr_matrix((3, 2))], format="csr")
    state = {"a": np.arange(4.0), "b": [{"c": np.zeros((0, 2), dtype=np.float32)}, "\ud800", None, True], "d": sparse}
    save_state(tmp_path, "x", state)
    found = load_state(tmp_path, "x")
    np.testing.assert_array_equal(found["a"], state["a"])
    assert found["b"][0]["c"].shape == (0, 2) and found["b"][1:] == ["\ud800", None, True]
    assert (found["d"] != sparse).nnz == 0
    (tmp_path / "x.safetensors").write_bytes(b"short")
    with pytest.raises(IntegrityError):
        load_state(tmp_path, "x")
