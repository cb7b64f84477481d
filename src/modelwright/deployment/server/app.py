"""A package -> an ASGI application with a handful of routes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from modelwright.deployment.inputs import Read, unwrap
from modelwright.deployment.load import Loaded
from modelwright.deployment.server.batching import Batcher
from modelwright.deployment.server.bodies import parse_form, parse_json, read_body
from modelwright.deployment.server.completing import wish_from
from modelwright.deployment.server.guard import LOOPBACK_NAMES, Guard, Hosts, same
from modelwright.deployment.server.limits import Limits, limits_for
from modelwright.deployment.server.metrics import Metrics
from modelwright.deployment.server.openapi import document
from modelwright.deployment.server.page import (
    COOKIE,
    FORM_FIELDS,
    FormKey,
    Tried,
    Worked,
    render,
    style,
    value_of,
    worked_example,
)
from modelwright.deployment.server.replies import Refusal, error_body, json_bytes
from modelwright.errors import InputError
from modelwright.models.predictors import completer_of
from modelwright.records import plain

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response

LARGE_BYTES = 64 * 1024  # a body that takes longer to parse than a thread takes to start; chosen


def create_app(
    loaded: Loaded,
    *,
    token: str | None,
    allowed_hosts: Hosts | Iterable[str] = (),
    limits: Limits | None = None,
) -> FastAPI:
    """The application that serves `loaded`.

    Args:
        loaded: The package.
        token: What callers of `/predict` and `/metrics` must bring; None or empty: nothing.
        allowed_hosts: Names besides those of the loopback by which it may be called, or a whole rule.
        limits: None: those for the kind of input.
    """
    from fastapi import FastAPI
    from starlette.exceptions import HTTPException

    rule = allowed_hosts
    if not isinstance(rule, Hosts):
        rule = Hosts(LOOPBACK_NAMES | {name.lower() for name in rule})
    service = _Service.of(loaded, token or "", limits or limits_for(loaded.schema.kind))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.batcher.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=lifespan)
    app.add_route("/predict", service.predict, methods=["POST"])
    if completer_of(loaded.predictor) is not None:
        app.add_route("/complete", service.complete, methods=["POST"])
    app.add_route("/try", service.try_form, methods=["POST"])
    app.add_route("/", service.home, methods=["GET"])
    app.add_route("/docs", service.docs, methods=["GET"])
    app.add_route("/docs.css", service.css, methods=["GET"])
    app.add_route("/health", service.health, methods=["GET"])
    app.add_route("/metrics", service.text_metrics, methods=["GET"])
    app.add_route("/openapi.json", service.openapi_json, methods=["GET"])
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(Guard, hosts=rule, token=service.token, metrics=service.metrics)
    return app


async def _http_error(request: Request, error: Exception) -> Response:
    """Starlette's own errors (no such path, not that method) in our shape."""
    from fastapi import Response
    from starlette.exceptions import HTTPException

    assert isinstance(error, HTTPException)
    code, sentence = {
        404: ("not_found", "There is nothing here: /docs lists what there is."),
        405: ("method", f"{request.method} is not answered here."),
    }.get(error.status_code, ("http", str(error.detail)))
    body = error_body(Refusal(error.status_code, code, sentence))
    return Response(body, error.status_code, error.headers, "application/json")


@dataclass(slots=True)
class _Service:
    """What the routes share for as long as the server runs."""

    loaded: Loaded
    token: str
    limits: Limits
    metrics: Metrics
    batcher: Batcher
    openapi: dict[str, Any]
    worked: Worked
    form_key: FormKey = field(default_factory=FormKey)

    @classmethod
    def of(cls, loaded: Loaded, token: str, limits: Limits) -> _Service:
        about = {"id": loaded.id, "name": str(loaded.manifest["name"]), "version": str(loaded.manifest["version"])}
        bounds = loaded.reference["answers"].get("quantiles", {}).values()
        metrics = Metrics(about, tuple(bounds))
        batcher = Batcher(loaded.answer, limits, metrics.batches.observe)
        openapi = document(loaded, limits, needs_token=bool(token))
        return cls(loaded, token, limits, metrics, batcher, openapi, worked_example(loaded))

    async def predict(self, request: Request) -> Response:
        """POST /predict."""
        from fastapi import Response

        _refuse_other_than_json(request)
        with self.batcher.admitted():
            body = await read_body(request.receive, request.headers, self.limits)
            if len(body) > LARGE_BYTES:
                found = await asyncio.to_thread(self._read, body)
            else:
                found = self._read(body)
            answers = await self._ask(found)
        said = {"package": self.loaded.id, "predictions": answers, "warnings": list(found.warnings)}
        return Response(json_bytes(said), media_type="application/json")

    async def complete(self, request: Request) -> Response:
        """POST /complete."""
        from fastapi import Response

        _refuse_other_than_json(request)
        completer = completer_of(self.loaded.predictor)
        assert completer is not None, "the route is there for these alone"
        with self.batcher.admitted():
            body = await read_body(request.receive, request.headers, self.limits)
            wish = wish_from(parse_json(body, self.limits), self.limits)
            ask = partial(completer.complete, max_tokens=wish.max_tokens, temperature=wish.temperature, seed=wish.seed)
            (text,) = await self.batcher.alone(partial(ask, [wish.text]))
        return Response(json_bytes({"package": self.loaded.id, "text": text}), media_type="application/json")

    def _read(self, body: bytes) -> Read:
        value = parse_json(body, self.limits)
        return self._fitting(unwrap_or_refuse(value, self.loaded, self.limits))

    def _fitting(self, inputs: list[Any]) -> Read:
        try:
            return self.loaded.read(inputs)
        except InputError as error:
            count = len(error.faults)
            sentence = "The input does not fit." if count == 1 else f"The input does not fit in {count} places."
            raise Refusal(422, "input", sentence, faults=error.faults) from error

    async def _ask(self, found: Read) -> list[dict[str, Any]]:
        answers = await self.batcher.ask(found.frame)
        self.metrics.answered(answers)
        return answers

    async def try_form(self, request: Request) -> Response:
        """POST /try: the form of the page; answers with the page."""
        values: dict[int, str] = {}
        try:
            with self.batcher.admitted():
                body = await read_body(request.receive, request.headers, self.limits)
                parts = parse_form(body, request.headers.get("content-type", ""))
                cookie, sent = request.cookies.get(COOKIE, ""), parts.get("form", b"").decode("ascii", "replace")
                if not self.form_key.matches(cookie, sent):
                    raise Refusal(403, "form", "The form is stale: send it again.")
                fields = dict(enumerate(self.loaded.signature.fields[:FORM_FIELDS]))
                given = {about.name: value_of(about, parts.get(f"field_{at}", b"")) for at, about in fields.items()}
                values = {at: given[about.name] or "" for at, about in fields.items() if about.type != "Binary"}
                token = parts.get("token", b"").decode("utf-8", "replace")
                if self.token and not same(token, self.token):
                    raise Refusal(401, "token", "That is not the token that the server announced.")
                found = await asyncio.to_thread(self._fitting, [given])
                answer = (await self._ask(found))[0]
        except Refusal as refusal:
            tried = Tried(values, error=refusal.sentence, faults=refusal.faults)
            return self._page(request, tried, refusal.status)
        return self._page(request, Tried(values, answer, found.warnings), 200)

    async def docs(self, request: Request) -> Response:
        """GET /docs."""
        return self._page(request, Tried(), 200)

    def _page(self, request: Request, tried: Tried, status: int) -> Response:
        from fastapi.responses import HTMLResponse

        cookie = request.cookies.get(COOKIE) or secrets.token_urlsafe(24)
        text = render(
            self.loaded,
            self.openapi,
            self.worked,
            url=f"{request.url.scheme}://{request.headers['host']}",
            needs_token=bool(self.token),
            form_field=self.form_key.field_for(cookie),
            tried=tried,
        )
        page = HTMLResponse(text.encode("utf-8", "replace"), status)
        page.set_cookie(COOKIE, cookie, httponly=True, samesite="strict", path="/")
        return page

    async def css(self, request: Request) -> Response:
        """GET /docs.css."""
        from fastapi import Response

        return Response(style(), media_type="text/css")

    async def home(self, request: Request) -> Response:
        """GET /: on to the page."""
        from fastapi.responses import RedirectResponse

        return RedirectResponse("/docs")

    async def health(self, request: Request) -> Response:
        """GET /health."""
        from fastapi import Response

        said = {
            "status": "ok",
            "package": self.loaded.id,
            "name": self.loaded.name,
            "golden": plain(self.loaded.golden),
            "uptime_seconds": round(self.metrics.uptime_seconds, 3),
        }
        return Response(json_bytes(said), media_type="application/json")

    async def text_metrics(self, request: Request) -> Response:
        """GET /metrics."""
        from fastapi import Response

        text = self.metrics.text(self.batcher.under_way)
        return Response(text, media_type="text/plain; version=0.0.4")

    async def openapi_json(self, request: Request) -> Response:
        """GET /openapi.json."""
        from fastapi import Response

        return Response(json_bytes(self.openapi), media_type="application/json")


def _refuse_other_than_json(request: Request) -> None:
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "media_type", "Send JSON with the header Content-Type: application/json.")


def unwrap_or_refuse(value: Any, loaded: Loaded, limits: Limits) -> list[Any]:
    """The inputs in a body; raises Refusal where there are none or too many."""
    try:
        return unwrap(value, loaded.signature, limits.inputs)
    except InputError as error:
        raise Refusal(422, "input", "The request holds no usable inputs.", faults=error.faults) from error
