"""The door: every request passes here first, whatever its method and path, and every answer leaves here.

Host is checked because a page of another site can make its own name point at 127.0.0.1 (DNS rebinding);
Origin and Sec-Fetch-Site because a form of another site can post here; the token because other people and
programs may reach the port.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from modelwright.deployment.server.metrics import Metrics
from modelwright.deployment.server.replies import Refusal, error_body

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

OPEN = frozenset({"/", "/health", "/docs", "/docs.css", "/openapi.json", "/try"})
"""Paths that need no bearer token: they hold no data. `/try` asks for the token in its form."""

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::\d{1,5})?", re.ASCII)

HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
        b"frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),  # with no-referrer, browsers send `Origin: null` from our own form
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"cache-control", b"no-store"),
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hosts:
    """The names by which the server may be called.

    Args:
        names: Host names in lower case, without a port; IPv6 addresses in brackets.
        any_address: True where every IP address will do: it cannot be rebound, as a name can.
    """

    names: frozenset[str]
    any_address: bool = False

    def allow(self, header: str) -> bool:
        """True if `header`, the value of Host, is one of the names, with any port."""
        match = _HOST.fullmatch(header.lower())
        if match is None:
            return False
        return match[1] in self.names or (self.any_address and _is_address(match[1].strip("[]")))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Guard:
    """ASGI middleware: refuses what may not pass, counts, and puts the security headers on every answer."""

    app: App
    hosts: Hosts
    token: str  # empty: no token is asked for
    metrics: Metrics

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it here."""
        if scope["type"] == "websocket":  # there is none; closing before accepting is a 403
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 0

        async def sealed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
            await send(message)

        start = time.perf_counter()
        try:
            self._judge(scope)
            await self.app(scope, receive, sealed)
        except Refusal as refusal:
            await reply(refusal, sealed)
        except Exception:  # the last line of defence: a bug must not become a stack trace on the wire
            _log.exception("%s %s failed", scope["method"], scope["path"])
            if status:
                raise
            await reply(Refusal(500, "internal", "The server failed; its log says why."), sealed)
        finally:
            self.metrics.request(scope["path"], status, time.perf_counter() - start)

    def _judge(self, scope: Message) -> None:
        """Return if the request may pass.

        Raises:
            Refusal: the host, the origin or the token is not right.
        """
        hosts = _header(scope, b"host")
        if len(hosts) != 1 or not self.hosts.allow(hosts[0]):
            raise Refusal(421, "host", "This server is not called by that name (Host header).")
        if scope["method"] not in SAFE_METHODS:
            site = _header(scope, b"sec-fetch-site")
            foreign = any(urlsplit(origin).netloc != hosts[0].lower() for origin in _origins(scope))
            if foreign or any(value not in ("same-origin", "none") for value in site):
                raise Refusal(403, "origin", "The request comes from a page of another site.")
        if self.token and scope["path"] not in OPEN and not self.admits(_bearer(scope)):
            sentence = "This needs the token that the server announced: Authorization: Bearer TOKEN."
            raise Refusal(401, "token", sentence, headers={"www-authenticate": "Bearer"})

    def admits(self, token: str) -> bool:
        """True if `token` is the server's, compared in constant time."""
        return same(token, self.token)


def same(given: str, expected: str) -> bool:
    """True if the two are equal; takes as long whatever they share."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode("utf-8"))


def _header(scope: Message, name: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for key, value in scope["headers"] if key == name]


def _origins(scope: Message) -> list[str]:
    return [origin.lower() for origin in _header(scope, b"origin")]


def _bearer(scope: Message) -> str:
    values = _header(scope, b"authorization")
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    return token.strip() if scheme.lower() == "bearer" else ""


async def reply(refusal: Refusal, send: Send) -> None:
    """Send `refusal` as the answer."""
    body = error_body(refusal)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
