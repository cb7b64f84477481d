"""The table of metrics, and the score of an answer sheet by any of them.

To add a metric, write a pure function in counts.py (where counts of classes are enough) or figures.py,
for written answers in texts.py, and give it a line in `METRICS`: its interval, its paired comparison, the report and
the contract suite follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from modelwright.errors import Fault, UnknownNameError
from modelwright.evaluation import counts, figures, texts
from modelwright.evaluation.tallies import tally
from modelwright.models.predictors import Predictions
from modelwright.records import Schema, Task
from modelwright.registry import suggestion


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table.

    Args:
        name: As in problem.yaml.
        function: `Counts` or `Answers` of R resamples -> the R values; or the true and the answered text or set of
            one example -> its value, of which the mean is taken.
        reads: Which of these it takes.
        higher_is_better: The direction.
        perfect: The value of perfect answers.
        tasks: The tasks that it can judge.
        describes: What it says, in a phrase.
        classes: "two" where it is about the positive class of two, "any" otherwise.
        unit: "share" (0 to 1, shown with decimals), "output" (the output's own unit) or "none".
    """

    name: str
    function: Callable[..., Any]
    reads: Literal["counts", "answers", "texts", "sets"]
    higher_is_better: bool
    perfect: float
    tasks: tuple[Task, ...]
    describes: str
    classes: Literal["any", "two"] = "any"
    unit: Literal["share", "output", "none"] = "share"


_CLASSES: tuple[Task, ...] = ("classification",)
_SETS: tuple[Task, ...] = ("multilabel", "tagging")
_NUMBERS: tuple[Task, ...] = ("regression",)


def _count(
    function: Callable[[counts.Counts], np.ndarray],
    describes: str,
    *,
    tasks: tuple[Task, ...] = _CLASSES,
    two: bool = False,
) -> Metric:
    kind: Literal["any", "two"] = "two" if two else "any"
    return Metric(function.__name__, function, "counts", True, 1.0, tasks, describes, kind)


def _answer(
    function: Callable[[figures.Answers], np.ndarray],
    tasks: tuple[Task, ...],
    describes: str,
    *,
    more: bool = False,
    two: bool = False,
    unit: Literal["share", "output", "none"] = "share",
) -> Metric:
    kind: Literal["any", "two"] = "two" if two else "any"
    perfect = 1.0 if more else 0.0
    return Metric(function.__name__, function, "answers", more, perfect, tasks, describes, kind, unit)


def _text(function: Callable[[str, str], float], describes: str) -> Metric:
    return Metric(function.__name__, function, "texts", True, 1.0, ("generation",), describes)


def _set(
    name: str, function: Callable[[Any, Any], float], tasks: tuple[Task, ...], describes: str, *, more: bool = True
) -> Metric:
    return Metric(name, function, "sets", more, 1.0 if more else 0.0, tasks, describes)


_ROWS = (
    _count(counts.accuracy, "share of right answers"),
    _count(counts.balanced_accuracy, "mean share of each class that is found"),
    _count(counts.micro_f1, "F1 of all answers together, whatever their class", tasks=_SETS),
    _count(counts.macro_f1, "F1 averaged over classes, each counting the same", tasks=_CLASSES + _SETS),
    _count(counts.micro_precision, "share of all answers that are right", tasks=_SETS),
    _count(counts.micro_recall, "share of all that was to be found", tasks=_SETS),
    _count(counts.macro_precision, "precision averaged over classes", tasks=_CLASSES + _SETS),
    _count(counts.macro_recall, "recall averaged over classes", tasks=_CLASSES + _SETS),
    _count(counts.weighted_f1, "F1 averaged over classes by their size", tasks=_CLASSES + _SETS),
    _set("subset_accuracy", figures.is_right, _SETS, "share of examples answered without a miss or one too many"),
    _set("hamming_loss", figures.share_wrong, ("multilabel",), "share of labels missed or too many", more=False),
    _answer(
        figures.mean_average_precision, ("multilabel",), "precision averaged over recall, mean of classes", more=True
    ),
    _count(counts.f1, "balance of precision and recall of the positive class", two=True),
    _count(counts.precision, "share of positive answers that are right", two=True),
    _count(counts.recall, "share of positive examples that are found", two=True),
    _count(counts.matthews, "correlation of truth and answers, 0 is chance"),
    _answer(figures.roc_auc, _CLASSES, "chance that the right class ranks higher, 0.5 is a coin", more=True),
    _answer(figures.average_precision, _CLASSES, "precision averaged over recall", more=True, two=True),
    _answer(figures.log_loss, _CLASSES, "surprise at the true class, in nats", unit="none"),
    _answer(figures.calibration_error, _CLASSES, "gap between confidence and share of right answers"),
    _answer(figures.r2, _NUMBERS, "share of the variance explained, 0 is the mean", more=True),
    _answer(figures.mae, _NUMBERS, "mean absolute error", unit="output"),
    _answer(figures.rmse, _NUMBERS, "root mean squared error", unit="output"),
    _answer(figures.median_absolute_error, _NUMBERS, "half of the answers are closer", unit="output"),
    _answer(figures.mape, _NUMBERS, "mean error as a share of the true value"),
    _text(texts.exact_match, "share of answers that are the right one, but for case and spaces"),
    _text(texts.token_f1, "words that the answer shares with the right one, whatever their order"),
    _text(texts.rouge_l, "words that it shares with the right one in the same order"),
    _text(texts.chrf, "runs of characters that it shares with the right one"),
    _text(texts.number_match, "share of answers whose last number is the right one"),
    _answer(
        figures.bits_per_byte, ("language-modeling",), "bits that a byte of text takes, 8 is no model", unit="none"
    ),
)

METRICS: Mapping[str, Metric] = {row.name: row for row in _ROWS}


def find(name: str) -> Metric:
    """The metric of that name.

    Raises:
        UnknownNameError: there is none; the fault offers the nearest.
    """
    if name not in METRICS:
        raise UnknownNameError(Fault("metric", repr(name), "a metric", suggestion(name, list(METRICS))))
    return METRICS[name]


def score(metric: str, schema: Schema, truth_N: np.ndarray, predictions: Predictions) -> float:
    """The plain figure; NaN where it is not defined (no examples, one class only for roc_auc...)."""
    if len(truth_N) == 0:
        return float("nan")
    weights_RN = np.ones((1, len(truth_N)))
    return float(weigh(find(metric), schema, truth_N, predictions, weights_RN)[0])


def weigh(
    metric: Metric, schema: Schema, truth_N: np.ndarray, predictions: Predictions, weights_RN: np.ndarray
) -> np.ndarray:
    """The metric of R weighted copies of the answers."""
    return weigher(metric, schema, truth_N, predictions)(weights_RN)


def weigher(
    metric: Metric, schema: Schema, truth_N: np.ndarray, predictions: Predictions
) -> Callable[[np.ndarray], np.ndarray]:
    """weights_RN -> the metric of R weighted copies of the answers; what each answer is worth is found once."""
    positive = positive_index(schema)
    if metric.reads == "counts" and schema.task == "classification":
        answers_N, classes = predictions.indices_N, len(schema.classes)
        return lambda weights_RN: metric.function(counts.count(truth_N, answers_N, weights_RN, classes, positive))
    if metric.reads == "counts":
        of_each = tally(schema, truth_N, predictions)
        return lambda weights_RN: metric.function(of_each.weighed(weights_RN))
    if metric.reads in ("texts", "sets"):
        worth_N = each_N(metric, schema, truth_N, predictions)
        return lambda weights_RN: counts.share(weights_RN @ worth_N, weights_RN.sum(axis=1))
    return lambda weights_RN: metric.function(figures.Answers(truth_N, predictions.array, weights_RN, positive))


def each_N(metric: Metric, schema: Schema, truth_N: np.ndarray, predictions: Predictions) -> np.ndarray:
    """The figure of each example by itself, float64 (N,): of written answers, of sets, or of what texts take."""
    if metric.reads in ("texts", "sets"):
        answers = predictions.answered_NC if schema.task == "multilabel" else predictions.array
        pairs = zip(truth_N, answers, strict=True)
        return np.array([metric.function(*pair) for pair in pairs], dtype=np.float64)
    return counts.share(predictions.array, truth_N)


def right_share(figures: Mapping[str, float]) -> float | None:
    """The share of examples that are answered right, among the `figures` by name; None where that says nothing."""
    return figures.get("accuracy", figures.get("subset_accuracy"))


def positive_index(schema: Schema) -> int | None:
    """The column of the positive class of a two-class task; None for other tasks."""
    if schema.positive is None or len(schema.classes) != 2:
        return None
    return schema.classes.index(schema.positive)


def suits(metric: str, schema: Schema) -> str | None:
    """Why `metric` cannot judge this task, or None where it can.

    Raises:
        UnknownNameError: there is no such metric.
    """
    found = find(metric)
    if schema.task not in found.tasks:
        fitting = ", ".join(name for name, row in METRICS.items() if schema.task in row.tasks)
        return f"{metric} judges {' and '.join(found.tasks)}, and this is {schema.task}; {fitting} would do"
    if found.classes == "two" and positive_index(schema) is None:
        instead = {"average_precision": "roc_auc"}.get(metric, f"macro_{metric}")
        return f"{metric} is about one class of two, and there are {len(schema.classes)}; {instead} would do"
    return None


def metrics_for(schema: Schema) -> list[str]:
    """The names of all metrics that suit the task, in the order of the table."""
    return [name for name in METRICS if suits(name, schema) is None]


def default_metric(schema: Schema, class_counts: Mapping[str, int]) -> str:
    """The metric of a problem that names none.

    Classification: macro_f1, because accuracy is high for whoever always answers the largest class and
    most data has one; where the classes are balanced the two are nearly the same. Regression: r2, because
    it reads without knowing the unit: 0 is what the mean earns, 1 is perfect. Multilabel and tagging: micro_f1,
    which for spans is the field's entity-level F1. Generation: token_f1, because few good answers are the same to the
    letter. Language modeling: bits_per_byte, the only figure that models of different tokens share.

    Args:
        schema: The task.
        class_counts: Examples of each class; kept in the signature so that a caller need not know that
            the rule does not look at them.
    """
    del class_counts
    return _DEFAULTS[schema.task]


_DEFAULTS: Mapping[Task, str] = {
    "classification": "macro_f1",
    "multilabel": "micro_f1",
    "regression": "r2",
    "tagging": "micro_f1",
    "generation": "token_f1",
    "language-modeling": "bits_per_byte",
}
