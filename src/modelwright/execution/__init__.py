"""Where long work runs: in this process, or in a worker of a Ray cluster.

Work is a function and keyword arguments that can be sent elsewhere, and writes into a folder that both sides see. To
be safe on a cluster it must go on where a killed call stopped, as training does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from modelwright.records import Progress

Result = TypeVar("Result")
Tell = Callable[[Progress], None]


class Executor(Protocol):
    """Something that can run work."""

    def launch(self, work: Callable[..., Result], *, progress: Tell, **arguments: Any) -> Result:
        """What `work(progress=…, **arguments)` returns; what it raises is raised here.

        Args:
            work: A function of a module, so that another process can import it.
            progress: Told here what the work tells there.
            arguments: Its other arguments.
        """


class Here:
    """This process."""

    def launch(self, work: Callable[..., Result], *, progress: Tell, **arguments: Any) -> Result:
        """See Executor."""
        return work(progress=progress, **arguments)


def executor(engine: str, *, address: str = "auto") -> Executor:
    """The executor of an engine: "local", or "ray" at `address`."""
    if engine == "local":
        return Here()
    from modelwright.execution.on_ray import OnRay

    return OnRay(address)
