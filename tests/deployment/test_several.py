"""Packages whose answers are several labels or spans: what comes out, and that it is proven when loaded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelwright.data.spans import SPANS
from modelwright.deployment.load import Loaded, load_package
from modelwright.deployment.package import package
from modelwright.deployment.server.app import create_app
from modelwright.deployment.server.metrics import Metrics
from modelwright.errors import IntegrityError
from modelwright.models.predictors.decision import Decision
from modelwright.models.predictors.fake import Fake
from modelwright.records import Column, Schema

TEXT = (Column("text", "text"),)
SPANS_SCHEMA = Schema("tagging", "text", TEXT, "spans", ("name", "place"))
SETS_SCHEMA = Schema("multilabel", "text", TEXT, "topics", ("art", "music", "news"))


@pytest.fixture
def spans(tmp_path: Path) -> Loaded:
    texts = [f"Anna sings number {n}" for n in range(80)]
    cells = [[{"start": 0, "end": 4, "label": ("name", "place")[n % 2]}] for n in range(80)]
    examples = pl.DataFrame({"text": texts, "spans": pl.Series(cells, dtype=SPANS)})
    made = package(Fake(SPANS_SCHEMA), name="spans", to=tmp_path, examples=examples, lineage={}, seed=0)
    return load_package(made.path)


@pytest.fixture
def sets(tmp_path: Path) -> Loaded:
    examples = pl.DataFrame(
        {"text": [f"text {n}" for n in range(80)], "topics": [["art", "news"][: n % 3] for n in range(80)]}
    )
    predictor = Decision(Fake(SETS_SCHEMA), thresholds_C=np.array([0.2, 0.3, 0.4]))
    made = package(predictor, name="sets", to=tmp_path, examples=examples, lineage={}, seed=0)
    return load_package(made.path)


def test_spans_count_the_characters_of_the_text_as_it_was_sent(spans: Loaded) -> None:
    (answer,) = spans.predict(["  Anna sings"])
    (span,) = answer["spans"]
    assert (span["start"], span["end"], span["text"]) == (2, 6, "Anna") and 0 <= span["confidence"] <= 1
    assert spans.golden.count == spans.golden.passed == 64
    assert sum(spans.reference["answers"]["counts"].values()) == 80 and spans.reference["answers"]["sizes"] == [0, 80]


def test_labels_are_those_over_their_thresholds(sets: Loaded) -> None:
    (answer,) = sets.predict(["any text"])
    least = {"art": 0.2, "music": 0.3, "news": 0.4}
    assert answer["outputs"] == [name for name in least if answer["probabilities"][name] >= least[name]]
    card = (Path(sets.path) / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "any of 3 labels, several or none" in card and "`art` 0.2, `music` 0.3, `news` 0.4" in card


@pytest.mark.parametrize("kind", ["spans", "sets"])
def test_another_answer_to_a_golden_case_is_found(kind: str, request: pytest.FixtureRequest) -> None:
    from modelwright.deployment import golden

    loaded: Loaded = request.getfixturevalue(kind)
    cases = [json.loads(line) for line in (Path(loaded.path) / "golden.jsonl").read_text(encoding="utf-8").splitlines()]
    assert list(golden.differences(loaded.predictor, cases, loaded.signature)) == []
    if kind == "spans":
        cases[0]["output"]["spans"][0]["end"] += 1
    else:
        fewer = cases[0]["output"]["outputs"][1:] or ["art", "music", "news"]
        cases[0]["output"]["outputs"] = fewer
    (difference,) = golden.differences(loaded.predictor, cases, loaded.signature)
    assert difference.startswith("case 1: [") and " instead of [" in difference


@pytest.mark.parametrize("kind", ["spans", "sets"])
def test_the_server_answers_and_shows_them(kind: str, request: pytest.FixtureRequest) -> None:
    from fastapi.testclient import TestClient

    loaded: Loaded = request.getfixturevalue(kind)
    with TestClient(create_app(loaded, token=None), base_url="http://localhost") as client:
        asked = ["Anna sings", *(f"text {n}" for n in range(20))]
        answers = client.post("/predict", json={"inputs": asked}).json()["predictions"]
        assert answers == loaded.predict(asked)
        page = client.get("/docs").text
        key = page.split('name="form" value="')[1].split('"')[0]
        shown = client.post("/try", files={"form": (None, key), "field_0": (None, "Anna sings")}).text
        said = "<mark>Anna<sub>" if kind == "spans" else '<strong class="output">'
        assert said in shown and ("2 labels" if kind == "spans" else "3 labels") in page
        schema = client.get("/openapi.json").json()["components"]["schemas"]["Prediction"]
        assert set(schema["properties"]) == set(answers[0])
        counted = client.get("/metrics").text
        assert "modelwright_predictions_total{" in counted and "modelwright_confidence_bucket" in counted


def test_a_changed_package_is_refused(spans: Loaded) -> None:
    path = Path(spans.path) / "model" / "fake.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"salt": ""', '"salt": "x"'), encoding="utf-8")
    with pytest.raises(IntegrityError):
        load_package(spans.path)


def test_metrics_count_labels_and_spans() -> None:
    metrics = Metrics({})
    metrics.answered([{"outputs": ["a", "b"], "probabilities": {"a": 0.9, "b": 0.6}}])
    metrics.answered([{"spans": [{"label": "a", "confidence": 0.5}, {"label": "a"}]}, {"spans": []}])
    assert metrics.outputs == {"a": 3, "b": 1} and sum(metrics.confidence.counts) == 3
