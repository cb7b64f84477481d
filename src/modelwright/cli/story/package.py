"""What is told of the package, and of the server that answers with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from modelwright.cli.story.line import Line
from modelwright.cli.words import milliseconds, place

if TYPE_CHECKING:
    from modelwright.deployment.server.serve import Serving
    from modelwright.records import Package


def about_package(package: Package) -> Iterator[Line]:
    """Where it is, whether its golden cases pass, and how fast it answers."""
    golden = package.golden
    passed = f"{golden.passed}" if golden.passed == golden.count else f"{golden.passed} of {golden.count}"
    parts = [place(package.path), f"{passed} golden cases pass"]
    if package.latency_ms is not None:
        parts.append(milliseconds(package.latency_ms.p95))
    yield "Package", " · ".join(parts)


def about_next(package: Package) -> Iterator[Line]:
    """What to do now."""
    yield "Next", f"modelwright serve {place(package.path)}"


def about_serving(serving: Serving) -> Iterator[Line]:
    """Where it listens, and how to ask it."""
    yield "Serving", f"{serving.url} · docs at {serving.url}/docs · stop with Ctrl-C"
    if serving.token is not None:
        yield "Token", serving.token
