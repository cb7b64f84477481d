from collections.abc import Callable

import numpy as np
import pytest

from modelwright.data.parts import objects
from modelwright.evaluation import metrics
from modelwright.evaluation.intervals import all_intervals, interval, wilson
from modelwright.evaluation.ranks import area_influence, mid_ranks
from modelwright.evaluation.resample import draws, resampled_SR
from modelwright.models.predictors import Predictions
from modelwright.records import Schema, Span

Drawn = Callable[..., tuple[np.ndarray, Predictions]]


def test_wilson_agrees_with_scipy() -> None:
    from scipy.stats import binomtest

    for hits, count in [(0, 10), (10, 10), (7, 12), (95, 100)]:
        expected = binomtest(hits, count).proportion_ci(method="wilson")
        assert wilson(hits, count) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert wilson(0, 0) == (0.0, 1.0)


def test_limits_of_f1_are_those_of_the_share_of_hits(two: Schema) -> None:
    """TP 2, FP 1, FN 1: J = 2/4, and Wilson's limits of 2 in 4 are .1500 and .8500; F1 = 2J / (1 + J)."""
    yes_N = np.array([0.9, 0.8, 0.3, 0.6, 0.2])
    found = interval(
        "f1", two, np.array([1, 1, 1, 0, 0]), Predictions(probabilities_NC=np.stack([1 - yes_N, yes_N], 1))
    )
    assert found.value == pytest.approx(2 / 3)
    assert (found.low, found.high) == pytest.approx((0.3 / 1.15, 1.7 / 1.85), abs=1e-3)


def test_delong_agrees_with_the_jackknife(two: Schema, drawn: Drawn) -> None:
    truth_N, predictions = drawn(two, 150)
    assert predictions.probabilities_NC is not None
    area, influence_N = area_influence(truth_N, predictions.probabilities_NC, 1)
    assert area == pytest.approx(metrics.score("roc_auc", two, truth_N, predictions), abs=1e-12)
    weights_RN = 1 - np.eye(150)
    left_out_N = metrics.weigh(metrics.METRICS["roc_auc"], two, truth_N, predictions, weights_RN)
    jackknife = np.sqrt(149 / 150 * ((left_out_N - left_out_N.mean()) ** 2).sum())
    assert influence_N.std(ddof=1) / np.sqrt(150) == pytest.approx(jackknife, rel=0.03)


def test_mid_ranks_agree_with_scipy() -> None:
    from scipy.stats import rankdata

    values_N = np.array([3.0, 1.0, 3.0, 2.0, 3.0, 1.0])
    assert mid_ranks(values_N) == pytest.approx(rankdata(values_N))


@pytest.mark.parametrize("kind", ["two", "three", "numbers"])
def test_every_interval_holds_its_figure_and_is_the_same_twice(
    kind: str, drawn: Drawn, request: pytest.FixtureRequest
) -> None:
    schema: Schema = request.getfixturevalue(kind)
    truth_N, predictions = drawn(schema, 120)
    found = all_intervals(schema, truth_N, predictions)
    assert set(found) == set(metrics.metrics_for(schema))
    for name, each in found.items():
        assert each.low is not None and each.high is not None
        assert each.low <= each.value <= each.high, name
        assert each.high > each.low, name
    assert found == all_intervals(schema, truth_N, predictions)


def test_drawing_cells_is_drawing_examples(three: Schema, drawn: Drawn) -> None:
    truth_N, predictions = drawn(three, 200)
    metric = metrics.METRICS["macro_f1"]
    cells_R = resampled_SR(metric, three, truth_N, [predictions], seed=0, resamples=2000)[0]
    blocks = draws(200, seed=1, resamples=2000)
    examples_R = np.concatenate([metrics.weigh(metric, three, truth_N, predictions, block) for block in blocks])
    # Standard errors of a mean and of a deviation over 2,000 draws are 2.2% and 1.6% of the deviation.
    assert cells_R.mean() == pytest.approx(examples_R.mean(), abs=0.15 * examples_R.std())
    assert cells_R.std() == pytest.approx(examples_R.std(), rel=0.1)


def test_perfect_answers_do_not_prove_perfection(two: Schema, three: Schema) -> None:
    for schema in (two, three):
        truth_N = np.arange(30) % len(schema.classes)
        perfect = Predictions(probabilities_NC=np.eye(len(schema.classes))[truth_N] * 0.98 + 0.01)
        found = all_intervals(schema, truth_N, perfect)
        for name in ("accuracy", "macro_f1", "balanced_accuracy", "matthews", "roc_auc"):
            assert found[name].value == pytest.approx(1)
            assert found[name].low is not None and 0.7 < found[name].low < 0.97, name


def test_calibrated_answers_may_have_no_calibration_error(two: Schema) -> None:
    generator = np.random.default_rng(0)
    yes_N = generator.uniform(0, 1, 500)
    truth_N = (generator.random(500) < yes_N).astype(int)
    found = interval("calibration_error", two, truth_N, Predictions(probabilities_NC=np.stack([1 - yes_N, yes_N], 1)))
    assert found.value > 0
    assert found.low == 0


@pytest.mark.parametrize(
    ("name", "kind", "count"),
    [
        ("accuracy", "three", 80),
        ("macro_f1", "three", 120),
        ("f1", "two", 100),
        ("roc_auc", "two", 100),
        ("r2", "numbers", 100),
        ("micro_f1", "labels", 100),
        ("mean_average_precision", "labels", 200),
        ("micro_f1", "spans", 100),
    ],
)
def test_intervals_cover_the_truth_about_95_times_in_100(
    name: str, kind: str, count: int, drawn: Drawn, request: pytest.FixtureRequest
) -> None:
    """Of 150 intervals at 95% about 142 hold the truth, give or take 2.7; 131 is four of those below."""
    schema: Schema = request.getfixturevalue(kind)
    truth = metrics.score(name, schema, *drawn(schema, 100_000, seed=999))
    held = 0
    for seed in range(150):
        found = interval(name, schema, *drawn(schema, count, seed=seed), resamples=300)
        assert found.low is not None and found.high is not None
        held += found.low <= truth <= found.high
    assert held >= 131


def test_perfect_sets_and_spans_are_no_proof(labels: Schema, spans: Schema) -> None:
    """Of 8 examples 6 hold a label, a 4 and b 2 (c none): z^2 = 3.8415, so 3.8415 / (6 + 3.8415) = .390 may be missed
    of all, and of the mean over two labels half of 3.8415 / (2 + 3.8415) = .658. With 6 examples that hold a span and
    one label, .390 either way."""
    truth_NC = np.array([[1, 0, 0]] * 4 + [[0, 1, 0]] * 2 + [[0, 0, 0]] * 2, dtype=bool)
    right = Predictions(probabilities_NC=truth_NC.astype(float))
    assert interval("micro_f1", labels, truth_NC, right).low == pytest.approx(1 - 0.3903, abs=1e-3)
    assert interval("macro_f1", labels, truth_NC, right).low == pytest.approx(1 - 0.6576 / 2, abs=1e-3)
    truth_N = objects([(Span(0, 1, "name"), Span(2, 3, "name"))] * 6 + [()] * 2)
    for name in ("micro_f1", "macro_f1"):
        found = interval(name, spans, truth_N, Predictions(spans_N=truth_N))
        assert (found.low, found.high) == (pytest.approx(1 - 0.3903, abs=1e-3), 1.0)


def test_no_examples_have_no_interval(numbers: Schema) -> None:
    found = interval("mae", numbers, np.array([]), Predictions(values_N=np.array([])))
    assert found.low is None and found.high is None
    assert all_intervals(numbers, np.array([]), Predictions(values_N=np.array([]))) == {}
