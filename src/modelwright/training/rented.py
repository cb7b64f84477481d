"""What the same run would take on a rented GPU, by counting operations: hours and dollars, as ranges."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from modelwright.records import Interval, Rented
from modelwright.training.work import Footprint

UTILISATION = Interval(0.2, 0.05, 0.45)
"""Operations that count, over the peak's. Large models fed well reach .35 to .46 (Chowdhery et al. 2022, table 3;
nanochat's log); small encoders on short batches far less. Our own loops reached .16 to .25 of a processor's peak."""
STEP_SECONDS = Interval(0.02, 0.008, 0.04)
"""A step takes no less however small it is: some hundred kernels are launched one by one. Chosen, not measured."""
SETUP_SECONDS = Interval(300.0, 120.0, 900.0)
"""To start the machine, install, and copy data there and the model back. Chosen."""
CONTEXT_BYTES = 1e9
"""What the driver and the libraries hold on a GPU. Chosen."""
USABLE = 0.94
"""Of a GPU's memory. Chosen."""
LONG_HOURS = 12.0
"""What takes longer than a night here is better done on a GPU; and on one GPU, longer than that many nights."""
MANY_NIGHTS = 6


@dataclass(frozen=True, slots=True)
class Machine:
    """A row of prices.yaml."""

    name: str
    memory: float
    tflops: float
    bandwidth: float
    dollars_per_hour: float
    provider: str
    as_of: str
    source: str


@cache
def machines() -> tuple[Machine, ...]:
    """What can be rented."""
    text = Path(__file__).with_name("prices.yaml").read_text(encoding="utf-8")
    rows = yaml.safe_load(text)["machines"]
    return tuple(Machine(**{**row, "as_of": str(row["as_of"])}) for row in rows)


def rented(operations: float, steps: int, footprint: Footprint) -> tuple[Rented, ...]:
    """The run on each machine that it fits on, the cheapest first.

    seconds = set-up + max(operations / (peak x utilisation), steps x the least of a step).

    Args:
        operations: Of the whole run.
        steps: Of the optimizer.
        footprint: What it holds in memory.
    """
    found = []
    for machine in machines():
        if CONTEXT_BYTES + footprint.total() > USABLE * machine.memory * 1e9:
            continue
        peak = machine.tflops * 1e12
        value = SETUP_SECONDS.value + max(operations / (peak * UTILISATION.value), steps * STEP_SECONDS.value)
        low = _low(SETUP_SECONDS) + max(operations / (peak * _high(UTILISATION)), steps * _low(STEP_SECONDS))
        high = _high(SETUP_SECONDS) + max(operations / (peak * _low(UTILISATION)), steps * _high(STEP_SECONDS))
        hours = Interval(value / 3600, low / 3600, high / 3600)
        found.append(
            Rented(
                name=machine.name,
                provider=machine.provider,
                hours=hours,
                cost=priced(hours, machine.dollars_per_hour),
                dollars_per_hour=machine.dollars_per_hour,
                as_of=machine.as_of,
                source=machine.source,
            )
        )
    return tuple(sorted(found, key=lambda each: each.cost.value))


def priced(hours: Interval, dollars_per_hour: float) -> Interval:
    """The hours in dollars."""
    return Interval(hours.value * dollars_per_hour, _low(hours) * dollars_per_hour, _high(hours) * dollars_per_hour)


def tier(hours_here: float, offers: tuple[Rented, ...]) -> tuple[str, str]:
    """What the job calls for, `laptop`, `one GPU` or `cluster`, and why.

    Args:
        hours_here: On this machine, where it fits.
        offers: From `rented`.
    """
    if hours_here <= LONG_HOURS:
        here = f"{hours_here:.1f} hours" if hours_here >= 1 else f"{max(1.0, 60 * hours_here):.0f} min"
        return "laptop", f"{here} here, no more than a night"
    fastest = min(offers, key=lambda each: each.hours.value, default=None)
    if fastest is None:
        return "cluster", f"{hours_here:.0f} hours here, and it fits on no single GPU of the price table"
    if fastest.hours.value <= MANY_NIGHTS * LONG_HOURS:
        return "one GPU", f"{hours_here:.0f} hours here, about {fastest.hours.value:.1f} on one {fastest.name}"
    return "cluster", f"about {fastest.hours.value:.0f} hours even on one {fastest.name}"


def _low(interval: Interval) -> float:
    assert interval.low is not None, "it has a range"
    return interval.low


def _high(interval: Interval) -> float:
    assert interval.high is not None, "it has a range"
    return interval.high
