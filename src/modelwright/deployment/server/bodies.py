"""Bodies of requests: read within their limits, and parsed without trust."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from modelwright.deployment.server.limits import Limits
from modelwright.deployment.server.replies import Refusal

_BOUNDARY = re.compile(r'multipart/form-data;\s*boundary="?([A-Za-z0-9\'()+_,./:=?-]{1,70})"?\s*', re.I)
_PART_NAME = re.compile(rb'content-disposition: form-data; name="([^"]*)"', re.I)


async def read_body(
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    headers: MutableMapping[str, str] | Any,
    limits: Limits,
) -> bytes:
    """The whole body.

    Raises:
        Refusal: it is too large, compressed, or does not arrive in time.
    """
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(415, "encoding", "Compressed bodies are not read: send the JSON as it is.")
    too_large = Refusal(413, "too_large", f"The body is larger than {limits.body_bytes:,} bytes: send fewer inputs.")
    announced = headers.get("content-length", "0")
    if announced.isdecimal() and len(announced) < 20 and int(announced) > limits.body_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_seconds):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(400, "disconnected", "The connection ended before the body did.")
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > limits.body_bytes:
                    raise too_large
    except TimeoutError:
        sentence = f"The body did not arrive within {limits.body_seconds:g} seconds."
        raise Refusal(408, "slow", sentence) from None
    return bytes(body)


def parse_json(body: bytes, limits: Limits) -> Any:
    """The JSON value of `body`: no NaN, no key twice, no deeper than the limit.

    Raises:
        Refusal: it is no such JSON.
    """
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_once)
    except RecursionError:
        raise Refusal(422, "too_deep", f"The JSON is nested deeper than {limits.depth} levels.") from None
    except UnicodeDecodeError as error:
        raise Refusal(422, "not_json", f"The body is not UTF-8 (at byte {error.start:,}).") from None
    except ValueError as error:
        raise Refusal(422, "not_json", f"The body is not JSON: {error}.") from None
    level = [value]
    for _ in range(limits.depth):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return value
    raise Refusal(422, "too_deep", f"The JSON is nested deeper than {limits.depth} levels.")


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [each for each in value.values() if isinstance(each, dict | list)]
    return [each for each in value if isinstance(each, dict | list)] if isinstance(value, list) else []


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number; send null for a missing value")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def parse_form(body: bytes, content_type: str) -> dict[str, bytes]:
    """The content of each part by its name of a `multipart/form-data` body (RFC 7578), the last of a name.

    Raises:
        Refusal: it is no such body.
    """
    match = _BOUNDARY.fullmatch(content_type.strip())
    if match is None:
        raise Refusal(415, "media_type", "The form must be sent as multipart/form-data.")
    delimiter = b"\r\n--" + match[1].encode()
    parts = (b"\r\n" + body).split(delimiter)
    found = {}
    for part in parts[1:-1]:
        head, separator, content = part.partition(b"\r\n\r\n")
        name = _PART_NAME.search(head)
        if not separator or name is None:
            raise Refusal(422, "not_form", "A part of the form has no name.")
        found[name[1].decode("utf-8", "replace")] = content
    if len(parts) < 2 or not parts[-1].startswith(b"--"):
        raise Refusal(422, "not_form", "The form has no end.")
    return found
