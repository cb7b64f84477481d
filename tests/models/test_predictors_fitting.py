from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.neighbors import KNeighborsRegressor

from modelwright.models.encode import find_encoder
from modelwright.models.fitting.folds import folds_N, folds_within, out_of_fold
from modelwright.models.fitting.linear import fit_linear
from modelwright.models.fitting.neighbours import fit_neighbours
from modelwright.models.fitting.rule import fit_rule
from modelwright.models.fitting.strength import least
from modelwright.models.fitting.trees import allowed_rounds, fit_trees, on_log_scale, read_table
from modelwright.models.predictors.constant import Constant
from modelwright.models.predictors.neighbours import Voting, nearest, vote
from modelwright.models.predictors.rule import Line, Rule
from modelwright.records import Column, Dataset, Schema, Seal

TEXT = Schema("classification", "text", (Column("t", "text"),), "y", ("ham", "spam"), "spam")
NUMBER = (Column("n", "number"),)


def dataset(schema: Schema, split: str) -> Dataset:
    return Dataset("d", "", schema, {}, schema.classes, {}, (), Seal(0, 0, 20), "", "", split, 0.0)


def test_folds_are_even_class_by_class() -> None:
    """60 of one class and 10 of another into 5 folds: 12 and 2 in each."""
    targets_N = np.array([0] * 60 + [1] * 10)
    fold_N = folds_N(targets_N, 5, seed=0, stratified=True)
    for fold in range(5):
        assert np.bincount(targets_N[fold_N == fold]).tolist() == [12, 2]
    assert (folds_N(targets_N, 5, seed=1, stratified=True) != fold_N).any()


def test_groups_stay_in_one_fold() -> None:
    groups_N = np.repeat(np.arange(20), 7)
    fold_N = folds_N(np.zeros(140), 5, seed=0, stratified=False, groups_N=groups_N)
    assert all(len(set(fold_N[groups_N == group])) == 1 for group in range(20))
    assert np.bincount(fold_N).tolist() == [28] * 5


def test_folds_keep_apart_what_the_split_kept_apart() -> None:
    frame = pl.DataFrame({"t": ["a", "b"] * 20, "y": ["ham", "spam"] * 20})
    assert folds_within(dataset(TEXT, "80/10/10 by time (day)"), frame, 5, seed=0) is None
    assert folds_within(dataset(TEXT, "80/10/10, groups of team kept whole"), frame, 5, seed=0) is None
    twins = folds_within(dataset(TEXT, "80/10/10, stratified by y, twins kept together"), frame, 5, seed=0)
    assert twins is not None and len(set(twins[::2])) == 1 and len(set(twins[1::2])) == 1
    plain = folds_within(dataset(TEXT, "80/10/10, stratified by y"), frame, 5, seed=0)
    assert plain is not None and np.bincount(plain).tolist() == [8] * 5


def test_out_of_fold_answers_come_from_the_other_folds() -> None:
    """Values 0..5 in 3 folds of two: without 0 and 3 the mean is 3, without 1 and 4 it is 2.5, and so on."""
    schema = Schema("regression", "table", NUMBER, "y")
    frame = pl.DataFrame({"n": range(6), "y": [0.0, 1, 2, 3, 4, 5]})

    def mean(schema: Schema, train: pl.DataFrame, *, seed: int) -> Constant:
        return Constant(schema, (float(train["y"].mean()),))  # type: ignore[arg-type]

    found = out_of_fold(mean, schema, frame, np.array([0, 1, 2, 0, 1, 2]), seed=0)
    assert found.values_N is not None
    np.testing.assert_allclose(found.values_N, [3, 2.5, 2, 3, 2.5, 2])


def test_a_rule_of_words_is_found_and_said() -> None:
    """ "free" stands in 20 of 20 spam and in no ham: it is the one word that mends errors."""
    frame = pl.DataFrame(
        {"t": ["free money now", "see you now"] * 20 + ["hello there"] * 10, "y": ["spam", "ham"] * 20 + ["ham"] * 10}
    )
    rule = fit_rule(TEXT, frame, seed=0)
    assert rule.describes == "t contains 'free' → spam; otherwise → ham"
    found = rule.predict(pl.DataFrame({"t": ["It is FREE!", "freedom", ""]}))
    assert found.indices_N.tolist() == [1, 0, 0]


def test_a_rule_of_one_number_is_found_and_said() -> None:
    """y is yes from n = 51 on; the other column is noise. The cut stands half-way, at 50.5."""
    generator = np.random.default_rng(0)
    frame = pl.DataFrame(
        {"n": range(100), "noise": generator.normal(size=100), "y": ["no" if n < 51 else "yes" for n in range(100)]}
    )
    schema = Schema("classification", "table", (Column("noise", "number"), *NUMBER), "y", ("no", "yes"))
    rule = fit_rule(schema, frame, seed=0)
    assert rule.describes == "n ≤ 50.5 → no; otherwise → yes"
    assert rule.predict(pl.DataFrame({"n": [3.0, 99.0, None]})).indices_N.tolist() == [0, 1, 1]


def test_a_rule_looks_up_a_category() -> None:
    frame = pl.DataFrame({"c": ["a", "b", "c"] * 20, "y": [1.0, 5.0, 9.0] * 20})
    schema = Schema("regression", "table", (Column("c", "category"),), "y")
    rule = fit_rule(schema, frame, seed=0)
    found = rule.predict(pl.DataFrame({"c": ["a", "b", "c", "new", None]})).values_N
    assert found is not None
    # 20 examples of a and one example's worth of the overall mean 5: (20 * 1 + 5) / 21.
    np.testing.assert_allclose(found, [25 / 21, 5, 185 / 21, 5, 5])
    assert "c is 'a' → 1.19" in rule.describes


def test_the_first_line_that_holds_answers() -> None:
    lines = (
        Line("contains", (0.1, 0.9), term="free"),
        Line("contains", (0.8, 0.2), term="see you"),
        Line("always", (0.6, 0.4)),
    )
    rule = Rule(TEXT, ("t",), "", lines)
    found = rule.predict(pl.DataFrame({"t": ["see you, free bird", "We see you", "you see", None]}))
    assert found.probabilities_NC is not None
    np.testing.assert_allclose(found.probabilities_NC[:, 1], [0.9, 0.2, 0.4, 0.4])


def test_the_nearest_are_found_as_by_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    known_MD, asked_ND = (generator.normal(size=(count, 3)).astype(np.float32) for count in (200, 30))
    values_M = generator.normal(size=200)
    nearest_NK, squares_NK = nearest(asked_ND, known_MD, 5)
    assert (np.diff(squares_NK, axis=1) >= 0).all()
    schema = Schema("regression", "table", NUMBER, "y")
    found = vote(schema, values_M[nearest_NK], squares_NK, Voting(5), values_M.mean())
    expected = KNeighborsRegressor(5).fit(known_MD, values_M).predict(asked_ND)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_votes_by_hand() -> None:
    """Neighbours of classes 0, 0, 1 with equal votes: shares 2/3 and 1/3, worth 3 votes. With 0.5 of the overall
    shares (1/2, 1/2): (3 * 2/3 + 0.25) / 3.5 = 9/14. A barred neighbour (infinitely far) has no vote.
    """
    prior = np.array([0.5, 0.5])
    found = vote(TEXT, np.array([[0, 0, 1]]), np.array([[1.0, 2.0, 3.0]]), Voting(3), prior)
    np.testing.assert_allclose(found, [[9 / 14, 5 / 14]])
    barred = vote(TEXT, np.array([[0, 1, 1]]), np.array([[1.0, np.inf, np.inf]]), Voting(3), prior)
    np.testing.assert_allclose(barred, [[1.25 / 1.5, 0.25 / 1.5]])


def test_neighbours_out_of_fold_do_not_ask_their_fold() -> None:
    """Four pairs of twins, each pair in one fold: the answer must come from another pair."""
    frame = pl.DataFrame({"n": [0.0, 0.0, 1.0, 1.0, 5.0, 5.0, 6.0, 6.0], "y": ["ham"] * 2 + ["spam"] * 2 + ["ham"] * 4})
    schema = Schema("classification", "table", NUMBER, "y", ("ham", "spam"))
    found = fit_neighbours(schema, frame, seed=0).out_of_fold(np.repeat(np.arange(4), 2))
    assert found.indices_N[2:4].tolist() == [0, 0]


@pytest.mark.skipif(find_encoder() is None, reason="no pre-trained sentence encoder is on this machine")
def test_text_has_neighbours_in_meaning() -> None:
    frame = pl.DataFrame(
        {
            "t": ["my dog is ill", "the puppy barks", "buy cheap pills", "win money today"] * 3,
            "y": ["ham", "ham", "spam", "spam"] * 3,
        }
    )
    found = fit_neighbours(TEXT, frame, seed=0).predict(pl.DataFrame({"t": ["a hound", "you won cash"]}))
    assert found.indices_N.tolist() == [0, 1]


def test_text_margins_become_calibrated_probabilities() -> None:
    """A word that means spam 9 times in 10: the answer to it is near .9, not 1."""
    generator = np.random.default_rng(0)
    filler = [" ".join(generator.choice(list("abcdefgh"), 3)) for _ in range(1000)]
    offer = np.arange(1000) % 2 == 0
    spam = generator.random(1000) < np.where(offer, 0.9, 0.1)
    frame = pl.DataFrame({"t": [f"{'offer' if o else 'meeting'} {f}" for o, f in zip(offer, filler, strict=True)]})
    frame = frame.with_columns(pl.Series("y", np.where(spam, "spam", "ham")))
    found = fit_linear(TEXT, frame, seed=0).predict(pl.DataFrame({"t": ["offer a b c", "meeting a b c"]}))
    assert found.probabilities_NC is not None
    np.testing.assert_allclose(found.probabilities_NC[:, 1], [0.9, 0.1], atol=0.06)


def test_a_linear_model_does_not_run_away_beyond_what_it_has_seen() -> None:
    """y = n on 0..99: what lies beyond is answered with at most a tenth of the range more."""
    frame = pl.DataFrame({"n": [float(n) for n in range(100)], "y": [float(n) for n in range(100)]})
    schema = Schema("regression", "table", NUMBER, "y")
    found = fit_linear(schema, frame, seed=0).predict(pl.DataFrame({"n": [50.0, 1e12, -1e12]})).values_N
    assert found is not None
    assert abs(found[0] - 50) < 1 and 95 < found[1] <= 108.9 and -9.9 <= found[2] < 5


def test_a_linear_model_keeps_to_the_range_of_the_values() -> None:
    """y = a + b where b is 100 - a but for a little: all values lie in 90..110, so 200 is answered with at most 112."""
    generator = np.random.default_rng(0)
    a, y = np.arange(100.0), 100 + 10 * np.sin(np.arange(100))
    frame = pl.DataFrame({"a": a, "b": y - a, "y": y}).with_columns(pl.Series("c", generator.normal(size=100)))
    schema = Schema("regression", "table", (Column("a", "number"), Column("b", "number")), "y")
    found = fit_linear(schema, frame, seed=0).predict(pl.DataFrame({"a": [99.0], "b": [101.0]})).values_N
    assert found is not None and 109 < found[0] <= 112


def test_strengths_are_walked_downhill() -> None:
    """The walk starts at the fourth of six and ends at the bottom of the valley, on either side."""
    strengths = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    for bottom in strengths:
        asked: list[float] = []
        found = least(lambda each, bottom=bottom, asked=asked: asked.append(each) or abs(each - bottom), strengths)
        assert found == (0, bottom) and len(asked) <= 6


def test_skewed_values_are_tried_on_the_logarithmic_scale() -> None:
    generator = np.random.default_rng(0)
    n = generator.random(400)
    frame = pl.DataFrame({"n": n, "y": np.exp(6 * n + 0.2 * generator.normal(size=400))})
    schema = Schema("regression", "table", NUMBER, "y")
    table = read_table(schema, frame, seed=0)
    logged = on_log_scale(table)
    assert logged is not None
    np.testing.assert_allclose(np.expm1(logged.targets_N), table.targets_N)
    found = fit_trees(schema, frame, seed=0).predict(frame).values_N
    assert found is not None and 0.9 < np.median(found / frame["y"].to_numpy()) < 1.1
    even = read_table(schema, frame.with_columns(y=pl.col("n") - 0.5), seed=0)
    assert on_log_scale(even) is None


def test_column_names_may_hold_anything() -> None:
    names = ["char_freq_;", "char_freq_(", "a,b", '"quoted"', "a:b", "é"]
    generator = np.random.default_rng(0)
    frame = pl.DataFrame({name: generator.normal(size=60) for name in names})
    frame = frame.with_columns(pl.Series("y", np.where(frame["char_freq_;"].to_numpy() > 0, "b", "a")))
    schema = Schema("classification", "table", tuple(Column(name, "number") for name in names), "y", ("a", "b"))
    assert (fit_trees(schema, frame, seed=0).predict(frame).indices_N == (frame["y"] == "b").to_numpy()).mean() > 0.9


def test_dearer_rounds_are_fewer(toy) -> None:  # type: ignore[no-untyped-def]
    table = read_table(toy.schema, toy.train, seed=0)
    assert allowed_rounds(table, 1.0) > allowed_rounds(table, 0.1) >= 20
    assert allowed_rounds(table, 1.0, fits=5) < allowed_rounds(table, 1.0)
