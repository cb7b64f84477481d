import math

import numpy as np
import pytest

from modelwright.errors import UnknownNameError
from modelwright.evaluation.metrics import default_metric, metrics_for, score, suits
from modelwright.models.predictors import Predictions
from modelwright.records import Schema


def test_an_unknown_metric_offers_the_nearest(two: Schema) -> None:
    with pytest.raises(UnknownNameError, match="did you mean macro_f1"):
        score("makro_f1", two, np.array([0]), Predictions(probabilities_NC=np.array([[1.0, 0.0]])))


def test_defaults(two: Schema, numbers: Schema) -> None:
    assert default_metric(two, {"no": 90, "yes": 10}) == "macro_f1"
    assert default_metric(numbers, {}) == "r2"


def test_a_metric_of_another_task_says_what_would_do(two: Schema, three: Schema, numbers: Schema) -> None:
    assert suits("macro_f1", two) is None
    assert suits("f1", two) is None
    assert "macro_f1 would do" in str(suits("f1", three))
    assert "roc_auc would do" in str(suits("average_precision", three))
    assert "this is regression" in str(suits("accuracy", numbers))
    assert metrics_for(numbers) == ["r2", "mae", "rmse", "median_absolute_error", "mape"]


def test_what_is_not_defined_is_nan(two: Schema, numbers: Schema) -> None:
    always = Predictions(probabilities_NC=np.array([[0.5, 0.5]] * 4))
    assert math.isnan(score("roc_auc", two, np.zeros(4, dtype=int), always))
    assert math.isnan(score("average_precision", two, np.zeros(4, dtype=int), always))
    flat = Predictions(values_N=np.array([1.0, 2.0]))
    assert math.isnan(score("r2", numbers, np.array([0.1, 0.1]), flat))
    assert math.isnan(score("mape", numbers, np.array([0.0, 1.0]), flat))
    assert math.isnan(score("mae", numbers, np.array([]), Predictions(values_N=np.array([]))))


def test_r2_survives_values_far_from_zero(numbers: Schema) -> None:
    """Truth 1e9 + (0, 1, 2), answers one too high for the last: 1 - 1 / 2 = 0.5."""
    truth_N = 1e9 + np.array([0.0, 1.0, 2.0])
    answered = Predictions(values_N=1e9 + np.array([0.0, 1.0, 3.0]))
    assert score("r2", numbers, truth_N, answered) == pytest.approx(0.5)
