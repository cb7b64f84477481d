"""Times, sizes and places as people read them."""

from __future__ import annotations

import os
from pathlib import Path


def duration(seconds: float) -> str:
    """`45 s`, `2 min 51 s`, `1 h 20 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if seconds >= 1 or seconds == 0 else f"{seconds:.1f} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def size(size_bytes: float) -> str:
    """`820 kB`, `1.4 GB`: powers of a thousand."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 999.5:
            return f"{size_bytes:.0f} {unit}" if size_bytes >= 9.95 or unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def milliseconds(value_ms: float) -> str:
    """`0.3 ms`, `12 ms`, `1.2 s`."""
    if value_ms >= 1000:
        return f"{value_ms / 1000:.1f} s"
    return f"{value_ms:.0f} ms" if value_ms >= 9.95 else f"{value_ms:.1f} ms"


def place(path: str | Path) -> str:
    """The path as one would type it here: relative where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)


def percent(share: float) -> str:
    """A share of 1 as per cent, without a sign."""
    return f"{abs(share):.0%}"
