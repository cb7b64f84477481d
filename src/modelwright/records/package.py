"""Step 5, at its end: what is handed on to be served."""

from __future__ import annotations

from dataclasses import dataclass

from modelwright.records.figures import Latency


@dataclass(frozen=True, slots=True)
class Golden:
    """Golden cases of a package: stored answers that must come out again when it is loaded."""

    count: int
    passed: int


@dataclass(frozen=True, slots=True)
class Package:
    """A folder that holds all that is needed to answer: weights, schema, golden cases, hashes."""

    id: str
    path: str
    files: dict[str, str]
    golden: Golden
    latency_ms: Latency | None = None
