"""How long one answer takes, and what a thousand cost."""

from __future__ import annotations

import time
from importlib import resources

import numpy as np
import polars as pl
import yaml

from modelwright.models.predictors import Predictor
from modelwright.records import Latency

WARM_UP = 3
"""Answers before the clock starts: first calls fill caches. Chosen, not measured."""

AT_LEAST = 5
"""Answers that are timed whatever they take."""

SECONDS = 2.0
"""A slow predictor is timed for about this long, so that a ladder of them ends soon."""


def measure_latency(predictor: Predictor, examples: pl.DataFrame, *, count: int = 50) -> Latency:
    """Median and 95th percentile of the milliseconds that a batch of one takes, on this machine.

    Args:
        predictor: What answers.
        examples: At least one; they are asked in turn, over again where there are fewer than `count`.
        count: Answers to time at most; fewer where they would take more than about 2 s.
    """
    singles = [examples.slice(i, 1) for i in range(min(count, examples.height))]
    started = time.perf_counter()
    for i in range(WARM_UP):
        predictor.predict(singles[i % len(singles)])
        if time.perf_counter() - started > SECONDS:
            break
    taken_ms = []
    started = time.perf_counter()
    for i in range(count):
        before = time.perf_counter()
        predictor.predict(singles[i % len(singles)])
        after = time.perf_counter()
        taken_ms.append((after - before) * 1000)
        if after - started > SECONDS and len(taken_ms) >= AT_LEAST:
            break
    p50, p95 = np.quantile(taken_ms, [0.5, 0.95])
    return Latency(float(p50), float(p95))


def cost_per_1000(latency: Latency) -> float:
    """Dollars for a thousand answers, one after the other, on the rented computer of prices.yaml.

    p50 in ms is the seconds of a thousand answers; times the price of a second: p50 * price_per_hour / 3600.
    This machine is taken to be as fast as the rented one, and no second of that one to be idle.
    """
    return latency.p50 * float(price()["price_per_hour"]) / 3600


def price() -> dict[str, str | float]:
    """The computer that costs are reckoned on: its name, dollars per hour, date and source of the price."""
    text = resources.files("modelwright.evaluation").joinpath("prices.yaml").read_text(encoding="utf-8")
    found: dict[str, str | float] = yaml.safe_load(text)["serving"]
    return found
