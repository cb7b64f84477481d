"""What every row of METRICS promises, by being listed: a hand-worked case, no order, perfect is best, and
the same figure as scikit-learn; for spans, as the counting of the CoNLL shared tasks written out."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as oracle

from modelwright.data.parts import objects
from modelwright.evaluation.figures import calibration_bins
from modelwright.evaluation.metrics import METRICS, metrics_for, score, suits
from modelwright.evaluation.tallies import as_answers
from modelwright.models.predictors import Predictions
from modelwright.records import Schema, Span

TWO = Schema("classification", "table", (), "y", ("no", "yes"), "yes")
THREE = Schema("classification", "table", (), "y", ("a", "b", "c"))
NUMBERS = Schema("regression", "table", (), "y")

LABELS = Schema("multilabel", "table", (), "y", ("a", "b", "c"))
SPANS = Schema("tagging", "text", (), "y", ("name", "place", "thing"))
BYTES = Schema("language-modeling", "text", (), "y")

SCHEMAS = {"two": TWO, "three": THREE, "numbers": NUMBERS, "labels": LABELS, "spans": SPANS, "bytes": BYTES}
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

FITS = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]], dtype=bool)
LIKELY = np.array([[0.9, 0.1, 0.6], [0.8, 0.4, 0.1], [0.3, 0.2, 0.1], [0.1, 0.7, 0.2]])
"""From one half on, a and c are answered to a, a to ab, nothing to nothing, b to b: a is hit twice of two, b once of
two, c is once too many. So 3 hits, 4 true labels, 4 answered."""

TRUE_SPANS = objects(
    [(Span(0, 4, "name"), Span(9, 13, "place")), (Span(2, 5, "name"), Span(5, 8, "name")), (), (Span(0, 1, "place"),)]
)
ANSWERED_SPANS = objects(
    [(Span(0, 4, "name"), Span(9, 13, "name")), (Span(2, 8, "name"),), (Span(3, 4, "thing"),), (Span(0, 1, "place"),)]
)
"""Hit: a name and a place. Not hit: a place that is called a name, two names taken for one, a thing where nothing is.
So 2 hits, 5 true spans, 5 answered. name: 1 of 3 true, 3 answered; place: 1 of 2, 1 answered; thing: 0 of 0, 1."""

HAND_WORKED_SETS = {
    "micro_f1": (2 * 3 / 8, 2 * 2 / 10),
    "micro_precision": (3 / 4, 2 / 5),
    "micro_recall": (3 / 4, 2 / 5),
    # F1 of a 1, b 2/3, c 0; of name 2/6, place 2/3, thing 0.
    "macro_f1": ((1 + 2 / 3 + 0) / 3, (1 / 3 + 2 / 3 + 0) / 3),
    "macro_precision": ((1 + 1 + 0) / 3, (1 / 3 + 1 + 0) / 3),
    "macro_recall": ((1 + 1 / 2 + 0) / 3, (1 / 3 + 1 / 2 + 0) / 3),
    "weighted_f1": ((2 * 1 + 2 * 2 / 3) / 4, (3 * 1 / 3 + 2 * 2 / 3) / 5),
    "subset_accuracy": (2 / 4, 1 / 4),
    "hamming_loss": (2 / 12, None),
    # a: true ones at .9 and .8, first and second. b: at .7 and .4, first and second. c does not occur.
    "mean_average_precision": ((1 + 1) / 2, None),
}
"""Of FITS by LIKELY, and of TRUE_SPANS by ANSWERED_SPANS."""

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
    "bits_per_byte": (2 + 2 + 5 + 4) / (1 + 2 + 3 + 5),  # bits answered over bytes
}


def answers(schema: Schema) -> tuple[np.ndarray, Predictions]:
    if schema.task == "multilabel":
        return FITS, Predictions(probabilities_NC=LIKELY)
    if schema.task == "tagging":
        return TRUE_SPANS, Predictions(spans_N=ANSWERED_SPANS)
    if schema.task in ("regression", "language-modeling"):
        return TRUE_VALUES, Predictions(values_N=VALUES)
    return TRUTH, Predictions(probabilities_NC=np.stack([1 - YES, YES], axis=1))


def random_answers(schema: Schema, count: int = 400) -> tuple[np.ndarray, Predictions]:
    generator = np.random.default_rng(7)
    if schema.task == "regression":
        truth_N = generator.normal(5, 2, count)
        return truth_N, Predictions(values_N=truth_N + generator.normal(0, 1, count))
    if schema.task == "language-modeling":
        truth_N = generator.integers(1, 500, count).astype(float)
        return truth_N, Predictions(values_N=truth_N * generator.uniform(1, 3, count))
    size = len(schema.classes)
    if schema.task == "multilabel":
        truth_NC = generator.random((count, size)) < [0.5, 0.2, 0.1]
        probabilities_NC = np.round(0.4 * truth_NC + 0.6 * generator.random((count, size)), 1)  # with many ties
        return truth_NC, Predictions(probabilities_NC=probabilities_NC)
    if schema.task == "tagging":
        sheets = [[_random_spans(generator, schema) for _ in range(count)] for _ in range(2)]
        answers = [own if generator.random() < 0.5 else other for own, other in zip(*sheets, strict=True)]
        return objects(sheets[0]), Predictions(spans_N=objects(answers))
    truth_N = generator.integers(0, size, count)
    weights_NC = generator.integers(1, 6, (count, size)) + 3.0 * np.eye(size)[truth_N]  # with many ties
    return truth_N, Predictions(probabilities_NC=weights_NC / weights_NC.sum(axis=1, keepdims=True))


def _random_spans(generator: np.random.Generator, schema: Schema) -> tuple[Span, ...]:
    """Up to three spans among few places, so that some of two draws agree."""
    starts = sorted(generator.choice(4, generator.integers(0, 4), replace=False).tolist())
    return tuple(Span(5 * start, 5 * start + 3, str(generator.choice(schema.classes))) for start in starts)


def _perfect(schema: Schema, truth_N: np.ndarray) -> Predictions:
    if schema.task == "regression":
        return Predictions(values_N=truth_N.copy())
    if schema.task == "language-modeling":
        return Predictions(values_N=np.zeros(len(truth_N)))
    if schema.task == "classification":
        return Predictions(probabilities_NC=np.eye(len(schema.classes))[truth_N])
    return as_answers(schema, truth_N)


def schema_of(name: str) -> Schema:
    tasks = METRICS[name].tasks
    return NUMBERS if tasks == ("regression",) else BYTES if tasks == ("language-modeling",) else TWO


def test_every_metric_has_a_hand_worked_case() -> None:
    assert set(HAND_WORKED) | set(HAND_WORKED_SETS) == set(METRICS) - WRITTEN
    for place, schema in enumerate((LABELS, SPANS)):
        assert {name for name, each in HAND_WORKED_SETS.items() if each[place] is not None} == set(metrics_for(schema))
    assert all(name == row.name for name, row in METRICS.items())


@pytest.mark.parametrize("name", HAND_WORKED)
def test_hand_worked(name: str) -> None:
    schema = schema_of(name)
    assert score(name, schema, *answers(schema)) == pytest.approx(HAND_WORKED[name], abs=1e-12)


@pytest.mark.parametrize("name", HAND_WORKED_SETS)
def test_hand_worked_of_sets_and_spans(name: str) -> None:
    for schema, expected in zip((LABELS, SPANS), HAND_WORKED_SETS[name], strict=True):
        if expected is not None:
            assert score(name, schema, *answers(schema)) == pytest.approx(expected, abs=1e-12)


@SUITED
def test_the_order_of_examples_says_nothing(name: str, schema: Schema) -> None:
    truth_N, predictions = random_answers(schema)
    order_N = np.random.default_rng(1).permutation(len(truth_N))
    before = score(name, schema, truth_N, predictions)
    assert score(name, schema, truth_N[order_N], predictions.take(order_N)) == pytest.approx(before, rel=1e-12)


@SUITED
def test_perfect_is_best(name: str, schema: Schema) -> None:
    truth_N, predictions = random_answers(schema)
    perfect = _perfect(schema, truth_N)
    best, sign = score(name, schema, truth_N, perfect), 1 if METRICS[name].higher_is_better else -1
    assert best == pytest.approx(METRICS[name].perfect, abs=1e-12)
    assert sign * (best - score(name, schema, truth_N, predictions)) > 0


def _of_spans(name: str, schema: Schema, truth_N: np.ndarray, predictions: Predictions) -> float:
    """As seqeval and conlleval count: sets of (example, span) of each label, figures by scikit-learn's formulas."""
    true, answered = (
        {(n, *span) for n, spans in enumerate(each) for span in spans} for each in (truth_N, predictions.array)
    )
    if name == "subset_accuracy":
        wrong = {n for n, *_ in true ^ answered}
        return 1 - len(wrong) / len(truth_N)

    def figure(labels: tuple[str, ...], what: str) -> float:
        ours, theirs = ({each for each in one if each[3] in labels} for one in (true, answered))
        hits = len(ours & theirs)
        precision, recall = hits / max(1, len(theirs)), hits / max(1, len(ours))
        f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
        return {"precision": precision, "recall": recall, "f1": f1}[what]

    average, what = name.split("_")
    if average == "micro":
        return figure(schema.classes, what)
    each = [figure((label,), what) for label in schema.classes]
    weights = [sum(span[3] == label for span in true) for label in schema.classes] if average == "weighted" else None
    return float(np.average(each, weights=weights))


def _sklearn(name: str, schema: Schema, truth_N: np.ndarray, predictions: Predictions) -> float:
    average = name.split("_")[0]
    label = {"precision": oracle.precision_score, "recall": oracle.recall_score, "f1": oracle.f1_score}
    if schema.task == "multilabel":
        answer_NC, table_NC = predictions.answered_NC, predictions.probabilities_NC
        if average in ("micro", "macro", "weighted"):
            return float(label[name.split("_")[1]](truth_N, answer_NC, average=average))
        of_sets: dict[str, Callable[[], float]] = {
            "subset_accuracy": lambda: oracle.accuracy_score(truth_N, answer_NC),
            "hamming_loss": lambda: oracle.hamming_loss(truth_N, answer_NC),
            "mean_average_precision": lambda: oracle.average_precision_score(truth_N, table_NC, average="macro"),
        }
        return float(of_sets[name]())
    if schema.task == "tagging":
        return _of_spans(name, schema, truth_N, predictions)
    if schema.task == "language-modeling":
        return float(predictions.array.sum() / truth_N.sum())
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
def test_agrees_with_an_oracle(name: str, schema: Schema) -> None:
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
    repeated = predictions.take(again_N)
    for name in metrics_for(schema):
        if name == "calibration_error":  # its bins are those of the examples at hand
            continue
        weighed = weigh(METRICS[name], schema, truth_N, predictions, times_N[None].astype(float))
        expected = score(name, schema, truth_N[again_N], repeated)
        assert weighed[0] == pytest.approx(expected, rel=1e-9), name
