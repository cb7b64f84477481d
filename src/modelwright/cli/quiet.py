"""Keeps libraries from talking over us: what they print, in Python or in C, goes to a log.

LightGBM prints from C and transformers warns from everywhere; one stray line on standard output breaks
whoever reads the JSON.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


class Streams:
    """The true standard output and error, and the log that everything else is written to.

    Args:
        out: Standard output.
        err: Standard error.
        log: A file.
    """

    def __init__(self, out: TextIO, err: TextIO, log: Path) -> None:
        self.out, self.err, self.log = out, err, log
        self.keep_log = False  # of a temporary one: set when the user is told about it


@contextmanager
def quiet(log: Path | None) -> Iterator[Streams]:
    """The streams to speak through, while file descriptors 1 and 2 lead to a log.

    Args:
        log: Appended to. Null, or not to be written: a temporary file, removed at the end.
    """
    place, descriptor = _opened(log)
    out, err = _redirected(1, descriptor), _redirected(2, descriptor)
    os.close(descriptor)
    streams = Streams(out, err, place)
    try:
        yield streams
    finally:
        for number, python, ours in ((1, sys.stdout, out), (2, sys.stderr, err)):
            with contextlib.suppress(OSError, ValueError):
                python.flush()
            os.dup2(ours.fileno(), number)
            with contextlib.suppress(OSError):  # a reader that went away
                ours.close()
        if place != log and not streams.keep_log:
            place.unlink(missing_ok=True)


def _redirected(number: int, descriptor: int) -> TextIO:
    """A stream to where descriptor `number` led, which now leads to `descriptor`."""
    stream = sys.stdout if number == 1 else sys.stderr
    stream.flush()
    true = os.dup(number)
    os.dup2(descriptor, number)
    return open(true, "w", encoding=stream.encoding, errors="replace", buffering=1)


def _opened(log: Path | None) -> tuple[Path, int]:
    if log is not None:
        with contextlib.suppress(OSError):  # a folder that cannot be written: the step itself will say so
            log.parent.mkdir(parents=True, exist_ok=True)
            return log, os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    descriptor, name = tempfile.mkstemp(prefix="modelwright-", suffix=".log")
    return Path(name), descriptor
