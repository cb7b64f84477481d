"""The answer that serves the metric, not always the likeliest class."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelwright.evaluation.decision import FEWEST, METRICS, SET_METRICS, class_weights, decided, thresholds
from modelwright.evaluation.metrics import METRICS as ALL
from modelwright.evaluation.metrics import find, score
from modelwright.models.predictors import Predictions, load_predictor, save_predictor
from modelwright.models.predictors.constant import Constant
from modelwright.models.predictors.decision import Decision
from modelwright.models.predictors.out_of_sample import as_frame, from_frame
from modelwright.records import Column, Schema

TWO = Schema("classification", "table", (Column("x", "number"),), "y", ("no", "yes"), "yes")
THREE = Schema("classification", "table", (Column("x", "number"),), "y", ("a", "b", "c"))


def weak(schema: Schema, share_C: list[float], count: int, seed: int = 0) -> tuple[np.ndarray, Predictions]:
    """Truths of unequal shares and calibrated, rather unsure probabilities."""
    generator = np.random.default_rng(seed)
    log_NC = np.log(share_C) + generator.normal(scale=0.9, size=(count, len(share_C)))
    table_NC = np.exp(log_NC) / np.exp(log_NC).sum(axis=1, keepdims=True)
    drawn_N = (table_NC.cumsum(axis=1) > generator.random((count, 1))).argmax(axis=1)
    return drawn_N, Predictions(table_NC)


@pytest.mark.parametrize(
    ("metric", "schema", "shares"),
    [("f1", TWO, [0.85, 0.15]), ("macro_f1", TWO, [0.85, 0.15]), ("balanced_accuracy", THREE, [0.7, 0.2, 0.1])],
)
def test_weights_gain_on_examples_that_they_were_not_chosen_on(
    metric: str, schema: Schema, shares: list[float]
) -> None:
    truth_N, answers = weak(schema, shares, 2000)
    weights_C = class_weights(metric, schema, truth_N, answers)
    assert weights_C is not None
    assert weights_C.argmax() == len(shares) - 1, "the rarest class is answered soonest"
    others_N, fresh = weak(schema, shares, 20_000, seed=1)
    before, after = (score(metric, schema, others_N, each) for each in (fresh, replace(fresh, weights_C=weights_C)))
    assert after > before + 0.02


def test_f1_comes_near_to_the_best_threshold_there_is() -> None:
    truth_N, answers = weak(TWO, [0.9, 0.1], 5000)
    weights_C = class_weights("f1", TWO, truth_N, answers)
    assert answers.probabilities_NC is not None
    by_threshold = []
    for least in np.linspace(0.01, 0.99, 99):
        said_N = answers.probabilities_NC[:, 1] > least
        by_threshold.append(2 * (said_N & (truth_N == 1)).sum() / (said_N.sum() + (truth_N == 1).sum()))
    assert score("f1", TWO, truth_N, replace(answers, weights_C=weights_C)) > max(by_threshold) - 0.01


def test_the_likeliest_class_stays_the_answer_where_nothing_is_clearly_better() -> None:
    truth_N, answers = weak(TWO, [0.5, 0.5], 2000)
    assert class_weights("macro_f1", TWO, truth_N, answers) is None
    truth_N, answers = weak(TWO, [0.85, 0.15], 2000)
    for metric in ("accuracy", "log_loss", "roc_auc", "precision", "recall"):
        assert class_weights(metric, TWO, truth_N, answers) is None
    few = np.arange(FEWEST - 1)
    assert class_weights("macro_f1", TWO, truth_N[few], answers.take(few)) is None
    values = Predictions(values_N=np.zeros(200))
    number = replace(TWO, task="regression", classes=(), positive=None)
    assert decided(Constant(number, (0.0,)), values, "r2", np.zeros(200))[1] is values


def test_the_metrics_are_those_of_the_table_and_more_is_better() -> None:
    assert set(ALL) >= METRICS
    assert all(find(name).higher_is_better for name in METRICS)


def test_a_decision_is_saved_with_its_predictor(tmp_path: Path) -> None:
    predictor = Decision(Constant(TWO, (0.7, 0.3)), weights_C=np.array([0.3, 1.0]))
    save_predictor(predictor, tmp_path)
    found = load_predictor(tmp_path).predict(pl.DataFrame({"x": [1.0, 2.0]}))
    assert found.indices_N.tolist() == [1, 1]
    assert found.probabilities_NC is not None
    np.testing.assert_allclose(found.probabilities_NC, [[0.7, 0.3]] * 2)


def test_predictions_come_back_from_a_frame() -> None:
    whole = Predictions(np.array([[0.6, 0.4], [0.9, 0.1]]), weights_C=np.array([0.5, 1.0]))
    found = from_frame(as_frame(whole))
    assert found.indices_N.tolist() == whole.indices_N.tolist() == [1, 0]
    assert from_frame(as_frame(replace(whole, weights_C=None))).weights_C is None
    values = from_frame(as_frame(Predictions(values_N=np.array([1.0, 2.0]))))
    assert values.values_N is not None and values.values_N.tolist() == [1.0, 2.0]


LABELS = Schema("multilabel", "table", (Column("x", "number"),), "y", ("a", "b", "c"))


def weak_sets(count: int, seed: int = 0) -> tuple[np.ndarray, Predictions]:
    """Sets of labels of unequal shares and calibrated, rather unsure probabilities."""
    generator = np.random.default_rng(seed)
    odds_NC = np.exp(np.log([0.5, 0.2, 0.06]) + generator.normal(scale=1.2, size=(count, 3)))
    table_NC = odds_NC / (1 + odds_NC)
    return generator.random((count, 3)) < table_NC, Predictions(probabilities_NC=table_NC)


@pytest.mark.parametrize("metric", ["micro_f1", "macro_f1"])
def test_thresholds_gain_on_examples_that_they_were_not_chosen_on(metric: str) -> None:
    truth_NC, answers = weak_sets(2000)
    thresholds_C = thresholds(metric, LABELS, truth_NC, answers)
    assert thresholds_C is not None and thresholds_C.max() <= 0.5
    others_NC, fresh = weak_sets(20_000, seed=1)
    before, after = (
        score(metric, LABELS, others_NC, each) for each in (fresh, replace(fresh, thresholds_C=thresholds_C))
    )
    assert after > before + 0.02


def test_thresholds_stay_at_one_half_where_nothing_is_clearly_better() -> None:
    truth_NC = np.random.default_rng(0).random((500, 3)) < 0.5
    sure = Predictions(probabilities_NC=np.where(truth_NC, 0.9, 0.1))
    assert thresholds("micro_f1", LABELS, truth_NC, sure) is None
    truth_NC, answers = weak_sets(FEWEST - 1)
    assert thresholds("micro_f1", LABELS, truth_NC, answers) is None
    truth_NC, answers = weak_sets(1000)
    assert thresholds("hamming_loss", LABELS, truth_NC, answers) is None
    assert set(SET_METRICS) <= set(ALL)


def test_thresholds_are_saved_and_served(tmp_path: Path) -> None:
    truth_NC, answers = weak_sets(2000)
    inner = Constant(LABELS, (0.4, 0.2, 0.1))
    saved, decides = decided(inner, answers, "micro_f1", truth_NC)
    save_predictor(saved, tmp_path)
    loaded = load_predictor(tmp_path)
    asked = pl.DataFrame({"x": [1.0]})
    assert decides.thresholds_C is not None and saved.describes.startswith("labels answered from 0.")
    np.testing.assert_array_equal(loaded.predict(asked).thresholds_C, decides.thresholds_C)
    again = from_frame(as_frame(decides))
    np.testing.assert_array_equal(again.answered_NC, decides.answered_NC)
