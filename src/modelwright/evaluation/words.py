"""Figures as people read them."""

from __future__ import annotations

import math

from modelwright.evaluation.metrics import METRICS
from modelwright.records import Interval


def figure(metric: str, value: float | None) -> str:
    """The value with as many digits as the metric deserves; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    if metric in METRICS and METRICS[metric].unit == "output":
        return number(value)
    return f"{value:.3f}".replace("-", "\N{MINUS SIGN}")


def number(value: float | None) -> str:
    """Four significant digits, thousands grouped; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000 or (size >= 1 and float(value).is_integer()):
        text = f"{value:,.0f}" if size < 1e9 else f"{value:.3e}"
    elif size >= 1e-3:
        text = f"{value:.{3 - math.floor(math.log10(size))}f}".rstrip("0").rstrip(".")
    else:
        text = f"{value:.3g}"
    return text.replace("-", "\N{MINUS SIGN}")


def with_interval(metric: str, interval: Interval) -> str:
    """The value and, in brackets, its 95% interval where it has one."""
    value = figure(metric, interval.value)
    if interval.low is None or interval.high is None:
        return value
    return f"{value} [{figure(metric, interval.low)}, {figure(metric, interval.high)}]"


def count(number_of: int, thing: str, things: str | None = None) -> str:
    """The number with its noun: `1 example`, `1,200 examples`."""
    return f"{number_of:,} {thing if number_of == 1 else things or thing + 's'}"
