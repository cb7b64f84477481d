"""One process at a time works in a project's folder; the kernel drops the lock of a killed one."""

from __future__ import annotations

import fcntl
import os
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from modelwright.errors import RefusedError


class ProjectLock:
    """An exclusive lock on a folder, held between `with` and its end; the holder may enter it again.

    Args:
        path: The lock file; made if absent, never removed (removing one that another process has open
            would let both in).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._depth = 0

    def __enter__(self) -> ProjectLock:
        if self._depth == 0:
            self._acquire()
        self._depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0 and self._descriptor is not None:
            os.close(self._descriptor)  # closing releases
            self._descriptor = None

    def _acquire(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip() or "another process"
            os.close(descriptor)
            raise RefusedError(
                f"{self._path.parent.parent} is being worked on by {holder}; "
                "wait until it is done or end it, then run the same command again"
            ) from None
        since = datetime.now(UTC).astimezone().isoformat(" ", "seconds")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} since {since}\n".encode(), 0)
        self._descriptor = descriptor
