"""The server's answers: every endpoint, every limit, one shape for every error."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pytest
from starlette.testclient import TestClient

from modelwright.deployment.load import Loaded
from modelwright.deployment.server.app import create_app
from modelwright.deployment.server.batching import Batcher
from modelwright.deployment.server.limits import Limits
from modelwright.deployment.server.openapi import ERRORS
from modelwright.deployment.server.replies import Refusal

TOKEN = "a-token-of-thirty-two-characters"
BASE = "http://127.0.0.1:8000"
Client = Callable[..., TestClient]


@pytest.fixture
def client(loaded: Callable[[str], Loaded]) -> Iterator[Client]:
    opened: list[TestClient] = []

    def of(kind: str, *, token: str = "", limits: Limits | None = None, **options: Any) -> TestClient:
        found = loaded(kind)
        if options:
            found = dataclasses.replace(found, predictor=dataclasses.replace(found.predictor, calls=[], **options))  # type: ignore[type-var]
        one = TestClient(create_app(found, token=token, limits=limits), base_url=BASE)
        one.__enter__()
        opened.append(one)
        return one

    yield of
    for one in opened:
        one.__exit__(None, None, None)


def error(response: Any, status: int, code: str) -> list[dict[str, str]]:
    """The faults of an error, after checking that it has the one shape."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("application/json")
    said = response.json()
    assert list(said) == ["error", "code", "faults"]
    assert said["code"] == code and isinstance(said["error"], str) and said["error"].endswith(".")
    assert all(set(fault) == {"where", "found", "expected", "todo"} for fault in said["faults"])
    return list(said["faults"])


def test_a_table_is_answered_as_python_is(client: Client, loaded: Callable[[str], Loaded]) -> None:
    given = {"age": "41", "city": "Bern", "customer_id": 7}
    response = client("table").post("/predict", json={"inputs": [given, given]})
    said = response.json()
    assert response.status_code == 200
    assert said["package"] == loaded("table").id
    assert said["predictions"] == loaded("table").predict([given, given])
    assert said["warnings"][0] == "'customer_id' is not used: it is an identifier (in 2 of 2 inputs)"
    answer = said["predictions"][0]
    assert set(answer) == {"output", "confidence", "probabilities"}
    assert answer["confidence"] == answer["probabilities"][answer["output"]] == max(answer["probabilities"].values())
    assert set(answer["probabilities"]) == {"no", "yes"}


@pytest.mark.parametrize("body", [{"inputs": ["hi"]}, ["hi"], "hi", {"text": "hi"}, {"message": "hi"}])
def test_a_text_comes_in_any_wrapping(body: Any, client: Client, loaded: Callable[[str], Loaded]) -> None:
    said = client("text").post("/predict", json=body).json()
    assert said["predictions"] == loaded("text").predict(["hi"])
    assert len(said["predictions"][0]["probabilities"]) == 5  # of 30 classes


def test_a_number_and_an_image(client: Client, loaded: Callable[[str], Loaded], image: Any) -> None:
    said = client("price").post("/predict", json={"rooms": 3}).json()
    assert list(said["predictions"][0]) == ["output"] and isinstance(said["predictions"][0]["output"], float)
    photo = base64.b64encode(image.examples["photo"][0]).decode()
    said = client("image").post("/predict", json=[photo]).json()
    assert said["predictions"] == loaded("image").predict([photo])


def test_all_faults_at_once(client: Client) -> None:
    faults = error(client("table").post("/predict", json=[{"aeg": 3}, {"age": "old", "since": 3}]), 422, "input")
    assert [fault["where"] for fault in faults] == ["inputs[0].'aeg'", "inputs[1].age", "inputs[1].since"]
    assert "did you mean age" in faults[0]["todo"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b'{"age": NaN}', "not_json"),
        (b'{"age": -Infinity}', "not_json"),
        (b'{"age": 1, "age": 2}', "not_json"),
        (b"\xff\xfe", "not_json"),
        (b'{"age": ' + b"9" * 5000 + b"}", "not_json"),
        (b'{"age": 1e400}', "input"),
        (b'{"age": 1180591620717411303424}', "input"),
        (b'{"city": "\\ud800"}', "input"),
        (b'{"\\ud800": 1}', "input"),
        (b"[" * 33 + b"]" * 33, "too_deep"),
        (b"[" * 100_000 + b"]" * 100_000, "too_deep"),
        (b'{"a":' * 50 + b"1" + b"}" * 50, "too_deep"),
        (b"[]", "input"),
        (b"null", "input"),
        (b"[null]", "input"),
        (b"[[[]]]", "input"),
        (json.dumps([{"age": 1}] * 257).encode(), "input"),
    ],
)
def test_hostile_bodies_are_refused_cleanly(body: bytes, code: str, client: Client) -> None:
    response = client("table").post("/predict", content=body, headers={"content-type": "application/json"})
    error(response, 422, code)


def test_bounds_of_a_request(client: Client) -> None:
    table = client("table")
    json_type = {"content-type": "application/json"}
    error(table.post("/predict", content=b" " * (2**20 + 1), headers=json_type), 413, "too_large")
    parts = (b" " * 65536 for _ in range(17))  # chunked: no length is announced
    error(table.post("/predict", content=parts, headers=json_type), 413, "too_large")
    error(table.post("/predict", content=b"x", headers=json_type | {"content-encoding": "gzip"}), 415, "encoding")
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        error(table.post("/predict", content=b'{"age": 1}', headers={"content-type": kind}), 415, "media_type")
    full = {"inputs": [{"age": age} for age in range(256)]}
    assert len(table.post("/predict", json=full).json()["predictions"]) == 256


def test_an_unknown_path_and_method_have_the_error_shape(client: Client) -> None:
    table = client("table")
    error(table.get("/nowhere"), 404, "not_found")
    error(table.get("/predict"), 405, "method")
    error(table.request("PROPFIND", "/health"), 405, "method")
    error(table.options("/predict"), 405, "method")
    assert "access-control-allow-origin" not in table.options("/predict").headers
    error(table.get("/predict/"), 404, "not_found")


def test_a_failing_model_is_a_plain_500_and_spares_its_neighbours(client: Client) -> None:
    text = client("text", poison="boom")
    assert "Traceback" not in text.post("/predict", json="boom").text
    error(text.post("/predict", json="boom"), 500, "internal")
    assert text.post("/predict", json="fine").status_code == 200


def test_a_slow_model_is_a_503(client: Client) -> None:
    slow = client("text", seconds=0.3, limits=Limits(answer_seconds=0.05))
    response = slow.post("/predict", json="hi")
    error(response, 503, "timeout")
    assert response.headers["retry-after"]


def test_health_says_which_package_answers(client: Client, loaded: Callable[[str], Loaded]) -> None:
    said = client("table", token=TOKEN).get("/health").json()
    assert said.pop("uptime_seconds") >= 0
    assert said == {
        "status": "ok",
        "package": loaded("table").id,
        "name": "demo-1",
        "golden": {"count": 64, "passed": 64},
    }


def test_metrics_count_what_was_answered_and_refused(client: Client, loaded: Callable[[str], Loaded]) -> None:
    table = client("table")
    given = [{"age": age} for age in (20, 30, 40)]
    expected = [answer["output"] for answer in loaded("table").predict(given)]
    for one in given:
        table.post("/predict", json=one)
    table.post("/predict", json={"nothing": 1})
    for path in ("/a", "/b"):
        table.get(path)
    text = table.get("/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert lines['modelwright_requests_total{path="/predict",status="200"}'] == "3"
    assert lines['modelwright_requests_total{path="/predict",status="422"}'] == "1"
    assert lines['modelwright_requests_total{path="other",status="404"}'] == "2"
    assert lines["modelwright_request_seconds_count"] == lines["modelwright_confidence_count"] == "3"
    assert lines['modelwright_request_seconds_bucket{le="+Inf"}'] == "3"
    for name in set(expected):
        assert lines[f'modelwright_predictions_total{{output="{name}"}}'] == str(expected.count(name))
    assert all(re.fullmatch(r"[a-z_]+(\{[^{}]*\})?", name) for name in lines)


def test_metrics_of_numbers_use_the_quantiles_of_the_reference(client: Client) -> None:
    price = client("price")
    price.post("/predict", json=[{"rooms": rooms} for rooms in range(1, 9)])
    text = price.get("/metrics").text
    assert "modelwright_prediction_value_count 8" in text
    assert text.count("modelwright_prediction_value_bucket") == 14


def test_openapi_names_the_columns_and_every_error(client: Client) -> None:
    document = client("table", token=TOKEN).get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert set(document["components"]["schemas"]["Input"]["properties"]) == {"age", "income", "city", "member", "since"}
    predict = document["paths"]["/predict"]["post"]
    assert set(predict["responses"]) == {"200", *ERRORS}
    assert predict["security"] == [{"token": []}]
    references = set(re.findall(r'"#/components/schemas/(\w+)', json.dumps(document)))
    assert references == set(document["components"]["schemas"])
    example = predict["requestBody"]["content"]["application/json"]["example"]
    assert client("table").post("/predict", json=example).status_code == 200


def test_the_page_works_offline_and_shows_what_can_be_sent(client: Client, loaded: Callable[[str], Loaded]) -> None:
    for kind in ("table", "text", "image", "price"):
        one = client(kind, token=TOKEN)
        page = one.get("/docs").text
        assert "<script" not in page and "://" not in page.replace(BASE, "")
        assert all(f"<code>{name}</code>" in page for name in loaded(kind).signature.names)
        for path in one.get("/openapi.json").json()["paths"]:
            assert f"</b> {path}</code>" in page
        assert one.get("/docs.css").headers["content-type"].startswith("text/css")
    assert client("table").get("/", follow_redirects=False).headers["location"] == "/docs"
    assert TOKEN not in page


def test_the_curl_example_of_the_page_is_answered_as_the_page_says(client: Client) -> None:
    import html

    table = client("table")
    page = html.unescape(table.get("/docs").text)
    body = re.search(r"-d '(.*?)'</code>", page, re.S)
    answer = re.search(r"<p>The answer:</p>\s*<pre[^>]*><code>(.*?)</code>", page, re.S)
    assert body and answer
    assert table.post("/predict", json=json.loads(body[1])).json() == json.loads(answer[1])


def form(one: TestClient, **fields: Any) -> Any:
    key = re.search(r'name="form" value="(\w+)"', one.get("/docs").text)
    assert key
    parts = {"form": key[1]} | fields
    return one.post(
        "/try", files={name: value if isinstance(value, tuple) else (None, value) for name, value in parts.items()}
    )


def test_the_form_predicts_without_a_script(client: Client, loaded: Callable[[str], Loaded], image: Any) -> None:
    response = form(client("table"), field_0="41", field_2="Bern")
    assert response.status_code == 200
    (answer,) = loaded("table").predict([{"age": 41, "city": "Bern"}])
    assert f'<strong class="output">{answer["output"]}</strong>' in response.text
    assert "&#39;income&#39; is missing" in response.text
    (answer,) = loaded("text").predict(["two\nlines <b>"])
    response = form(client("text"), field_0="two\r\nlines <b>")
    assert answer["output"] in response.text and "lines &lt;b&gt;</textarea>" in response.text
    photo = image.examples["photo"][0]
    response = form(client("image"), field_0=("a.png", photo, "image/png"))
    (answer,) = loaded("image").predict([base64.b64encode(photo).decode()])
    assert f'<strong class="output">{answer["output"]}</strong>' in response.text


def test_the_form_says_what_is_wrong_and_keeps_what_was_typed(client: Client) -> None:
    response = form(client("table"), field_0="old")
    assert response.status_code == 422
    assert "inputs[0].age" in response.text and 'value="old"' in response.text


def test_the_form_needs_its_cookie_its_key_and_the_token(client: Client) -> None:
    guarded = client("table", token=TOKEN)
    assert form(guarded, field_0="41").status_code == 401
    assert form(guarded, field_0="41", token="x" * len(TOKEN)).status_code == 401
    assert form(guarded, field_0="41", token="schlüssel").status_code == 401
    accepted = form(guarded, field_0="41", token=TOKEN)
    assert accepted.status_code == 200 and TOKEN not in accepted.text
    assert form(guarded, field_0="41", token=TOKEN, form="0" * 64).status_code == 403
    key = re.search(r'name="form" value="(\w+)"', guarded.get("/docs").text)
    assert key
    guarded.cookies.clear()
    parts = {"form": (None, key[1]), "field_0": (None, "41"), "token": (None, TOKEN)}
    assert guarded.post("/try", files=parts).status_code == 403
    assert guarded.post("/try", data={"form": key[1]}).status_code == 415
    cookie = guarded.get("/docs").headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie


def test_hostile_names_are_escaped_on_the_page(tmp_path: Any, text: Any) -> None:
    from modelwright.deployment.load import load_package
    from modelwright.deployment.package import package
    from modelwright.models.predictors.fake import Fake
    from modelwright.records import Column, Schema

    evil = '"><script>alert(1)</script>{{7*7}}'
    schema = Schema("classification", "table", (Column(evil, "category"),), evil + "o", (evil, "b"))
    examples = pl.DataFrame({evil: [evil, "b"] * 20, evil + "o": [evil, "b"] * 20})
    lineage: dict[str, object] = {"problem": {"statement": evil}}
    found = package(Fake(schema), name="demo", to=tmp_path, examples=examples, lineage=lineage, seed=0)
    one = TestClient(create_app(load_package(found.path), token=""), base_url=BASE)
    pages = one.get("/docs").text + form(one, field_0=evil).text
    assert "<script" not in pages and "{{7*7}}" in pages
    assert 'output="\\"><script>' in one.get("/metrics").text or one.get("/metrics").status_code == 200


def frame(*numbers: int) -> pl.DataFrame:
    return pl.DataFrame({"n": list(numbers)})


def test_requests_that_wait_share_a_call_and_get_their_own_answers() -> None:
    calls: list[int] = []

    def answer(asked: pl.DataFrame) -> list[dict[str, Any]]:
        import time

        calls.append(len(asked))
        time.sleep(0.05)
        return [{"output": n} for n in asked["n"].to_list()]

    async def ask_all() -> list[Any]:
        batcher = Batcher(answer, Limits(inputs=8), lambda size: None)

        async def ask(n: int) -> Any:
            with batcher.admitted():
                return await batcher.ask(frame(n, n + 100))

        found = await asyncio.gather(*(ask(n) for n in range(10)))
        batcher.close()
        return found

    assert asyncio.run(ask_all()) == [[{"output": n}, {"output": n + 100}] for n in range(10)]
    assert sum(calls) == 20 and max(calls) == 8 and len(calls) == 3


def test_one_bad_request_does_not_fail_those_that_share_its_call() -> None:
    def answer(asked: pl.DataFrame) -> list[dict[str, Any]]:
        if 3 in asked["n"].to_list():
            raise RuntimeError("three")
        return [{"output": n} for n in asked["n"].to_list()]

    async def ask_all() -> list[Any]:
        batcher = Batcher(answer, Limits(), lambda size: None)
        with batcher.admitted(), batcher.admitted():  # two under way: the first waits for the others
            found = await asyncio.gather(*(batcher.ask(frame(n)) for n in range(5)), return_exceptions=True)
        batcher.close()
        return found

    found = asyncio.run(ask_all())
    assert isinstance(found.pop(3), RuntimeError)
    assert found == [[{"output": n}] for n in (0, 1, 2, 4)]


def test_one_more_than_may_be_under_way_is_told_when_to_come_again() -> None:
    batcher = Batcher(lambda asked: [], Limits(under_way=2), lambda size: None)
    with batcher.admitted(), batcher.admitted():
        with pytest.raises(Refusal) as caught, batcher.admitted():
            pass
        assert (caught.value.status, caught.value.code, caught.value.headers) == (429, "busy", {"retry-after": "1"})
    with batcher.admitted():
        assert batcher.under_way == 1
    batcher.close()


def test_those_who_gave_up_are_not_answered() -> None:
    calls: list[list[int]] = []

    def answer(asked: pl.DataFrame) -> list[dict[str, Any]]:
        import time

        calls.append(asked["n"].to_list())
        time.sleep(0.2)
        return [{"output": n} for n in asked["n"].to_list()]

    async def ask_all() -> list[Any]:
        batcher = Batcher(answer, Limits(answer_seconds=0.1), lambda size: None)
        first = asyncio.create_task(batcher.ask(frame(1)))
        await asyncio.sleep(0.02)  # the first is being answered, the second waits behind it for too long
        found = await asyncio.gather(first, batcher.ask(frame(2)), return_exceptions=True)
        await asyncio.sleep(0.3)
        batcher.close()
        return found

    assert [each.code for each in asyncio.run(ask_all())] == ["timeout", "timeout"]
    assert calls == [[1]]


def test_too_many_at_once_are_a_429_on_the_wire(client: Client) -> None:
    full = client("text", limits=Limits(under_way=0))
    response = full.post("/predict", json="hi")
    error(response, 429, "busy")
    assert response.headers["retry-after"] == "1"
    assert full.get("/health").status_code == 200


def test_a_body_that_does_not_arrive_is_given_up() -> None:
    from modelwright.deployment.server.bodies import read_body

    async def silent() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    with pytest.raises(Refusal) as caught:
        asyncio.run(read_body(silent, {}, Limits(body_seconds=0.05)))
    assert (caught.value.status, caught.value.code) == (408, "slow")


def test_answers_do_not_depend_on_the_company(client: Client, loaded: Callable[[str], Loaded]) -> None:
    found = loaded("text")
    texts = [f"text {i}" for i in range(50)]
    together = found.predict(texts)
    assert [found.predict([text])[0] for text in texts] == together
