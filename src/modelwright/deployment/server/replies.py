"""What the server says when it says no: one JSON shape for every error, whoever raises it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from modelwright.errors import Fault, ModelwrightError
from modelwright.records import plain


class Refusal(ModelwrightError):
    """A request that is not answered, with the HTTP status, the code and the sentence that say why."""

    def __init__(
        self,
        status: int,
        code: str,
        sentence: str,
        *,
        faults: Iterable[Fault] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.sentence = sentence
        self.faults = tuple(faults)
        self.headers = headers or {}
        super().__init__(sentence)


def error_body(refusal: Refusal) -> bytes:
    """`{"error": sentence, "code": slug, "faults": [{where, found, expected, todo}]}`."""
    return json_bytes({"error": refusal.sentence, "code": refusal.code, "faults": plain(refusal.faults)})


def json_bytes(value: Any) -> bytes:
    """`value` as JSON in UTF-8; a lone surrogate that a caller sent comes back as its escape."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")
