"""How many threads the classical models may use."""

from __future__ import annotations

import os


def cores() -> int:
    """The processor cores that this process may run on (a container may own fewer than the machine)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
