"""The page at /docs, made on the server: it works offline, without a script, and in a text browser."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from modelwright.deployment.load import Loaded
from modelwright.deployment.server.openapi import EXAMPLE_COLUMNS
from modelwright.deployment.signature import SAID, Field, example_input
from modelwright.errors import Fault

FORM_FIELDS = 60  # columns in the form; the rest are missing values there
COOKIE = "modelwright_form"


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of the form: an answer, or what was wrong, and what stood in it."""

    values: Mapping[int, str] = field(default_factory=dict)
    answer: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    error: str = ""
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Worked:
    """The example that the page shows; no answer where the model cannot answer a placeholder."""

    example: Mapping[str, Any]
    answer: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class FormKey:
    """Ties a form to the browser that it was sent to: a cookie, and a field that only the server can make."""

    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def field_for(self, cookie: str) -> str:
        """The value of the hidden field for a browser with `cookie`."""
        return hmac.new(self.secret, cookie.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def matches(self, cookie: str, value: str) -> bool:
        """True if `value` is the field that was made for `cookie`."""
        return hmac.compare_digest(self.field_for(cookie).encode(), value.encode())


def render(
    loaded: Loaded,
    openapi: Mapping[str, Any],
    worked: Worked,
    *,
    url: str,
    needs_token: bool,
    form_field: str,
    tried: Tried,
) -> str:
    """The page.

    Args:
        loaded: The package that is served.
        openapi: Its OpenAPI document, from which the endpoints are told.
        worked: Its example.
        url: Where the caller reached the server, for the examples.
        needs_token: True where a token is asked for.
        form_field: The hidden field of the form (FormKey.field_for).
        tried: What came of the form that was just sent.
    """
    signature = loaded.signature
    shown = signature.fields[:FORM_FIELDS]
    operations = [
        {"method": method.upper(), "path": path, **operation}
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]
    text: str = _template().render(
        loaded=loaded,
        statement=_statement(loaded),
        signature=signature,
        fields=[_control(index, each, tried) for index, each in enumerate(shown)],
        more_fields=len(signature.fields) - len(shown),
        operations=operations,
        url=url,
        needs_token=needs_token,
        form_field=form_field,
        tried=tried,
        single=len(signature.fields) == 1,
        complete=_curl(url, _GOING_ON, needs_token, "complete") if "/complete" in openapi["paths"] else "",
        curl=_curl(url, {"inputs": [worked.example]}, needs_token),
        answer=json.dumps(worked.answer, indent=2, ensure_ascii=False) if worked.answer else "",
        answers_with=SAID[signature.task].format(len(signature.classes)),
        tried_pieces=_pieces(tried),
        error=json.dumps(_EXAMPLE_ERROR, indent=2, ensure_ascii=False),
    )
    return text


def _pieces(tried: Tried) -> list[tuple[str, str]]:
    """The text of the form, cut at the answered spans, each piece with its label or nothing."""
    spans = (tried.answer or {}).get("spans", [])
    text, pieces, done = tried.values.get(0, ""), [], 0
    for span in spans:
        pieces += [(text[done : span["start"]], ""), (text[span["start"] : span["end"]], span["label"])]
        done = span["end"]
    return [(piece, label) for piece, label in [*pieces, (text[done:], "")] if piece]


def _statement(loaded: Loaded) -> str:
    problem = loaded.manifest["lineage"].get("problem")
    return str(problem.get("statement", "")) if isinstance(problem, dict) else ""


_EXAMPLE_ERROR = {
    "error": "The input does not fit.",
    "code": "input",
    "faults": [{"where": "inputs[0]", "found": "...", "expected": "...", "todo": "..."}],
}


_GOING_ON = {"text": "Write the beginning here.", "max_tokens": 100, "temperature": 0.8, "seed": 0}


def _curl(url: str, example: Mapping[str, Any], needs_token: bool, route: str = "predict") -> str:
    body = json.dumps(example, ensure_ascii=False).replace("'", "'\\''")
    token = "  -H 'Authorization: Bearer TOKEN' \\\n" if needs_token else ""
    return f"curl {url}/{route} \\\n{token}  -H 'Content-Type: application/json' \\\n  -d '{body}'"


def worked_example(loaded: Loaded) -> Worked:
    """An input that can be sent as it stands, and the model's own answer to it."""
    example = example_input(loaded.signature, EXAMPLE_COLUMNS)
    try:
        found = loaded.read([example])
        answers = loaded.answer(found.frame)
    except Exception:  # anybody's model: a page without an example answer is still a page
        return Worked(example, None)
    return Worked(example, {"package": loaded.id, "predictions": answers, "warnings": list(found.warnings)})


def _control(index: int, about: Field, tried: Tried) -> dict[str, Any]:
    """How a column is asked for in the form."""
    known = [str(each).lower() if isinstance(each, bool) else str(each) for each in about.examples]
    kind = "file" if about.type == "Binary" else "area" if about.kind == "text" else "line"
    return {
        "id": f"field_{index}",
        "name": about.name,
        "kind": kind,
        "hint": "number" if about.type in ("Float64", "Int64") else about.kind,
        "mode": "decimal" if about.type in ("Float64", "Int64") else "text",
        "known": known if about.kind in ("category", "boolean") else [],
        "example": known[0] if known else "",
        "value": tried.values.get(index, ""),
        "required": not about.nullable,
    }


def value_of(about: Field, content: bytes) -> str | None:
    """The value of a form's part as JSON would have it: base64 of a file, null for an empty field."""
    if about.type == "Binary":
        return base64.b64encode(content).decode("ascii") or None
    text = content.decode("utf-8", "replace").replace("\r\n", "\n")
    return text if text or about.kind == "text" else None


@cache
def _template() -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_resource("docs.html"))


@cache
def style() -> str:
    """The style sheet of the page."""
    return _resource("docs.css")


def _resource(name: str) -> str:
    return files("modelwright.deployment.server").joinpath(name).read_text(encoding="utf-8")
