"""Work in several processes of this machine. A worker that dies ends the others: they cannot go on without it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from modelwright.errors import LostWorkerError, ModelwrightError
from modelwright.execution import Place, Result, Tell

GRACE_SECONDS = 2.0
"""After a first failure, how long the others may still say theirs: the one that died first is the cause, the others
then fail because it is silent. Chosen."""


@dataclass(slots=True)
class _Worker:
    """A process, the line to it, and what became of its work: "done", "raised" or "lost"."""

    process: subprocess.Popen[bytes]
    line: Connection
    said: Path
    ended: str = ""
    result: Any = None

    def end(self) -> None:
        """Kill it, if it still runs. Everything that it leaves behind is written so that a kill can do no harm."""
        self.process.kill()
        self.process.wait()
        self.line.close()


class Several:
    """Processes of this interpreter, each with its share of the processor's cores, or a GPU of its own.

    They are started as `python -m modelwright.execution.worker`, not by multiprocessing, which would run the caller's
    own script again in each of them.
    """

    def __init__(self, workers: int) -> None:
        self._count = workers

    def launch(self, work: Callable[..., Result], *, progress: Tell, **arguments: Any) -> Result:
        """See Executor.

        Raises:
            LostWorkerError: a worker was killed or died.
        """
        with ExitStack() as ends:
            folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="modelwright-")))
            meeting = (folder / "meeting").as_uri()
            workers = []
            for rank in range(self._count):
                worker = ends.enter_context(_started(folder / f"said-{rank}", share=self._count))
                place = Place(rank, self._count, rank, meeting)
                worker.line.send((work, {**arguments, "place": place}))
                workers.append(worker)
            _follow(workers, progress)
            if any(each.ended != "done" for each in workers):
                raise _cause(workers)
            result: Result = workers[0].result
            return result


@contextmanager
def _started(said: Path, *, share: int) -> Iterator[_Worker]:
    """A worker that waits for its work, killed at the end whatever happened."""
    ours, theirs = Pipe()
    environment = {**os.environ, **_only_this_machine()}
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    threads = max(1, cores // share)
    asked = os.environ.get("OMP_NUM_THREADS", "")
    environment["OMP_NUM_THREADS"] = str(min(int(asked), threads) if asked.isdigit() else threads)
    environment["PYTHONPATH"] = os.pathsep.join(each for each in sys.path if each)
    command = [sys.executable, "-P", "-m", "modelwright.execution.worker", str(theirs.fileno())]
    with said.open("wb") as output:
        process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    theirs.close()
    worker = _Worker(process, ours, said)
    try:
        yield worker
    finally:
        worker.end()


def _only_this_machine() -> dict[str, str]:
    """Gloo and NCCL listen on loopback: what the workers tell each other is nobody else's."""
    loopback = "lo" if sys.platform == "linux" else "lo0"
    return {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}


def _follow(workers: list[_Worker], progress: Tell) -> None:
    """Hear the workers until all have ended, or until GRACE_SECONDS after a first one failed."""
    until: float | None = None
    while running := [each for each in workers if not each.ended]:
        timeout = None if until is None else until - time.monotonic()
        if timeout is not None and timeout < 0:
            break
        ready = wait([each.line for each in running], timeout=timeout)
        for each in [each for each in running if each.line in ready]:
            try:
                kind, what = each.line.recv()
            except (EOFError, OSError):
                kind, what = "lost", None
            if kind == "told":
                progress(what)
                continue
            each.ended, each.result = kind, what
            if kind != "done" and until is None:
                until = time.monotonic() + GRACE_SECONDS


def _cause(workers: list[_Worker]) -> BaseException:
    """Of several failures the one that brought the others about: what our own code says, else a death."""
    raised: list[BaseException] = [each.result for each in workers if each.ended == "raised"]
    causes = [each for each in raised if not isinstance(each, LostWorkerError)]
    dead = [rank for rank, each in enumerate(workers) if each.ended == "lost"]
    if not dead or any(isinstance(each, ModelwrightError) for each in causes):
        causes.sort(key=lambda each: not isinstance(each, ModelwrightError))
        return (causes or raised)[0]
    rank = min(dead, key=lambda rank: _code(workers[rank]) == -signal.SIGABRT)  # as torch ends where another is silent
    return LostWorkerError(
        f"worker {rank} of {len(workers)} {_ending(workers[rank])}; the others were ended too;"
        " run it again: it goes on from the last checkpoint"
    )


def _code(worker: _Worker) -> int | None:
    """The exit status of a process whose line is closed."""
    with suppress(subprocess.TimeoutExpired):
        worker.process.wait(timeout=GRACE_SECONDS)
    return worker.process.returncode


def _ending(worker: _Worker) -> str:
    """How a process ended, in words."""
    code = _code(worker)
    if code == -signal.SIGKILL:
        return "was ended by SIGKILL (out of memory?)"
    said = worker.said.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    how = f"was ended by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with code {code}"
    return how + (f": {said[-1]}" if said else "")
