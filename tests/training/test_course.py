"""Which of two validations is the better one."""

from __future__ import annotations

import math

import pytest

from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.training.course import Course, standing


def point(step: int, loss: float, score: float | None) -> HistoryPoint:
    return HistoryPoint(step / 4, step, 1.0, loss, None, score)


@pytest.mark.parametrize("none", [None, math.nan, math.inf])
def test_without_a_score_the_loss_decides(none: float | None) -> None:
    course = Course()
    for each in (point(0, 2.0, none), point(4, 1.0, none), point(8, 1.5, none)):
        course.note(each, "roc_auc")
    assert course.best_step == 4 and course.stale == 1


@pytest.mark.parametrize("metric", ["accuracy", "mae"])
def test_one_without_a_score_is_below_those_with_one(metric: str) -> None:
    course = Course()
    for each in (point(0, 0.5, math.nan), point(4, 2.0, 0.1), point(8, 0.1, None)):
        course.note(each, metric)
    assert course.best_step == 4


def test_a_loss_that_is_no_number_is_the_worst() -> None:
    def worth(loss: float) -> tuple[float, float]:
        return standing({"validation_score": None, "validation_loss": loss}, "accuracy")

    assert worth(math.nan) == worth(math.inf) < worth(9.0) < worth(1.0)
