"""A package's folder -> a server on this machine, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import secrets
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelwright.deployment.load import Loaded, load_package
from modelwright.deployment.server.app import create_app
from modelwright.deployment.server.guard import LOOPBACK_NAMES, Hosts
from modelwright.deployment.server.limits import limits_for
from modelwright.errors import Fault, InputError, RefusedError

TOKEN_VARIABLE = "MODELWRIGHT_TOKEN"
TOKEN_CHARACTERS = 16  # at least, of a token that guards a public address; chosen, not measured
STOP_SECONDS = 10  # for requests under way, after a signal to stop


@dataclass(frozen=True, slots=True)
class Serving:
    """What is announced once, when the server listens."""

    url: str
    host: str
    port: int
    token: str | None  # only where it was made here: one that was given is not repeated
    guarded: bool  # a token is asked for
    public: bool  # other machines may reach it
    package: Loaded


def serve(
    path: Path | str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    allowed_hosts: Iterable[str] = (),
    expected_id: str | None = None,
    announce: Callable[[Serving], None],
) -> None:
    """Serve the package in the folder `path`; returns when Ctrl-C has stopped it.

    Args:
        path: The package's folder.
        host: The address to listen on. Beyond the loopback a token is required.
        port: 0 takes a free one.
        token: What callers must bring. None: `MODELWRIGHT_TOKEN`, else a new one, announced once. Empty:
            none is asked for, on the loopback only.
        allowed_hosts: Names besides the server's own by which callers may call it, such as a proxy's.
        expected_id: See `load_package`.
        announce: Is called once, when the server listens.

    Raises:
        InputError: the port is taken, or the address is not this machine's.
        RefusedError: the address is public and there is no token, or a short one.
        IntegrityError: the package is not what was made.
    """
    public = not is_loopback(host)
    chosen, made = resolve_token(token, public=public, host=host)
    listener = _listen(host, port)
    with listener:
        loaded = load_package(path, expected_id=expected_id)
        app = create_app(loaded, token=chosen, allowed_hosts=_hosts(host, allowed_hosts, public=public))
        port = int(listener.getsockname()[1])
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        listener.listen(128)
        announce(Serving(url, host, port, chosen if made else None, bool(chosen), public, loaded))
        _run(app, listener, limits_for(loaded.schema.kind).head_seconds)


def is_loopback(host: str) -> bool:
    """True if only this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def resolve_token(token: str | None, *, public: bool, host: str) -> tuple[str, bool]:
    """The token to ask for (empty: none), and whether it was made here.

    Raises:
        RefusedError: the address is public and there is no token, or a short one.
    """
    given = os.environ.get(TOKEN_VARIABLE) if token is None else token
    if given is None:
        return secrets.token_urlsafe(32), True
    if public and not given:
        raise RefusedError(f"{host} can be reached from other machines: without a token it is not served")
    if public and len(given) < TOKEN_CHARACTERS:
        raise RefusedError(f"a token for {host} must have at least {TOKEN_CHARACTERS} characters; leave it out for one")
    if not given.isascii() or not given.isprintable() or " " in given:
        raise InputError(Fault("token", "has characters that no header can carry", "letters, digits, punctuation"))
    return given, False


def _hosts(host: str, allowed: Iterable[str], *, public: bool) -> Hosts:
    own = {f"[{host}]" if ":" in host else host.lower()}
    if public:
        own.add(socket.gethostname().lower())
    return Hosts(LOOPBACK_NAMES | own | {name.lower() for name in allowed}, any_address=public)


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket; it is bound before the package is loaded, so that a taken port is said at once."""
    if not 0 <= port <= 65535:
        raise InputError(Fault("port", f"{port}", "0 to 65535"))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it an answer of 1 ms takes 52
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        fault = Fault(f"{host}:{port}", f"cannot be listened on: {error.strerror or error}", "", "try `--port 0`")
        raise InputError(fault) from error
    return listener


def _run(app: Any, listener: socket.socket, head_seconds: float) -> None:
    import uvicorn

    config = uvicorn.Config(
        app,
        http=_patient_protocol(head_seconds),
        loop="asyncio",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again after an orderly stop
        uvicorn.Server(config).run(sockets=[listener])


def _patient_protocol(head_seconds: float) -> type[asyncio.Protocol]:
    """The protocol of uvicorn, with a limit on how long a request's head may take.

    uvicorn 0.54 waits for it for ever, so that a client that drips one byte at a time keeps a connection.
    """
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Patient(H11Protocol):
        deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._unwatch()
            super().connection_lost(exc)

        def _watch(self) -> None:
            """The clock runs while no request is under way and one is awaited or has begun to come in."""
            if self.cycle is not None and not self.cycle.response_complete:
                self._unwatch()
            elif self.deadline is None:
                self.deadline = self.loop.call_later(head_seconds, self._give_up)

        def _unwatch(self) -> None:
            if self.deadline is not None:
                self.deadline.cancel()
                self.deadline = None

        def _give_up(self) -> None:
            self.deadline = None
            if self.cycle is None or self.cycle.response_complete:
                self.transport.close()

    return Patient
