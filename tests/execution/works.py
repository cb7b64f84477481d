"""Work for test_several.py, in a module that other processes can import."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from modelwright.errors import RefusedError
from modelwright.execution import ALONE, Place
from modelwright.records import Progress


def tell_rank(*, scale: int, progress: Callable[[Progress], None], place: Place = ALONE) -> int:
    progress(Progress("train", f"{place.rank} of {place.workers}", place.rank))
    return scale * (place.rank + 7)


def refuse(*, progress: Callable[[Progress], None], place: Place = ALONE) -> None:
    if place.rank == 1:
        raise RefusedError("no")
    time.sleep(60)


def fail(*, progress: Callable[[Progress], None], place: Place = ALONE) -> None:
    raise ZeroDivisionError("of some library")


def die(*, progress: Callable[[Progress], None], place: Place = ALONE) -> None:
    if place.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def leave(*, progress: Callable[[Progress], None], place: Place = ALONE) -> None:
    if place.rank == 1:
        os.write(2, b"a library's last words\n")
        os._exit(3)
    time.sleep(60)


def sleep(*, progress: Callable[[Progress], None], place: Place = ALONE) -> None:
    progress(Progress("train", str(os.getpid()), 0))
    time.sleep(60)
