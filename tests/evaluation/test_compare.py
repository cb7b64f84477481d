from collections.abc import Callable

import numpy as np
import pytest

from modelwright.evaluation.compare import compare, detectable, mcnemar, paired_standard_error
from modelwright.models.predictors import Predictions
from modelwright.records import Comparison, Schema

Drawn = Callable[..., tuple[np.ndarray, Predictions]]


def test_mcnemar_by_hand() -> None:
    """Only ours right 6 times, only theirs once: 2 (C(7,0) + C(7,1)) / 2^7 = 16/128 = .125."""
    truth_N = np.ones(10, dtype=int)
    ours_N = np.array([1] * 6 + [0] + [1, 1, 0])
    theirs_N = np.array([0] * 6 + [1] + [1, 1, 0])
    assert mcnemar(truth_N, ours_N, theirs_N) == pytest.approx(0.125)
    assert mcnemar(truth_N, ours_N, ours_N) == 1.0


@pytest.mark.parametrize(
    ("name", "kind"),
    [("accuracy", "three"), ("macro_f1", "three"), ("roc_auc", "three"), ("log_loss", "three"), ("f1", "two"),
     ("average_precision", "two"), ("r2", "numbers"), ("mae", "numbers")],
)  # fmt: skip
def test_better_is_positive_and_real_and_the_mirror_is_negative(
    name: str, kind: str, drawn: Drawn, request: pytest.FixtureRequest
) -> None:
    schema: Schema = request.getfixturevalue(kind)
    truth_N, good = drawn(schema, 500, strength=3)
    same_truth_N, poor = drawn(schema, 500, strength=1)
    assert np.array_equal(truth_N, same_truth_N)
    forth = compare(name, schema, truth_N, good, poor, to="poor")
    back = compare(name, schema, truth_N, poor, good, to="good")
    assert forth.to == "poor" and forth.real and forth.low > 0 and forth.p < 0.01
    assert back.real and back.high < 0
    assert back.difference == pytest.approx(-forth.difference)


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "roc_auc", "log_loss"])
def test_the_same_answers_do_not_differ(name: str, three: Schema, drawn: Drawn) -> None:
    truth_N, answers = drawn(three, 60)
    found = compare(name, three, truth_N, answers, answers, to="itself")
    assert (found.difference, found.low, found.high, found.p, found.real) == (0, 0, 0, 1, False)


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "roc_auc"])
def test_luck_is_seldom_called_real(name: str, three: Schema) -> None:
    """Two equally good predictors, 100 times: 5 false alarms on average, over 13 once in 2,000 tries."""
    alarms = 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        truth_N = generator.integers(0, 3, 150)
        sheets = []
        for _ in range(2):
            odds_NC = np.exp(generator.normal(size=(150, 3)) + 2 * np.eye(3)[truth_N])
            sheets.append(Predictions(probabilities_NC=odds_NC / odds_NC.sum(axis=1, keepdims=True)))
        alarms += compare(name, three, truth_N, *sheets, to="twin").real
    assert alarms <= 13


def test_the_standard_error_of_a_paired_difference_of_accuracy(three: Schema) -> None:
    """400 examples, only ours right on 30, only theirs on 10: variance ((30 + 10) - 20^2 / 400) / 400^2,
    so the standard error is sqrt(39) / 400 = .01561, and the difference .05."""
    truth_N = np.zeros(400, dtype=int)
    ours_N, theirs_N = np.zeros(400, dtype=int), np.zeros(400, dtype=int)
    theirs_N[:30], ours_N[30:40] = 1, 1
    sheets = [Predictions(probabilities_NC=np.eye(3)[each]) for each in (ours_N, theirs_N)]
    difference, error = paired_standard_error("accuracy", three, truth_N, *sheets)
    assert difference == pytest.approx(0.05)
    assert error == pytest.approx(0.01561, rel=0.05)  # 2,000 resamples know it to 1.6%


def test_the_smallest_detectable_difference() -> None:
    """An interval of +-1.96 standard errors of .01: (1.96 + .8416) * .01 = .0280."""
    assert detectable(Comparison("x", 0.0, -0.0196, 0.0196, 1.0, False)) == pytest.approx(0.0280, abs=1e-4)
