import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelwright.data.seal import open_seal
from modelwright.errors import ProblemError, SealError, SourceError
from modelwright.evaluation.evaluate import evaluate, fingerprint
from modelwright.evaluation.judged import judge, judged_from
from modelwright.evaluation.metrics import metrics_for
from modelwright.models.predictors import Predictions
from modelwright.models.predictors.fake import Fake
from modelwright.problem import Constraints
from modelwright.records import Dataset, Progress, Schema, plain

Made = Callable[..., Dataset]


class Knows:
    """A predictor that is right on all but a share of the examples, by their x."""

    kind = "knows"

    def __init__(self, schema: Schema, wrong: float) -> None:
        self.schema, self.wrong = schema, wrong

    def predict(self, examples: pl.DataFrame) -> Predictions:
        x_N = examples["x"].to_numpy()
        if self.schema.task == "regression":
            return Predictions(values_N=x_N + self.wrong * np.sin(1e4 * x_N))
        is_yes_N = (x_N > 0.5) != ((x_N * 1e4) % 1 < self.wrong)
        yes_N = np.where(is_yes_N, 0.9, 0.1)
        return Predictions(probabilities_NC=np.stack([1 - yes_N, yes_N], axis=1))

    def save(self, folder: Path) -> None:
        (folder / "knows.json").write_text(json.dumps(self.wrong), encoding="utf-8")


def examples_of(schema: Schema, count: int = 1000) -> pl.DataFrame:
    x_N = np.random.default_rng(0).random(count)
    y = x_N if schema.task == "regression" else np.where(x_N > 0.5, "yes", "no")
    return pl.DataFrame({"x": x_N, "y": y})


@pytest.fixture
def dataset(two: Schema, made: Made) -> Dataset:
    return made(two, examples_of(two))


def test_the_report_on_validation(dataset: Dataset, two: Schema, tmp_path: Path) -> None:
    told: list[Progress] = []
    report = evaluate(
        dataset,
        Knows(two, 0.1),
        name="trees",
        metric="accuracy",
        goal=0.8,
        constraints=Constraints(latency_ms=10_000, error_rate=0.01),
        baseline=("constant", Knows(two, 0.4)),
        to=tmp_path / "report",
        progress=told.append,
    )
    assert (report.predictor, report.split, report.count) == ("trees", "validation", 200)
    assert report.metrics["accuracy"].value == pytest.approx(0.9, abs=0.06)
    assert report.meets == {"goal": True, "latency_ms": True, "error_rate": False, "cost_per_1000": None}
    assert report.compared is not None and report.compared.to == "constant" and report.compared.real
    assert sum(map(sum, report.confusion)) == 200
    assert sum(report.confusion[0]) == report.classes[0].count
    assert report.diagnosis is not None and report.diagnosis.verdict == "fits well"
    assert report.html is not None and Path(report.html).is_file()
    assert open_seal(dataset).looks_used == 0
    assert told and all(each.step == "evaluate" for each in told)
    json.dumps(plain(report), allow_nan=False)


def test_the_same_report_has_the_same_id(dataset: Dataset, two: Schema, tmp_path: Path) -> None:
    def ask(wrong: float) -> str:
        limits = Constraints(latency_ms=1.0)
        return evaluate(dataset, Knows(two, wrong), name="k", metric="f1", constraints=limits, to=tmp_path).id

    assert ask(0.1) == ask(0.1) != ask(0.2)


def test_regression(numbers: Schema, made: Made, tmp_path: Path) -> None:
    dataset = made(numbers, examples_of(numbers))
    report = evaluate(dataset, Knows(numbers, 0.05), name="k", metric="rmse", goal=0.1, to=tmp_path)
    assert report.metrics["rmse"].value == pytest.approx(0.05 / np.sqrt(2), rel=0.1)
    assert report.meets["goal"] is True and report.meets["error_rate"] is None
    assert report.classes == () and report.confusion == ()


def test_the_sealed_part_answers_once_and_then_only_to_what_is_better(
    dataset: Dataset, two: Schema, tmp_path: Path
) -> None:
    def ask(wrong: float, name: str) -> Any:
        predictor, baseline = Knows(two, wrong), ("constant", Knows(two, 0.5))
        return evaluate(
            dataset, predictor, name=name, metric="accuracy", goal=0.5, split="test", baseline=baseline, to=tmp_path
        )

    first = ask(0.3, "first")
    assert first.masked is None and first.count == 200 and first.looks_used == 1
    assert first.compared is not None and first.meets["goal"] is True

    again = ask(0.3, "first")
    assert again.looks_used == 1
    assert again.metrics == first.metrics and again.id == first.id
    assert list(first.metrics) == metrics_for(two)

    worse = ask(0.31, "second")
    assert worse.looks_used == 2
    assert worse.masked is not None and worse.metrics == {} and worse.compared is None
    assert worse.confusion == () and worse.classes == () and worse.slices == ()
    assert worse.meets["goal"] is None and worse.meets["error_rate"] is None
    page = Path(worse.html).read_text(encoding="utf-8")
    assert "stay sealed" in page and "All figures" not in page

    better = ask(0.02, "third")
    assert better.masked is None and better.metrics["accuracy"].value > 0.9 and better.looks_used == 3


def test_retraining_under_the_same_name_is_another_predictor(dataset: Dataset, two: Schema, tmp_path: Path) -> None:
    assert fingerprint(Knows(two, 0.1)) == fingerprint(Knows(two, 0.1)) != fingerprint(Knows(two, 0.2))
    for wrong in (0.1, 0.2):
        evaluate(dataset, Knows(two, wrong), name="k", metric="accuracy", split="test", to=tmp_path)
    assert open_seal(dataset).looks_used == 2


def test_no_looks_left_is_refused(two: Schema, made: Made, tmp_path: Path) -> None:
    dataset = made(two, examples_of(two), looks=2)
    for seed in range(2):
        evaluate(dataset, Fake(two, salt=str(seed)), name="k", metric="accuracy", split="test", to=tmp_path)
    with pytest.raises(SealError, match="all 2 looks"):
        evaluate(dataset, Fake(two, salt="more"), name="k", metric="accuracy", split="test", to=tmp_path)


def test_a_metric_that_does_not_fit_is_the_users_fault(dataset: Dataset, two: Schema, tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="this is classification"):
        evaluate(dataset, Knows(two, 0.1), name="k", metric="mae", to=tmp_path)


def test_an_empty_validation_part_is_said(two: Schema, made: Made, tmp_path: Path) -> None:
    dataset = made(two, examples_of(two).head(0))
    with pytest.raises(SourceError, match="validation part is empty"):
        evaluate(dataset, Knows(two, 0.1), name="k", metric="accuracy", to=tmp_path)


@pytest.mark.parametrize("kind", ["two", "numbers"])
def test_what_is_judged_survives_the_ledger(kind: str, request: pytest.FixtureRequest) -> None:
    schema: Schema = request.getfixturevalue(kind)
    examples, ours, theirs = examples_of(schema, 300), Knows(schema, 0.2), Knows(schema, 0.4)
    answers, other = ours.predict(examples), theirs.predict(examples)
    found = judge("accuracy" if kind == "two" else "r2", schema, examples, answers, baseline=("b", other))
    assert judged_from(json.loads(json.dumps(plain(found), sort_keys=True))) == found


def test_more_than_a_hundred_classes_have_no_confusion_matrix() -> None:
    names = tuple(f"c{i}" for i in range(101))
    schema = Schema("classification", "table", (), "y", names)
    examples = pl.DataFrame({"y": [names[i % 101] for i in range(400)]})
    answers = Predictions(probabilities_NC=np.eye(101)[(np.arange(400) % 101) // 2])
    found = judge("macro_f1", schema, examples, answers)
    assert found.confusion == () and len(found.classes) == 101 and len(found.picture.pairs) == 10
