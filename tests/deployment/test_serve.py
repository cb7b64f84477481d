"""One real server process on the loopback, and what `serve` refuses to do."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pytest

from modelwright.deployment.load import Loaded
from modelwright.deployment.server.serve import _listen, is_loopback, resolve_token, serve
from modelwright.errors import InputError, IntegrityError, RefusedError

PROGRAM = """
import json, sys
from modelwright.deployment.server import limits, serve
serve.limits_for = lambda kind: limits.Limits(head_seconds=1.0)
def announce(it):
    print(json.dumps({"url": it.url, "port": it.port, "token": it.token, "public": it.public}), flush=True)
serve.serve(sys.argv[1], port=0, announce=announce)
"""


@pytest.fixture(scope="module")
def server(loaded: Callable[[str], Loaded]) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    environment = {name: value for name, value in os.environ.items() if name != "MODELWRIGHT_TOKEN"}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, loaded("text").path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    yield process, json.loads(process.stdout.readline())
    if process.poll() is None:
        process.kill()
    process.communicate()


def test_a_real_server_answers_and_guards(
    server: tuple[subprocess.Popen[str], dict[str, str]], loaded: Callable[[str], Loaded]
) -> None:
    _, said = server
    assert said["url"] == f"http://127.0.0.1:{said['port']}" and int(said["port"]) > 0 and not said["public"]
    assert len(said["token"]) >= 43  # 32 random bytes in base64
    headers = {"authorization": f"Bearer {said['token']}"}
    expected = loaded("text").predict(["hi"])
    with httpx.Client(base_url=said["url"]) as client:
        assert client.post("/predict", json="hi", headers=headers).json()["predictions"] == expected
        assert client.post("/predict", json="hi").status_code == 401
        assert client.get("/health", headers={"host": "evil.example"}).status_code == 421
        assert "server" not in client.get("/health").headers

        def ask(number: int) -> bool:
            text = f"text {number}"
            answer = client.post("/predict", json=text, headers=headers).json()["predictions"]
            return bool(answer == loaded("text").predict([text]))

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ask, range(100)))


def test_raw_noise_does_not_hurt(server: tuple[subprocess.Popen[str], dict[str, str]]) -> None:
    process, said = server
    heads = [
        b"\x00" * 2000,
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 50_000,
        b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET http://evil.example/metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
    ]
    for head in heads:
        with socket.create_connection(("127.0.0.1", int(said["port"])), timeout=5) as raw:
            try:
                raw.sendall(head)
                first = raw.recv(100)
            except ConnectionError:
                continue
            assert first.startswith((b"HTTP/1.1 4", b"")) and b"HTTP/1.1 200" not in first
    assert httpx.get(said["url"] + "/health").json()["status"] == "ok"
    assert process.poll() is None


def test_a_client_that_drips_is_cut_off(server: tuple[subprocess.Popen[str], dict[str, str]]) -> None:
    """The head may take one second here; a byte every 0.2 seconds must not keep the connection."""
    _, said = server
    with socket.create_connection(("127.0.0.1", int(said["port"])), timeout=5) as raw:
        start = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - start < 10:
                raw.sendall(b"G")
                time.sleep(0.2)
                raw.setblocking(False)
                try:
                    if raw.recv(1) == b"":
                        raise ConnectionResetError
                except BlockingIOError:
                    pass
                raw.setblocking(True)


def test_a_signal_stops_it_in_order(server: tuple[subprocess.Popen[str], dict[str, str]]) -> None:
    process, said = server
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=20)
    assert output == "" and said["token"] not in errors
    assert process.returncode in (0, -signal.SIGTERM)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.1", False),
        ("models.example", False),
    ],
)
def test_what_only_this_machine_reaches(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODELWRIGHT_TOKEN", raising=False)
    first, made = resolve_token(None, public=True, host="0.0.0.0")
    assert made and first != resolve_token(None, public=True, host="0.0.0.0")[0]
    assert resolve_token("", public=False, host="127.0.0.1") == ("", False)
    assert resolve_token("mine", public=False, host="127.0.0.1") == ("mine", False)
    monkeypatch.setenv("MODELWRIGHT_TOKEN", "from-the-environment")
    assert resolve_token(None, public=True, host="0.0.0.0") == ("from-the-environment", False)
    for short in ("", "short"):
        with pytest.raises(RefusedError):
            resolve_token(short, public=True, host="0.0.0.0")
    with pytest.raises(InputError, match="header"):
        resolve_token("two\nlines", public=False, host="127.0.0.1")


def test_answers_are_not_held_back_for_more_data() -> None:
    """Without the protocol's name asyncio leaves Nagle's algorithm on: 52 ms an answer instead of 2.5."""
    with _listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def never(_: object) -> None:
    raise AssertionError("nothing may be served")


def test_a_public_address_without_a_token_is_refused(loaded: Callable[[str], Loaded]) -> None:
    with pytest.raises(RefusedError, match="other machines"):
        serve(loaded("text").path, host="0.0.0.0", port=0, token="", announce=never)


def test_a_taken_port_and_a_spoilt_package_are_said_before_serving(
    loaded: Callable[[str], Loaded], tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="cannot be listened on"):
            serve(loaded("text").path, port=taken.getsockname()[1], announce=never)
    for port in (-1, 65536):
        with pytest.raises(InputError, match="port"):
            serve(loaded("text").path, port=port, announce=never)
    with pytest.raises(IntegrityError):
        serve(tmp_path, port=0, announce=never)
