"""Figures that are in many records, with how sure they are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95% interval; `low` and `high` are null where it is not a sample statistic."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds that a batch of one takes."""

    p50: float
    p95: float
