"""How much memory this process takes, at its peak."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any

from modelwright.errors import ModelwrightError, RefusedError, ResourceError
from modelwright.models.room import USABLE, available_bytes

if TYPE_CHECKING:
    from torch import Tensor, nn

EVERY_SECONDS = 0.02
"""Between two looks at the resident memory: a look takes 30 µs, and what lasts shorter hardly counts. Chosen."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
"""Names of glibc's malloc.h."""


def memory_bytes() -> int:
    """Resident memory of this process now, or what the GPU has held at most where there is one."""
    import torch

    return int(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else _resident_bytes()


def held_bytes() -> int:
    """What this process holds now: of the GPU's memory where there is one, else resident."""
    import torch

    return int(torch.cuda.memory_allocated()) if torch.cuda.is_available() else _resident_bytes()


def release() -> None:
    """Give back to the system what nothing here uses any more, so that what comes next starts from little."""
    gc.collect()
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


@contextmanager
def pages_kept() -> Iterator[None]:
    """What is freed while this is entered stays with the process, and goes back to the system when it is left.

    Otherwise the C library hands each large tensor back to the system, and the next step asks for it anew, page by
    page. Losses and weights are the same to the bit; docs/training.md has what it gains. Only where the library is
    glibc: mallopt(3).
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        library.mallopt(_MMAP_MAX, 65536)  # its default
        library.mallopt(_MMAP_THRESHOLD, 2**25)  # these two are where it comes to by itself as large tensors are freed
        library.mallopt(_TRIM_THRESHOLD, 2**26)
        release()


@contextmanager
def within_memory(batch_size: int, *, kept: str = "") -> Iterator[None]:
    """Says what would fit where memory is full while this is entered.

    Args:
        batch_size: Of the run.
        kept: What becomes of the run, as a sentence.

    Raises:
        ResourceError: memory is full.
    """
    import torch

    try:
        yield
    except (MemoryError, RuntimeError) as error:
        full = isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
        if not full or isinstance(error, ModelwrightError):
            raise
        todo = f"set training.batch_size to {batch_size // 2} or less" if batch_size > 1 else "name a smaller model"
        said = str(error).strip().partition("\n")[0]
        raise ResourceError(f"memory does not hold a batch of {batch_size} ({said}); {todo}{kept}") from error


def check_batch(held: int, activations: float, *, examples: int) -> None:
    """Return where a batch fits into what is free.

    Args:
        held: Bytes that the process holds, the optimizer's state included.
        activations: Bytes that the batch leaves for the backward pass.
        examples: Of the batch.

    Raises:
        RefusedError: it does not; the message says what would.
    """
    free = available_bytes()
    if held + activations <= USABLE * free:
        return
    fitting = int(examples * (USABLE * free - held) / activations)
    todo = f"set training.batch_size to {fitting} or less" if fitting > 0 else "name a smaller model as model.base"
    needed = (held + activations) / 1e9
    raise RefusedError(f"a batch of {examples} needs about {needed:.1f} GB, and {free / 1e9:.1f} GB are free; {todo}")


class Peak:
    """Watches the peak of memory while it is entered: the resident memory, or the GPU's where there is one.

    The system keeps the highest figure of a process's whole life. Where that has risen since, it is the answer,
    exact; where the process held more before, the highest of many looks is. `held` is what it held when this was
    entered, in bytes; 0 of a GPU.

    Args:
        resident: Of resident memory, also where there is a GPU: what is fitted has no use for it.
    """

    def __init__(self, *, resident: bool = False) -> None:
        self._resident, self._gpu = resident, False
        self._seen = 0
        self._before = 0
        self.held = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Peak:
        if not self._resident:
            import torch

            self._gpu = torch.cuda.is_available()
        if self._gpu:
            torch.cuda.reset_peak_memory_stats()
        else:
            self.held, self._before = _resident_bytes(), _highest_bytes()
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def bytes(self) -> int:
        """The peak so far."""
        now = memory_bytes() if self._gpu else _resident_bytes()
        highest = _highest_bytes()
        return max(self._seen, now, highest if 0 < self._before < highest else 0)

    def _look(self) -> None:
        while not self._end.wait(EVERY_SECONDS):
            self._seen = max(self._seen, _resident_bytes())


def _resident_bytes() -> int:
    """Of this process, now."""
    return int(_process(os.getpid()).memory_info().rss)


@cache
def _process(number: int) -> Any:
    """What tells of the process of this number; made once, as that takes longer than a look."""
    import psutil

    return psutil.Process(number)


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
