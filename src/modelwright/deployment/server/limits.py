"""How much one caller may ask for: every bound of the server in one place."""

from __future__ import annotations

from dataclasses import dataclass

from modelwright.records import InputKind


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one request and on all that are under way at once.

    Bytes, inputs and depth are those of research/ops.md section 4; the others are chosen, not measured.
    """

    body_bytes: int = 2**20
    inputs: int = 256
    depth: int = 32
    tokens: int = 2000  # that one request may have written
    under_way: int = 64  # requests being read, waiting or being answered; the next gets a 429
    wait_ms: float = 2.0  # for others to share a call of the model, only where others are under way
    head_seconds: float = 10.0  # for the request line and headers to arrive
    body_seconds: float = 20.0
    answer_seconds: float = 30.0


def limits_for(kind: InputKind) -> Limits:
    """The bounds for a kind of input: images are larger, so fewer may be under way."""
    return Limits(body_bytes=16 * 2**20, under_way=16) if kind == "image" else Limits()
