"""Who may not pass: wrong hosts, other sites' pages, no token; on every route and method there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from modelwright.deployment.load import Loaded
from modelwright.deployment.server.app import create_app
from modelwright.deployment.server.guard import HEADERS, OPEN, Hosts

TOKEN = "a-token-of-thirty-two-characters"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]
ROUTES = ["/", "/predict", "/try", "/docs", "/docs.css", "/health", "/metrics", "/openapi.json", "/nowhere"]
FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:8000",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evil-localhost",
    "localhost.",
    "127.0.0.2",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "0.0.0.0",
    "[::]",
    "[::ffff:127.0.0.1]",
    "::1",
    "user@127.0.0.1",
    "127.0.0.1@evil.example",
    "127.0.0.1:80:80",
    "127.0.0.1:port",
    "127.0.0.1/path",
    "127.0.0.1, evil.example",
    "127.0.0.1 evil.example",
    "192.168.1.1",
    "",
]


@pytest.fixture(scope="module")
def guarded(loaded: Callable[[str], Loaded]) -> TestClient:
    return TestClient(create_app(loaded("text"), token=TOKEN), base_url="http://127.0.0.1:8000")


@pytest.fixture(scope="module")
def unguarded(loaded: Callable[[str], Loaded]) -> TestClient:
    return TestClient(create_app(loaded("text"), token=""), base_url="http://127.0.0.1:8000")


def test_the_routes_listed_here_are_all_there_are(guarded: TestClient) -> None:
    paths = {route.path for route in guarded.app.routes}  # type: ignore[attr-defined]
    assert paths == set(ROUTES) - {"/nowhere"}


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_a_foreign_host_is_refused_on_every_route_and_method(host: str, unguarded: TestClient) -> None:
    for route in ROUTES:
        for method in METHODS:
            response = unguarded.request(method, route, headers={"host": host}, follow_redirects=False)
            assert response.status_code == 421, (method, route)
            if method != "HEAD":
                assert response.json()["code"] == "host"


def test_two_hosts_or_none_are_refused(unguarded: TestClient) -> None:
    sent: list[dict[str, Any]] = []

    async def ask(headers: list[tuple[bytes, bytes]]) -> int:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b""}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/health", "headers": headers, "query_string": b""}
        await unguarded.app(scope, receive, send)  # type: ignore[arg-type]
        return int(next(message["status"] for message in reversed(sent) if "status" in message))

    import asyncio

    assert asyncio.run(ask([])) == 421
    assert asyncio.run(ask([(b"host", b"127.0.0.1"), (b"host", b"evil.example")])) == 421
    assert asyncio.run(ask([(b"host", b"127.0.0.1")])) == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:8000", "[::1]:8000", "127.0.0.1:65535"])
def test_the_loopback_is_known_by_its_names(host: str, unguarded: TestClient) -> None:
    assert unguarded.get("/health", headers={"host": host}).status_code == 200


def test_a_public_address_is_known_by_its_names_and_by_any_address() -> None:
    hosts = Hosts(frozenset({"localhost", "models.example"}), any_address=True)
    assert hosts.allow("models.example:8000") and hosts.allow("10.0.0.7:8000") and hosts.allow("[fe80::1]")
    assert not hosts.allow("evil.example") and not hosts.allow("[evil]") and not hosts.allow("10.0.0")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://localhost:8000"},
        {"origin": "http://127.0.0.1:8000.evil.example"},
        {"origin": "http://127.0.0.1:8000@evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:8000"},
    ],
)
def test_another_sites_page_can_change_nothing(headers: dict[str, str], unguarded: TestClient) -> None:
    for route in ROUTES:
        for method in set(METHODS) - {"GET", "HEAD", "OPTIONS"}:
            response = unguarded.request(method, route, headers=headers, json="hi")
            assert response.status_code == 403 and response.json()["code"] == "origin", (method, route)


def test_a_simple_form_of_another_site_without_origin_is_refused_too(unguarded: TestClient) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"):
        response = unguarded.post("/predict", content=b'"hi"', headers={"content-type": kind})
        assert response.status_code == 415


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8000", "https://127.0.0.1:8000"])
def test_our_own_page_and_programs_may_pass(origin: str, unguarded: TestClient) -> None:
    own = {"origin": origin, "sec-fetch-site": "same-origin"}
    assert unguarded.post("/predict", json="hi", headers=own).status_code == 200
    assert unguarded.post("/predict", json="hi", headers={"sec-fetch-site": "none"}).status_code == 200
    assert unguarded.post("/predict", json="hi").status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [None, "", TOKEN, f"Basic {TOKEN}", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer \xff"],
)
def test_what_is_not_open_needs_the_token(authorization: str | None, guarded: TestClient) -> None:
    headers = {} if authorization is None else {"authorization": authorization.encode("latin-1")}
    for route in [
        "/predict",
        "/metrics",
        "/nowhere",
        "/predict/",
        "http://127.0.0.1:8000//predict",
        "/Health",
        "/docs/../metrics",
        "/%6detrics",
    ]:
        for method in ("GET", "POST"):
            response = guarded.request(method, route, headers=headers, json="hi")  # type: ignore[arg-type]
            assert response.status_code == 401, route
            assert response.headers["www-authenticate"] == "Bearer" and response.json()["code"] == "token"
    response = guarded.post("/predict?token=" + TOKEN, json="hi", headers=headers)  # type: ignore[arg-type]
    assert response.status_code == 401


def test_the_token_opens_and_some_pages_are_open_anyway(guarded: TestClient) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert guarded.post("/predict", json="hi", headers=headers).status_code == 200
    assert guarded.get("/metrics", headers={"authorization": f"bearer {TOKEN}"}).status_code == 200
    for route in OPEN - {"/try"}:
        assert guarded.get(route).status_code == 200


def test_every_answer_carries_the_security_headers(guarded: TestClient) -> None:
    answers = [guarded.request(m, r, follow_redirects=False) for m in METHODS for r in ROUTES]
    answers.append(guarded.get("/health", headers={"host": "evil.example"}))
    answers.append(guarded.post("/predict", json="hi", headers={"authorization": f"Bearer {TOKEN}"}))
    for response in answers:
        for name, value in HEADERS:
            assert response.headers[name.decode()] == value.decode()
    policy = answers[0].headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "script-src" not in policy


def test_there_are_no_websockets(unguarded: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), unguarded.websocket_connect("/predict"):
        pass
