"""What a run is expected to take, here and on machines that can be rented."""

from __future__ import annotations

from dataclasses import dataclass, field

from modelwright.records.figures import Interval


@dataclass(frozen=True, slots=True)
class Past:
    """How forecasts of one figure did here: runs, their median error as a share, and what the next is multiplied by."""

    runs: int
    error: float
    factor: float


@dataclass(frozen=True, slots=True)
class Rented:
    """A run on a machine that can be rented, at the price of a day."""

    name: str
    provider: str
    hours: Interval
    cost: Interval
    dollars_per_hour: float
    as_of: str
    source: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run is expected to take, each with its interval.

    `cost` is that of this machine's hours where a price is stated. `parts` are the seconds of each part of it; `past`
    says, by figure, how forecasts of such runs did on this machine; `rented` is the run elsewhere, the cheapest first.
    `crowd` is the share of the processor that other programs took while nobody was idle and this was measured.

    Memory is that of a process which holds `held_bytes` before the run, as the one that planned did.
    """

    seconds: Interval
    peak_memory_bytes: Interval
    cost: Interval
    parts: dict[str, float] = field(default_factory=dict)
    past: dict[str, Past] = field(default_factory=dict)
    disk_bytes: float = 0.0
    tier: str = ""
    tier_reason: str = ""
    rented: tuple[Rented, ...] = ()
    crowd: float = 0.0
    held_bytes: int = 0
