"""Numbers that texts name, texts beside other columns, and values that grow by factors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_matrix
from sklearn.metrics import roc_auc_score

from modelwright.models.features.quantities import Quantities, fit_quantities, quantities_in
from modelwright.models.features.text import fit_terms
from modelwright.models.fitting.folds import folds_N
from modelwright.models.fitting.linear import fit_linear
from modelwright.models.fitting.opinions import fit_opinions
from modelwright.models.fitting.ridge import held_values, ridge
from modelwright.models.fitting.skewed import is_skewed
from modelwright.models.fitting.strength import by_fits
from modelwright.models.fitting.trees import fit_trees, read_table
from modelwright.models.predictors import load_predictor, save_predictor
from modelwright.records import Column, Schema

ADVERT = Schema("regression", "text", (Column("advert", "text"),), "rent")
CLAIM = Schema("classification", "table", (Column("age", "number"), Column("note", "text")), "y", ("no", "yes"), "yes")


@pytest.mark.parametrize(
    ("text", "quantity", "value"),
    [
        ("2-Zimmer-Wohnung, 72m2", ("after", "zimmer"), 2),
        ("2-Zimmer-Wohnung, 72m2", ("after", "m2"), 72),
        ("2-Zimmer-Wohnung, 72m2", ("first", ""), 2),
        ("2-Zimmer-Wohnung, 72m2", ("largest", ""), 72),
        ("ca. 72,5 m² in Bonn", ("after", "m²"), 72.5),
        ("built in 1998.", ("before", "in"), 1998),
        ("Price: $1,250.50", ("before", "$"), 1250.5),
        ("1.250,50 €", ("after", "€"), 1250.5),
        ("1.250 km", ("after", "km"), 1250),
        ("0.5 mg", ("after", "mg"), 0.5),
        ("1,000,000 rows", ("after", "rows"), 1e6),
        ("15% off", ("after", "%"), 15),
        ("3 cats, 4 cats", ("after", "cats"), 3),
    ],
)
def test_a_number_is_found_by_the_word_beside_it(text: str, quantity: tuple[str, str], value: float) -> None:
    assert quantities_in(text)[quantity] == value


def test_no_number_is_made_up() -> None:
    assert quantities_in("m2 and B2B are words, not numbers") == {}
    assert quantities_in("") == {}


def test_only_quantities_that_are_common_and_vary_are_kept() -> None:
    texts = [f"{n} rooms in block 7" for n in range(50)] + ["3 dogs"]
    fitted = fit_quantities(pl.DataFrame({"t": texts}), ("t",))
    assert set(fitted.kept) == {("after", "rooms"), ("first", ""), ("largest", "")}
    assert fitted.names[fitted.kept.index(("after", "rooms"))] == 'number before "rooms" in t'
    unseen = pl.DataFrame({"t": ["4 rooms", "none", "9" * 400 + " rooms", None]})
    raw = fitted.raw_NP(unseen)[:, fitted.kept.index(("after", "rooms"))]
    np.testing.assert_array_equal(raw, [4, np.nan, np.nan, np.nan])
    assert np.isfinite(fitted.transform(unseen)).all()
    again = Quantities.from_state(fitted.state())
    np.testing.assert_array_equal(again.transform(unseen), fitted.transform(unseen))


def test_terms_without_unit_length_weigh_the_same_in_any_text() -> None:
    texts = ["garden", "garden and a balcony, quiet, near the park"]
    terms, weights = fit_terms(texts, "word", (1, 1), min_count=1, max_terms=100, unit_length=False)
    place = terms.terms.index("garden")
    assert weights[0, place] == pytest.approx(weights[1, place])
    assert np.asarray(weights.power(2).sum(axis=1)).mean() == pytest.approx(1, rel=1e-5)


def adverts(count: int) -> pl.DataFrame:
    """Rents that are the square metres times a price of the town, in adverts of different lengths."""
    generator = np.random.default_rng(0)
    size = generator.integers(20, 140, count)
    town = generator.integers(0, 4, count)
    extras = ["with a balcony", "quiet street", "newly renovated", "close to the park", "no pets"]
    said = [", ".join(generator.permutation(extras)[: generator.integers(0, 5)]) for _ in range(count)]
    rent = size * np.array([8.0, 12.0, 16.0, 22.0])[town] * generator.normal(1, 0.03, count)
    texts = [
        f"{['Flat', 'Home'][n % 2]} of {size[n]} m², {said[n]} in {['Ulm', 'Bonn', 'Kiel', 'Trier'][town[n]]}"
        for n in range(count)
    ]
    return pl.DataFrame({"advert": texts, "rent": rent})


def test_a_linear_model_reads_numbers_and_multiplies(tmp_path: Path) -> None:
    """Words alone cannot tell 60 m² from 90; the sum of weights is a product on the logarithmic scale."""
    frame = adverts(700)
    train, test = frame.head(600), frame.tail(100)
    fitted = fit_linear(ADVERT, train, seed=0)
    assert fitted.logarithm
    found = fitted.predict(test).array
    error = np.abs(found - test["rent"].to_numpy()).mean()
    assert error < 0.06 * test["rent"].mean()
    save_predictor(fitted, tmp_path)
    np.testing.assert_allclose(load_predictor(tmp_path).predict(test).array, found, rtol=1e-5)


def test_values_that_are_negative_or_even_keep_their_scale() -> None:
    even = np.linspace(1, 2, 100)
    assert not is_skewed(even, 0.4) and not is_skewed(np.exp(4 * even) - 100, 0.4) and not is_skewed(even * 0, 0.4)
    assert is_skewed(np.exp(4 * even), 0.4)


def test_inner_products_give_the_answers_of_ridge_regression() -> None:
    generator = np.random.default_rng(0)
    features = csr_matrix(generator.normal(size=(60, 90)) * (generator.random((60, 90)) < 0.2))
    values_N = generator.normal(size=60) + 3
    fold_N = folds_N(values_N, 5, seed=0, stratified=False)
    for alpha in (0.1, 10.0):
        scores, held = held_values(features, values_N, fold_N, 3)(alpha)
        expected, places = by_fits(ridge)(features, values_N, fold_N, 3)(alpha)
        np.testing.assert_array_equal(held, places)
        np.testing.assert_allclose(scores, expected, atol=5e-3)


def notes(count: int) -> pl.DataFrame:
    """Notes of forty words out of two hundred, each of which weighs a little for yes or no, beside an age."""
    generator = np.random.default_rng(1)
    weights = generator.normal(size=200)
    words_NW = np.array([generator.permutation(200)[:40] for _ in range(count)])
    age = generator.normal(size=count)
    score = weights[words_NW].sum(axis=1) / 6 + age
    texts = [" ".join(f"w{word}" for word in row) for row in words_NW]
    return pl.DataFrame({"age": age, "note": texts, "y": np.where(score > 0, "yes", "no")})


def test_an_opinion_about_an_example_comes_from_the_others() -> None:
    """On labels drawn at random an opinion that had seen the label would rank it right nearly always."""
    frame, unseen = notes(400), []
    for seed in range(5):
        targets_N = np.random.default_rng(seed).integers(0, 2, 400)
        (opinion,), (unseen_NK,) = fit_opinions(CLAIM, frame, targets_N, seed=0)
        assert roc_auc_score(targets_N, opinion.transform(frame)[:, 1]) > 0.95
        unseen.append(roc_auc_score(targets_N, unseen_NK[:, 1]))
    assert 0.45 < np.mean(unseen) < 0.55


def test_opinions_are_learned_from_the_first_examples_alone() -> None:
    frame = notes(400)
    flipped = frame.with_columns(pl.when(pl.int_range(400) >= 300).then(pl.lit("no")).otherwise("y").alias("y"))
    tables = [read_table(CLAIM, each, seed=0, learned=300) for each in (frame, flipped)]
    np.testing.assert_array_equal(tables[0].cells_NP, tables[1].cells_NP)


def test_trees_weigh_what_a_text_says_together_with_the_rest(tmp_path: Path) -> None:
    frame = notes(1200)
    train, test = frame.head(1000), frame.tail(200)
    fitted = fit_trees(CLAIM, train, seed=0)
    assert next(iter(fitted.importance())) in ("what note says", "age")
    found = fitted.predict(test).array
    assert roc_auc_score(test["y"] == "yes", found[:, 1]) > 0.85
    save_predictor(fitted, tmp_path)
    np.testing.assert_allclose(load_predictor(tmp_path).predict(test).array, found)
    assert fitted.predict(pl.DataFrame({"age": [1.0], "note": [None]})).array.shape == (1, 2)
