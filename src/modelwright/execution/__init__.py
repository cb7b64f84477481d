"""Where long work runs: in this process, in several of this machine, or in workers of a Ray cluster.

Work is a function and keyword arguments that can be sent elsewhere, and writes into a folder that all sides see. To
be safe in several processes it must go on where a killed call stopped, as training does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from modelwright.records import Progress

Result = TypeVar("Result")
Tell = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Place:
    """One worker's place among all that do the same work together.

    Args:
        rank: Its number, from 0; the first one's result and progress are those of the work.
        workers: How many there are.
        device: Which of its machine's GPUs is its own, if there are any.
        meeting: Where they find each other, as torch.distributed takes it: `file:///…` or `tcp://host:port`.
    """

    rank: int = 0
    workers: int = 1
    device: int = 0
    meeting: str = ""


ALONE = Place()


class Executor(Protocol):
    """Something that can run work."""

    def launch(self, work: Callable[..., Result], *, progress: Tell, **arguments: Any) -> Result:
        """What `work(progress=…, **arguments)` returns; what it raises is raised here.

        Where several workers do it together, each is called with its `place` besides.

        Args:
            work: A function of a module, so that another process can import it.
            progress: Told here what the work, or its first worker, tells there.
            arguments: Its other arguments.
        """


class Here:
    """This process."""

    def launch(self, work: Callable[..., Result], *, progress: Tell, **arguments: Any) -> Result:
        """See Executor."""
        return work(progress=progress, **arguments)


def executor(engine: str, *, address: str = "auto", workers: int = 1) -> Executor:
    """The executor of an engine, with so many workers: "local", or "ray" at `address`."""
    if engine == "ray":
        from modelwright.execution.on_ray import OnRay

        return OnRay(address, workers=workers)
    if workers > 1:
        from modelwright.execution.several import Several

        return Several(workers)
    return Here()
