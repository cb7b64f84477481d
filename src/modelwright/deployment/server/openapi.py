"""The OpenAPI document of a package's server: its own columns and classes, not a generic body."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from modelwright.deployment.load import Loaded
from modelwright.deployment.server.completing import wish_schema
from modelwright.deployment.server.limits import Limits
from modelwright.deployment.signature import answer_schema, example_input, schema_of
from modelwright.models.predictors import completer_of

EXAMPLE_COLUMNS = 8  # of an example request: more would hide its shape

ERRORS = {
    "401": ("token", "the token is missing or wrong"),
    "403": ("origin", "the request comes from a page of another site"),
    "408": ("slow", "the body did not arrive in time"),
    "413": ("too_large", "the body is too large"),
    "415": ("media_type", "the body is not application/json"),
    "421": ("host", "the server is not called by that name"),
    "422": ("input", "the input does not fit; `faults` lists every one (also `not_json`, `too_deep`)"),
    "429": ("busy", "too many requests are under way; Retry-After says when to come again"),
    "500": ("internal", "the server failed"),
    "503": ("timeout", "the model did not answer in time"),
}
"""status -> the `code` of the error, and what it means."""


def document(loaded: Loaded, limits: Limits, *, needs_token: bool) -> dict[str, Any]:
    """The OpenAPI 3.1 document.

    Args:
        loaded: The package that is served.
        limits: Of the server.
        needs_token: True where `/predict` and `/metrics` ask for a bearer token.
    """
    security: dict[str, Any] = {"security": [{"token": []}]} if needs_token else {}
    predict = {
        "summary": "Answers to 1 or more inputs",
        "requestBody": {"required": True, "content": _json(_request(loaded, limits), _example(loaded))},
        "responses": _responses({"$ref": "#/components/schemas/Answers"}, list(ERRORS)),
    }
    paths: dict[str, Any] = {"/predict": {"post": predict | security}}
    if completer_of(loaded.predictor) is not None:
        paths["/complete"] = {"post": _complete(limits) | security}
    components: dict[str, Any] = {"schemas": _schemas(loaded)}
    if needs_token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": loaded.name,
            "version": str(loaded.manifest["version"]),
            "description": f"Package {loaded.id}, served by Modelwright {version('modelwright')}.",
        },
        "paths": paths
        | {
            "/health": {"get": _get("Is it up, and which package answers?", "Health", ["421"])},
            "/metrics": {"get": _metrics() | security},
            "/openapi.json": {"get": _get("This document", None, ["421"])},
        },
        "components": components,
    }


def _complete(limits: Limits) -> dict[str, Any]:
    text = {"type": "string"}
    example = {"text": "Write the beginning here.", "max_tokens": 100, "temperature": 0.8, "seed": 0}
    return {
        "summary": "What a text goes on with",
        "requestBody": {"required": True, "content": _json(wish_schema(limits), example)},
        "responses": _responses(_object({"package": text, "text": text}), list(ERRORS)),
    }


def _example(loaded: Loaded) -> dict[str, Any]:
    return {"inputs": [example_input(loaded.signature, EXAMPLE_COLUMNS)]}


def _json(schema: dict[str, Any], example: Any = None) -> dict[str, Any]:
    return {"application/json": {"schema": schema} | ({} if example is None else {"example": example})}


def _request(loaded: Loaded, limits: Limits) -> dict[str, Any]:
    one: dict[str, Any] = {"$ref": "#/components/schemas/Input"}
    value = one
    if len(loaded.signature.fields) == 1:
        value = {"anyOf": [one, {"$ref": f"#/components/schemas/Input/properties/{_pointer(loaded)}"}]}
    several = {"type": "array", "items": value, "minItems": 1, "maxItems": limits.inputs}
    wrapped = {"type": "object", "properties": {"inputs": several}, "required": ["inputs"]}
    return {"anyOf": [wrapped, several, one]}


def _pointer(loaded: Loaded) -> str:
    return loaded.signature.names[0].replace("~", "~0").replace("/", "~1").replace("%", "%25")


def _responses(schema: dict[str, Any], errors: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"200": {"description": "Answered", "content": _json(schema)}}
    for status in errors:
        code, meaning = ERRORS[status]
        content = _json({"$ref": "#/components/schemas/Error"})
        found[status] = {"description": f"`{code}`: {meaning}", "content": content}
    return found


def _get(summary: str, schema: str | None, errors: list[str]) -> dict[str, Any]:
    body = {"$ref": f"#/components/schemas/{schema}"} if schema else {"type": "object"}
    return {"summary": summary, "responses": _responses(body, errors)}


def _metrics() -> dict[str, Any]:
    responses = _responses({}, ["401", "421"])
    responses["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    return {"summary": "Counts and latencies for Prometheus", "responses": responses}


def _schemas(loaded: Loaded) -> dict[str, Any]:
    text = {"type": "string"}
    fault = {name: text for name in ("where", "found", "expected", "todo")}
    error = {"error": text, "code": text, "faults": {"type": "array", "items": _object(fault)}}
    prediction = {"$ref": "#/components/schemas/Prediction"}
    answers = {
        "package": text,
        "predictions": {"type": "array", "items": prediction},
        "warnings": {"type": "array", "items": text},
    }
    count = {"type": "integer"}
    health = {
        "status": text,
        "package": text,
        "name": text,
        "golden": _object({"count": count, "passed": count}),
        "uptime_seconds": {"type": "number"},
    }
    return {
        "Input": schema_of(loaded.signature)["input"],
        "Prediction": answer_schema(loaded.signature),
        "Answers": _object(answers),
        "Health": _object(health),
        "Error": _object(error),
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}
