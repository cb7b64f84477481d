import pytest

from modelwright.evaluation.words import count, figure, number, with_interval
from modelwright.records import Interval


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (1.0, "1"), (12.0, "12"), (0.5, "0.5"), (3.14159, "3.142"), (-2.5, "−2.5"), (1234.5, "1,234"),
        (500001.0, "500,001"), (0.00012345, "0.000123"), (2.5e12, "2.500e+12"), (None, "–"), (float("nan"), "–"),
        (float("inf"), "–"), (0.012345, "0.01235"),
    ],
)  # fmt: skip
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


def test_figures_follow_their_metric() -> None:
    assert figure("accuracy", 0.92345) == "0.923"
    assert figure("mae", 41522.6) == "41,523"
    assert figure("r2", -0.5) == "−0.500"
    assert with_interval("accuracy", Interval(0.9, 0.85, 0.94)) == "0.900 [0.850, 0.940]"
    assert with_interval("accuracy", Interval(0.9)) == "0.900"
    assert count(1, "example") == "1 example"
    assert count(1200, "class", "classes") == "1,200 classes"
