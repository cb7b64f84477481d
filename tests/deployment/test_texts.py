"""Packages that write answers and that model texts: what they say, and how a text goes on."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from starlette.testclient import TestClient

from modelwright.deployment.golden import differences
from modelwright.deployment.load import Loaded, load_package
from modelwright.deployment.server.app import create_app
from modelwright.deployment.server.limits import Limits
from modelwright.deployment.signature import answer_schema
from modelwright.errors import IntegrityError
from modelwright.models.predictors.ngram import NGram
from modelwright.records import Golden, Package

BASE = "http://127.0.0.1:8000"
Of = Callable[[str], Loaded]


def client(loaded: Loaded, *, token: str = "", limits: Limits | None = None) -> TestClient:
    return TestClient(create_app(loaded, token=token, limits=limits), base_url=BASE)


@pytest.mark.parametrize(("kind", "keys"), [("written", ["output"]), ("modelled", ["bits", "bits_per_byte"])])
def test_answers_are_as_their_schema_says(kind: str, keys: list[str], loaded: Of) -> None:
    found = loaded(kind)
    assert found.golden.passed == found.golden.count == 64
    answers = found.predict(["the red house", "ë"])
    assert [list(answer) for answer in answers] == [keys, keys]
    for answer in answers:
        jsonschema.validate(answer, answer_schema(found.signature))
    with client(found) as http:
        said = http.post("/predict", json={"inputs": ["the red house", "ë"]}).json()
        assert said["predictions"] == answers
        metrics = http.get("/metrics").text
    assert "modelwright_prediction_value_count 2" in metrics
    assert "modelwright_confidence" not in metrics


def test_bits_are_divided_by_bytes(loaded: Of) -> None:
    """`ë` has two bytes."""
    (answer,) = loaded("modelled").predict(["ë"])
    assert answer["bits_per_byte"] == pytest.approx(answer["bits"] / 2)


def test_golden_cases_that_differ_are_told(loaded: Of) -> None:
    for kind, key, other in (("written", "output", "another answer"), ("modelled", "bits", 3.0)):
        found = loaded(kind)
        lines = (Path(found.path) / "golden.jsonl").read_text(encoding="utf-8").splitlines()
        cases = [json.loads(line) for line in lines[:3]]
        assert list(differences(found.predictor, cases, found.signature)) == []
        cases[1]["output"][key] = other
        (said,) = differences(found.predictor, cases, found.signature)
        assert said.startswith("case 2: ")
        assert repr(other) in said


def test_a_few_written_answers_may_fall_otherwise_on_another_processor(
    make: Callable[..., Package], written: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3 of 64 are within a twentieth, 4 are not."""
    folder = Path(make(written, tmp_path).path)
    monkeypatch.setattr("modelwright.deployment.load.golden.differences", lambda *_: ["case"] * 3)
    assert load_package(folder).golden == Golden(64, 61)
    monkeypatch.setattr("modelwright.deployment.load.golden.differences", lambda *_: ["case"] * 4)
    with pytest.raises(IntegrityError, match="4 of 64"):
        load_package(folder)


def test_the_reference_holds_figures_and_no_text(loaded: Of) -> None:
    for kind, of in (("written", "characters"), ("modelled", "bits_per_byte")):
        found = loaded(kind).reference
        assert found["answers"]["of"] == of
        assert found["answers"]["quantiles"]["0.5"] > 0
        assert "number" not in json.dumps(found["answers"])


def test_a_text_goes_on_the_same_by_the_same_seed(loaded: Of) -> None:
    with client(loaded("modelled")) as http:
        asked = {"text": "the red", "max_tokens": 30, "temperature": 0.5, "seed": 3}
        one, two = (http.post("/complete", json=asked).json() for _ in range(2))
        assert one == two
        assert one["text"].startswith(" house – number")
        other = http.post("/complete", json={**asked, "temperature": 4.0, "seed": 4}).json()
        assert other["text"] != one["text"]
        assert http.post("/complete", json="the old").status_code == 200
        assert 'path="/complete",status="200"' in http.get("/metrics").text


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, ["text"]),
        ({"text": 3, "max_tokens": 0, "temperature": -1, "seed": True}, ["text", "max_tokens", "temperature", "seed"]),
        ({"text": "a", "max_tokens": 5000, "temperature": "hot"}, ["max_tokens", "temperature"]),
        ({"text": "a", "max_token": 5}, ["max_token"]),
        (["a"], ["text"]),
    ],
)
def test_all_that_is_wrong_with_a_wish_is_said_at_once(body: Any, where: list[str], loaded: Of) -> None:
    with client(loaded("modelled")) as http:
        answer = http.post("/complete", json=body)
    assert answer.status_code == 422
    assert [re.sub(r"[^a-z_]", "", fault["where"]) for fault in answer.json()["faults"]] == where


def test_only_a_completer_has_the_route_and_it_needs_the_token(loaded: Of) -> None:
    with client(loaded("written")) as http:
        assert http.post("/complete", json={"text": "a"}).status_code == 404
        assert "/complete" not in http.get("/openapi.json").json()["paths"]
        assert "go on with a text" not in http.get("/docs").text
    with client(loaded("modelled"), token="a-token-of-thirty-two-characters") as http:
        assert http.post("/complete", json={"text": "a"}).status_code == 401
        assert "/complete" in http.get("/openapi.json").json()["paths"]
        assert "go on with a text" in http.get("/docs").text


def test_a_completion_that_takes_too_long_is_a_503(loaded: Of, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NGram, "complete", lambda *_, **__: [time.sleep(0.1)])
    with client(loaded("modelled"), limits=Limits(answer_seconds=0.01)) as http:
        answer = http.post("/complete", json={"text": "the"})
    assert answer.status_code == 503


def test_the_form_shows_texts_and_bits(loaded: Of) -> None:
    for kind, shown in (("written", 'class="output">answer 0.'), ("modelled", "for each byte")):
        with client(loaded(kind)) as http:
            page = http.get("/docs").text
            key = re.search(r'name="form" value="([0-9a-f]+)"', page)
            assert key is not None
            parts = {"form": (None, key[1]), "field_0": (None, "the red house")}
            assert shown in http.post("/try", files=parts).text


def test_the_card_says_what_it_answers(loaded: Of) -> None:
    written, modelled = (Path(loaded(kind).path, "MODEL_CARD.md").read_text() for kind in ("written", "modelled"))
    assert "answers with `say`: a text that it writes." in written
    assert "answers with the bits that the text takes." in modelled
    assert "POST /complete" in modelled and "POST /complete" not in written
    assert "pipeline_tag: text-generation" in written
    assert "may be untrue" in modelled
