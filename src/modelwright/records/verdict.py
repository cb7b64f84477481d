"""Step 0: what the rungs of the ladder reach, and what follows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from modelwright.records.figures import Interval, Latency


@dataclass(frozen=True, slots=True)
class RungScore:
    """One rung of the ladder as measured, or the reason why it was skipped."""

    name: str
    kind: str
    score: Interval | None = None
    latency_ms: Latency | None = None
    cost_per_1000: float | None = None
    fit_seconds: float | None = None
    skipped: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    path: str | None = None
    describes: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Step 0: does the cheapest thing already meet the goal, or is it worth training?"""

    id: str
    dataset_id: str
    metric: str
    scored_on: str
    rungs: tuple[RungScore, ...]
    decision: Literal["stop", "train"]
    chosen: str
    reason: str
