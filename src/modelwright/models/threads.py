"""How many threads the classical models may use. How these wait for each other is set in the package's __init__."""

from __future__ import annotations

import os
from typing import Any


def cores() -> int:
    """The processor cores that this process may run on (a container may own fewer than the machine)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_thread() -> Any:
    """A context in which matrix products use one thread.

    Small products gain nothing from more, lose tens of times where other processes want the cores (a ridge
    regression of 0.1 s took 10 s at load 8, measured), and would depend on the machine in the last digits.
    """
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")
