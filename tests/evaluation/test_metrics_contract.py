"""What every row of METRICS promises, by being listed: a hand-worked case, no order, perfect is best, and
the same figure as scikit-learn."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as oracle

from modelwright.evaluation.figures import calibration_bins
from modelwright.evaluation.metrics import METRICS, metrics_for, score, suits
from modelwright.models.predictors import Predictions
from modelwright.records import Schema

TWO = Schema("classification", "table", (), "y", ("no", "yes"), "yes")
THREE = Schema("classification", "table", (), "y", ("a", "b", "c"))
NUMBERS = Schema("regression", "table", (), "y")

SCHEMAS = {"two": TWO, "three": THREE, "numbers": NUMBERS}
SUITED = pytest.mark.parametrize(
    ("name", "schema"),
    [
        pytest.param(name, schema, id=f"{name}-{kind}")
        for name in METRICS
        for kind, schema in SCHEMAS.items()
        if suits(name, schema) is None
    ],
)

YES = np.array([0.9, 0.8, 0.3, 0.6, 0.2, 0.1])
TRUTH = np.array([1, 1, 1, 0, 0, 0])
"""Answers yes yes no yes no no to yes yes yes no no no: TP 2, FN 1, FP 1, TN 2."""

VALUES, TRUE_VALUES = np.array([2.0, 2.0, 5.0, 4.0]), np.array([1.0, 2.0, 3.0, 5.0])
"""Errors 1, 0, 2, 1; the mean of the true values is 2.75."""

WRITTEN = {name for name, row in METRICS.items() if row.reads == "texts"}
"""Metrics of written answers, which test_texts.py covers."""

HAND_WORKED = {
    "accuracy": 4 / 6,
    "balanced_accuracy": (2 / 3 + 2 / 3) / 2,
    "macro_f1": 2 / 3,  # both classes: precision 2/3, recall 2/3
    "macro_precision": 2 / 3,
    "macro_recall": 2 / 3,
    "weighted_f1": 2 / 3,
    "f1": 2 * 2 / (2 * 2 + 1 + 1),
    "precision": 2 / 3,
    "recall": 2 / 3,
    "matthews": (2 * 2 - 1 * 1) / math.sqrt(3 * 3 * 3 * 3),
    "roc_auc": 8 / 9,  # of 9 pairs only (.3, .6) is in the wrong order
    # Falling thresholds find yes at .9 (precision 1), .8 (1) and, after the wrong .6, at .3 (3/4).
    "average_precision": (1 + 1 + 3 / 4) / 3,
    "log_loss": -math.log(0.9 * 0.8 * 0.3 * 0.4 * 0.8 * 0.9) / 6,
    # Confidences .9 .8 .7 .6 .8 .9, right 1 1 0 0 1 1. The 14 quantiles fall so that each distinct
    # confidence has its own bin: (|1.8-2| + |1.6-2| + |.7-0| + |.6-0|) / 6.
    "calibration_error": (0.2 + 0.4 + 0.7 + 0.6) / 6,
    "mae": (1 + 0 + 2 + 1) / 4,
    "rmse": math.sqrt((1 + 0 + 4 + 1) / 4),
    "r2": 1 - 6 / (1.75**2 + 0.75**2 + 0.25**2 + 2.25**2),
    "median_absolute_error": 1.0,
    "mape": (1 / 1 + 0 / 2 + 2 / 3 + 1 / 5) / 4,
}


def answers(schema: Schema) -> tuple[np.ndarray, Predictions]:
    if schema.task == "regression":
        return TRUE_VALUES, Predictions(values_N=VALUES)
    return TRUTH, Predictions(probabilities_NC=np.stack([1 - YES, YES], axis=1))


def random_answers(schema: Schema, count: int = 400) -> tuple[np.ndarray, Predictions]:
    generator = np.random.default_rng(7)
    if schema.task == "regression":
        truth_N = generator.normal(5, 2, count)
        return truth_N, Predictions(values_N=truth_N + generator.normal(0, 1, count))
    size = len(schema.classes)
    truth_N = generator.integers(0, size, count)
    weights_NC = generator.integers(1, 6, (count, size)) + 3.0 * np.eye(size)[truth_N]  # with many ties
    return truth_N, Predictions(probabilities_NC=weights_NC / weights_NC.sum(axis=1, keepdims=True))


def schema_of(name: str) -> Schema:
    return NUMBERS if METRICS[name].tasks == ("regression",) else TWO


def test_every_metric_has_a_hand_worked_case() -> None:
    assert set(HAND_WORKED) == set(METRICS) - WRITTEN
    assert all(name == row.name for name, row in METRICS.items())


@pytest.mark.parametrize("name", [name for name in METRICS if name not in WRITTEN])
def test_hand_worked(name: str) -> None:
    schema = schema_of(name)
    assert score(name, schema, *answers(schema)) == pytest.approx(HAND_WORKED[name], abs=1e-12)


@SUITED
def test_the_order_of_examples_says_nothing(name: str, schema: Schema) -> None:
    truth_N, predictions = random_answers(schema)
    order_N = np.random.default_rng(1).permutation(len(truth_N))
    if predictions.values_N is not None:
        turned = Predictions(values_N=predictions.values_N[order_N])
    else:
        assert predictions.probabilities_NC is not None
        turned = Predictions(probabilities_NC=predictions.probabilities_NC[order_N])
    before = score(name, schema, truth_N, predictions)
    assert score(name, schema, truth_N[order_N], turned) == pytest.approx(before, rel=1e-12)


@SUITED
def test_perfect_is_best(name: str, schema: Schema) -> None:
    truth_N, predictions = random_answers(schema)
    if schema.task == "regression":
        perfect = Predictions(values_N=truth_N.copy())
    else:
        perfect = Predictions(probabilities_NC=np.eye(len(schema.classes))[truth_N])
    best, sign = score(name, schema, truth_N, perfect), 1 if METRICS[name].higher_is_better else -1
    assert best == pytest.approx(METRICS[name].perfect, abs=1e-12)
    assert sign * (best - score(name, schema, truth_N, predictions)) > 0


def _sklearn(name: str, schema: Schema, truth_N: np.ndarray, predictions: Predictions) -> float:
    average = name.split("_")[0]
    label = {"precision": oracle.precision_score, "recall": oracle.recall_score, "f1": oracle.f1_score}
    if predictions.values_N is not None:
        function: dict[str, Callable[..., float]] = {
            "mae": oracle.mean_absolute_error,
            "rmse": oracle.root_mean_squared_error,
            "r2": oracle.r2_score,
            "median_absolute_error": oracle.median_absolute_error,
            "mape": oracle.mean_absolute_percentage_error,
        }
        return float(function[name](truth_N, predictions.values_N))
    matrix_NC, answer_N = predictions.probabilities_NC, predictions.indices_N
    assert matrix_NC is not None
    is_two = len(schema.classes) == 2
    if name in label:
        return float(label[name](truth_N, answer_N))
    if average in ("macro", "weighted"):
        return float(label[name.split("_")[1]](truth_N, answer_N, average=average))
    if name == "roc_auc":
        scores = matrix_NC[:, 1] if is_two else matrix_NC
        return float(oracle.roc_auc_score(truth_N, scores, multi_class="ovr", average="macro"))
    if name == "average_precision":
        return float(oracle.average_precision_score(truth_N, matrix_NC[:, 1]))
    if name == "calibration_error":  # no oracle in scikit-learn: the definition, bin by bin
        confidence_N, bin_N = calibration_bins(matrix_NC)
        right_N = answer_N == truth_N
        bins = [bin_N == each for each in np.unique(bin_N)]
        gaps = [inside.mean() * abs(confidence_N[inside].mean() - right_N[inside].mean()) for inside in bins]
        return float(sum(gaps))
    others: dict[str, Callable[..., float]] = {
        "accuracy": lambda: oracle.accuracy_score(truth_N, answer_N),
        "balanced_accuracy": lambda: oracle.balanced_accuracy_score(truth_N, answer_N),
        "matthews": lambda: oracle.matthews_corrcoef(truth_N, answer_N),
        "log_loss": lambda: oracle.log_loss(truth_N, matrix_NC),
    }
    return float(others[name]())


@SUITED
def test_agrees_with_scikit_learn(name: str, schema: Schema) -> None:
    truth_N, predictions = random_answers(schema)
    expected = _sklearn(name, schema, truth_N, predictions)
    assert score(name, schema, truth_N, predictions) == pytest.approx(expected, rel=1e-9)


def test_agrees_with_scikit_learn_where_a_class_is_never_answered() -> None:
    truth_N = np.array([0, 0, 1, 1, 1, 2])
    predictions = Predictions(probabilities_NC=np.eye(3)[np.array([0, 0, 1, 0, 1, 1])])
    for name in ("macro_f1", "macro_precision", "macro_recall", "weighted_f1", "matthews", "balanced_accuracy"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = _sklearn(name, THREE, truth_N, predictions)
        assert score(name, THREE, truth_N, predictions) == pytest.approx(expected), name


def test_a_class_that_does_not_occur_does_not_count() -> None:
    truth_N = np.array([0, 0, 1, 1])
    predictions = Predictions(probabilities_NC=np.eye(3)[np.array([0, 1, 1, 1])])
    for name in ("macro_f1", "macro_precision", "macro_recall", "balanced_accuracy"):
        expected = _sklearn(name, THREE, truth_N, predictions)
        assert score(name, THREE, truth_N, predictions) == pytest.approx(expected), name


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_weighing_an_example_twice_is_having_it_twice(schema: Schema) -> None:
    from modelwright.evaluation.metrics import weigh

    truth_N, predictions = random_answers(schema, 40)
    times_N = np.random.default_rng(3).integers(0, 3, 40)
    again_N = np.repeat(np.arange(40), times_N)
    if predictions.values_N is not None:
        repeated = Predictions(values_N=predictions.values_N[again_N])
    else:
        assert predictions.probabilities_NC is not None
        repeated = Predictions(probabilities_NC=predictions.probabilities_NC[again_N])
    for name in metrics_for(schema):
        if name == "calibration_error":  # its bins are those of the examples at hand
            continue
        weighed = weigh(METRICS[name], schema, truth_N, predictions, times_N[None].astype(float))
        expected = score(name, schema, truth_N[again_N], repeated)
        assert weighed[0] == pytest.approx(expected, rel=1e-9), name
