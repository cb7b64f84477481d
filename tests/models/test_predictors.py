from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelwright.data.parts import targets_N
from modelwright.errors import IntegrityError
from modelwright.models.fitting.constant import fit_constant
from modelwright.models.fitting.linear import fit_linear
from modelwright.models.fitting.neighbours import fit_neighbours
from modelwright.models.fitting.rule import fit_rule
from modelwright.models.fitting.smooth import fit_smooth
from modelwright.models.fitting.trees import fit_trees
from modelwright.models.predictors import Predictions, Predictor, joined, load_predictor, save_predictor
from modelwright.models.predictors.blend import Blend, mean_of
from modelwright.models.predictors.out_of_sample import load_out_of_sample, save_out_of_sample
from modelwright.models.predictors.trees import Trees, spread
from modelwright.records import Column, Schema

FITS = {
    "constant": fit_constant,
    "rule": fit_rule,
    "linear": fit_linear,
    "smooth": fit_smooth,
    "neighbours": fit_neighbours,
    "trees": fit_trees,
}


def answers(predictions: Predictions) -> np.ndarray:
    found = predictions.probabilities_NC if predictions.values_N is None else predictions.values_N
    assert found is not None
    return found


@pytest.fixture(scope="module")
def fitted(toy: Any) -> dict[tuple[str, str], Predictor]:
    found: dict[tuple[str, str], Predictor] = {}
    for name, fit in FITS.items():
        found[name, "classification"] = fit(toy.schema, toy.train, seed=0)
        found[name, "regression"] = fit(toy.values, toy.train, seed=0)
    for task in ("classification", "regression"):
        members = (found["linear", task], found["trees", task])
        found["blend", task] = Blend(members[0].schema, members, (0.25, 0.75))
    return found


@pytest.fixture(params=[(name, task) for name in [*FITS, "blend"] for task in ("classification", "regression")])
def predictor(request: pytest.FixtureRequest, fitted: dict[tuple[str, str], Predictor]) -> Predictor:
    return fitted[request.param]


def test_loading_changes_nothing_at_all(predictor: Predictor, toy: Any, tmp_path: Path) -> None:
    save_predictor(predictor, tmp_path)
    loaded = load_predictor(tmp_path)
    assert loaded.schema == predictor.schema and loaded.kind == predictor.kind
    np.testing.assert_array_equal(answers(loaded.predict(toy.other)), answers(predictor.predict(toy.other)))


def test_other_columns_and_their_order_change_nothing(predictor: Predictor, toy: Any) -> None:
    shuffled = toy.other.select(*reversed(predictor.schema.names)).with_columns(pl.lit("x").alias("unknown"))
    np.testing.assert_array_equal(answers(predictor.predict(shuffled)), answers(predictor.predict(toy.other)))


def test_numbers_and_dates_as_text_are_read(predictor: Predictor, toy: Any) -> None:
    """As a form or a JSON body sends them: "3", "2020-05-01", "true"."""
    spoken = toy.other.select(pl.col(predictor.schema.names).cast(pl.String))
    found, meant = answers(predictor.predict(spoken)), answers(predictor.predict(toy.other))
    np.testing.assert_allclose(found, meant, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "cells",
    [
        [None, None],
        ["never seen", ""],
        ["12", " 3.5 "],
        [7, -1],
        [float("nan"), float("inf")],
        [True, None],
        [[1], [2, 3]],
        [b"\x00\xff", b""],
        [{"a": 1}, {"a": 2}],
        ["\ud7ff" * 3, "9" * 400],
        None,
    ],
    ids=str,
)
def test_strange_cells_are_answered(predictor: Predictor, cells: list[Any] | None) -> None:
    columns = {"unknown": [1, 2]} if cells is None else {name: cells for name in predictor.schema.names}
    found = answers(predictor.predict(pl.DataFrame(columns)))
    assert len(found) == 2 and np.isfinite(found).all()


def test_a_damaged_folder_is_an_integrity_error(predictor: Predictor, tmp_path: Path) -> None:
    save_predictor(predictor, tmp_path)
    own = sorted(path for path in tmp_path.iterdir() if path.name != "predictor.json" and path.is_file())
    for path in own:
        held = path.read_bytes()
        path.write_bytes(held[: len(held) // 2])
        with pytest.raises(IntegrityError):
            load_predictor(tmp_path)
        path.unlink()
        with pytest.raises(IntegrityError):
            load_predictor(tmp_path)
        path.write_bytes(held)
    assert own or predictor.kind == "constant"


@pytest.mark.parametrize("name", [name for name in FITS if name != "rule"])
def test_a_class_that_train_lacks_is_possible_but_not_expected(name: str, toy: Any) -> None:
    schema = Schema("classification", "table", toy.schema.inputs, "churn", ("maybe", "no", "yes"))
    found = FITS[name](schema, toy.train, seed=0).predict(toy.other)
    assert found.probabilities_NC is not None and found.probabilities_NC.shape == (60, 3)
    assert found.probabilities_NC[:, 0].max() < 1e-3


@pytest.mark.parametrize("name", list(FITS))
def test_three_examples_are_enough_to_fit(name: str, toy: Any) -> None:
    few = toy.train.filter(pl.col("churn") == "no").head(2).vstack(toy.train.filter(pl.col("churn") == "yes").head(1))
    assert len(FITS[name](toy.schema, few, seed=0).predict(toy.other)) == 60
    assert len(FITS[name](toy.values, few, seed=0).predict(toy.other)) == 60


@pytest.mark.parametrize("name", list(FITS))
def test_columns_that_say_nothing_are_fitted(name: str) -> None:
    """A column of one value, one of nulls alone, and empty text."""
    frame = pl.DataFrame(
        {"a": [1.0] * 30, "b": [None] * 30, "c": ["x"] * 30, "d": [""] * 30, "y": ["u", "v", "v"] * 10}
    )
    kinds = (Column("a", "number"), Column("b", "number"), Column("c", "category"), Column("d", "text"))
    schema = Schema("classification", "table", kinds, "y", ("u", "v"))
    found = FITS[name](schema, frame, seed=0).predict(frame).probabilities_NC
    np.testing.assert_allclose(found[:, 1], 2 / 3, atol=0.1)


@pytest.mark.parametrize("name", ["rule", "linear", "trees"])
def test_empty_texts_are_fitted(name: str) -> None:
    frame = pl.DataFrame({"text": [""] * 30, "y": ["u", "v", "v"] * 10})
    schema = Schema("classification", "text", (Column("text", "text"),), "y", ("u", "v"))
    found = FITS[name](schema, frame, seed=0).predict(frame).probabilities_NC
    np.testing.assert_allclose(found[:, 1], 2 / 3, atol=0.1)


def test_a_blend_is_the_weighted_mean() -> None:
    """0.25 * [.2, .8] + 0.75 * [.6, .4] = [.5, .5]; 0.25 * 10 + 0.75 * 2 = 4."""
    classes = [Predictions(np.array([[0.2, 0.8]])), Predictions(np.array([[0.6, 0.4]]))]
    np.testing.assert_allclose(mean_of(classes, (0.25, 0.75)).probabilities_NC, [[0.5, 0.5]])
    values = [Predictions(values_N=np.array([10.0])), Predictions(values_N=np.array([2.0]))]
    np.testing.assert_allclose(mean_of(values, (0.25, 0.75)).values_N, [4.0])


def test_probabilities_of_the_classes_seen_are_spread_over_all() -> None:
    """Two of three classes seen: [.3, .7] stands in their columns; one seen: it is certain."""
    np.testing.assert_allclose(spread(np.array([0.7]), np.array([0, 2]), 3), [[0.3, 0, 0.7]], atol=1e-8)
    np.testing.assert_allclose(spread(np.array([0.5]), np.array([1]), 3), [[0, 1, 0]], atol=1e-8)
    seen_three = spread(np.array([[0.2, 0.3, 0.5]]), np.array([0, 1, 2]), 3)
    np.testing.assert_allclose(seen_three, [[0.2, 0.3, 0.5]], atol=1e-8)


def test_trees_say_which_columns_told_most(fitted: dict[tuple[str, str], Predictor]) -> None:
    """The bill is 10 a visit and 20 more in Oslo, whatever else stands there."""
    trees = fitted["trees", "regression"]
    assert isinstance(trees, Trees)
    assert list(trees.importance())[:2] == ["visits", "city"]
    assert "visits" in trees.describes


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_fitting_reads_no_more_than_train_and_repeats_itself(task: str, toy: Any) -> None:
    schema = toy.schema if task == "classification" else toy.values
    for fit in FITS.values():
        first, again = (answers(fit(schema, toy.train, seed=3).predict(toy.other)) for _ in range(2))
        np.testing.assert_array_equal(first, again)


def test_linear_smooth_and_trees_learn_the_table(fitted: dict[tuple[str, str], Predictor], toy: Any) -> None:
    truth_N = targets_N(toy.values, toy.other)
    for name in ("linear", "trees", "blend"):
        found = answers(fitted[name, "regression"].predict(toy.other))
        assert 1 - ((found - truth_N) ** 2).mean() / truth_N.var() > 0.9, name
        classes = fitted[name, "classification"].predict(toy.other).indices_N
        assert (classes == targets_N(toy.schema, toy.other)).mean() > 0.85, name


def test_answers_kept_beside_a_predictor_come_back(tmp_path: Path) -> None:
    parts = [Predictions(np.array([[0.2, 0.8]])), Predictions(np.array([[0.6, 0.4], [1.0, 0.0]]))]
    save_out_of_sample(tmp_path, np.array([5, 1, 3]), joined(parts))
    positions_N, found = load_out_of_sample(tmp_path)
    assert positions_N.tolist() == [5, 1, 3]
    np.testing.assert_array_equal(found.probabilities_NC, [[0.2, 0.8], [0.6, 0.4], [1.0, 0.0]])
    save_out_of_sample(tmp_path, np.array([2]), Predictions(values_N=np.array([7.5])))
    assert load_out_of_sample(tmp_path)[1].values_N.tolist() == [7.5]
