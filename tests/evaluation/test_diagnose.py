import pytest

from modelwright.evaluation.diagnose import HistoryPoint, diagnose
from modelwright.records import Diagnosis, Interval

FALLING = [HistoryPoint(e, e, 2.0 / (1 + 0.01 * e), 2.1 / (1 + 0.01 * e)) for e in (1, 2, 3)]
SETTLED = [HistoryPoint(1, 1, 0.5, 0.52), HistoryPoint(2, 2, 0.40, 0.45), HistoryPoint(3, 3, 0.399, 0.449)]
TURNED = [HistoryPoint(1, 1, 0.5, 0.6), HistoryPoint(2, 2, 0.2, 0.5), HistoryPoint(3, 3, 0.05, 0.9)]
STEEP = [HistoryPoint(1, 1, 2.0, 2.0), HistoryPoint(2, 2, 1.0, 1.1)]


def around(value: float, half: float = 0.01) -> Interval:
    return Interval(value, value - half, value + half)


def ask(
    train: float,
    validation: float,
    *,
    history: list[HistoryPoint] | None = None,
    half: float = 0.01,
    goal: float | None = 0.9,
    baseline: float | None = None,
    count: int = 5000,
    ceiling: float | None = None,
) -> Diagnosis:
    return diagnose(
        "macro_f1",
        True,
        history or [],
        train=around(train, half / 2),
        validation=around(validation, half),
        baseline=baseline,
        goal=goal,
        count=count,
        label_ceiling=ceiling,
    )


@pytest.mark.parametrize(
    ("found", "verdict", "evidence", "next_"),
    [
        (ask(0.93, 0.92, history=SETTLED), "fits well", "neither over nor under", "sealed test"),
        (ask(1.0, 0.95), "fits well", "0.950 [0.940, 0.960]", "package"),
        (ask(0.90, 0.88), "fits well", "neither", "worst errors"),
        (ask(0.95, 0.83, half=0.13, goal=None), "fits well", "neither", "package"),  # the gap may be chance
        (ask(1.0, 0.80, history=TURNED), "overfits", "turned up after epoch 2", "for 2 epochs"),
        (ask(1.0, 0.80), "overfits", "remembered", "simpler model"),
        (ask(1.0, 0.80, count=300), "not enough data", "only 300 training examples", "label more"),
        (ask(0.9, 0.8, half=0.2), "not enough data", "an interval of 0.40", "label more"),
        (ask(0.70, 0.69, history=STEEP), "underfits", "still falling", "more epochs"),
        (ask(0.70, 0.69, goal=None, baseline=0.8), "underfits", "baseline's 0.800", "keep the baseline"),
        (ask(0.70, 0.69), "underfits", "short of 0.900", "better inputs"),
        (ask(0.85, 0.84, ceiling=0.85), "labels may be wrong", "support about 0.850", "checked by people"),
    ],
)
def test_verdicts(found: Diagnosis, verdict: str, evidence: str, next_: str) -> None:
    assert found.verdict == verdict
    assert evidence in found.evidence
    assert next_ in found.next


def test_errors_are_read_the_other_way_round() -> None:
    def errors(train: float, validation: float) -> str:
        found = diagnose(
            "mae", False, [], train=around(train), validation=around(validation), baseline=None, goal=2.0, count=9000
        )
        return found.verdict

    assert errors(1.0, 1.1) == "fits well"
    assert errors(0.5, 1.5) == "overfits"
    assert errors(3.0, 3.1) == "underfits"


def test_a_figure_that_is_not_defined_is_said() -> None:
    nan = Interval(float("nan"))
    found = diagnose("roc_auc", True, [], train=nan, validation=nan, baseline=None, goal=None, count=50)
    assert found.verdict == "not enough data"
    assert "not defined" in found.evidence
