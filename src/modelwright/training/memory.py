"""How much memory this process takes, at its peak."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

EVERY_SECONDS = 0.02
"""Between two looks at the resident memory: a look takes 30 µs, and what lasts shorter hardly counts. Chosen."""
TRIM_FROM, TRIM_SHARE = 0.95, 0.015
"""Of the forecast, from where on the heap is trimmed; and of the time, what trimming may take, besides touching memory
anew. Chosen."""


def memory_bytes() -> int:
    """Resident memory of this process now, or what the GPU has held at most where there is one."""
    import psutil
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return int(psutil.Process().memory_info().rss)


def release() -> None:
    """Give back to the system what nothing here uses any more, so that what comes next starts from little."""
    gc.collect()
    _trim()


class Ceiling:
    """Keeps resident memory from creeping above what was forecast, as far as that is the heap's doing.

    glibc keeps freed pieces and seldom finds one that fits where batches have many lengths: memory of a run then rises
    by 10 to 50% over some hundred steps (measured). Giving the pieces back holds it level. That takes time, a tenth of
    a second for a gigabyte and as long again to touch them anew, so it is done where there is need, and seldom.

    Args:
        forecast: In bytes.
    """

    def __init__(self, forecast: float) -> None:
        self._forecast = forecast
        self._not_before = 0.0

    def look(self) -> int:
        """The memory after a step, before anything is given back."""
        import torch

        found, now = memory_bytes(), time.perf_counter()
        if found > TRIM_FROM * self._forecast and now >= self._not_before and not torch.cuda.is_available():
            _trim()
            ended = time.perf_counter()
            self._not_before = ended + (ended - now) / TRIM_SHARE
        return found


class Peak:
    """Watches the peak of memory while it is entered: the resident memory, or the GPU's where there is one.

    The system keeps the highest figure of a process's whole life. Where that has risen since, it is the answer,
    exact; where the process held more before, the highest of many looks is.
    """

    def __init__(self) -> None:
        self._seen = 0
        self._before = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Peak:
        import torch

        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        else:
            self._before = _highest_bytes()
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def bytes(self) -> int:
        """The peak so far."""
        now = memory_bytes()
        highest = _highest_bytes()
        return max(self._seen, now, highest if 0 < self._before < highest else 0)

    def _look(self) -> None:
        import psutil

        process = psutil.Process()
        while not self._end.wait(EVERY_SECONDS):
            self._seen = max(self._seen, int(process.memory_info().rss))


def _trim() -> None:
    """Give the free pieces of the C heap back to the system, where its library can."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


@cache
def _glibc() -> Any:
    """The C library of this process where it has `malloc_trim`, else None."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") else None


def _highest_bytes() -> int:
    """The highest resident memory of this process's life, or 0 where the system does not tell."""
    if sys.platform == "win32":
        return 0
    import resource

    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(found) if sys.platform == "darwin" else int(found) * 1024


@contextmanager
def saved_bytes(network: nn.Module) -> Iterator[dict[int, int]]:
    """What autograd keeps for the way back while this is entered: place in memory -> bytes, weights left out."""
    import torch

    own = (*network.parameters(), *network.buffers())
    weights = {each.untyped_storage().data_ptr() for each in own}
    found: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # itself, it would hold the node that holds it, and an output never taken back stays

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield found
