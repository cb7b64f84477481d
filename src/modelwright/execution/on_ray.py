"""Work on a Ray cluster: one task, started again on another worker where its own is lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from modelwright.errors import Fault, InputError, ResourceError
from modelwright.execution import Result, Tell
from modelwright.records import Progress

RETRIES = 3
"""How often work is started again where its worker is lost (killed, out of memory, its machine gone)."""
POLL_SECONDS = 0.2


class OnRay:
    """A Ray cluster.

    Args:
        address: "auto" is the cluster that this machine or RAY_ADDRESS belongs to, and where there is none a small one
            that is started here, on loopback, and ended after the work; else "host:port" or "ray://host:port".

    Raises:
        InputError: Ray is not installed.
    """

    def __init__(self, address: str = "auto") -> None:
        if find_spec("ray") is None:
            found = "ray, which is not installed"
            raise InputError(Fault("compute.engine", found, "local, or the extra", "pip install 'modelwright[ray]'"))
        self._address = address

    def launch(self, work: Callable[..., Result], *, progress: Tell, **arguments: Any) -> Result:
        """See Executor. Records must be in a folder that the workers see too.

        Raises:
            ResourceError: the cluster cannot be reached, or lost the work's workers more than RETRIES times.
        """
        import ray
        from ray.exceptions import RayError, RayTaskError
        from ray.util.queue import Queue

        started = not ray.is_initialized() and self._connect()
        try:
            told = Queue(actor_options={"num_cpus": 0})
            machines = [each["Resources"] for each in ray.nodes() if each["Alive"]]
            whole = max(each.get("CPU", 1) for each in machines)  # of a machine: Ray gives a task a thread for each
            gpus = min(1, max(each.get("GPU", 0) for each in machines))
            task = ray.remote(num_cpus=whole, num_gpus=gpus, max_retries=RETRIES)(_call)
            future = task.remote(work, arguments, told, os.getcwd())
            waiting = [future]
            while waiting:
                _, waiting = ray.wait(waiting, timeout=POLL_SECONDS)
                while not told.empty():
                    progress(told.get())
            result: Result = ray.get(future)
            return result
        except RayTaskError as error:
            raise error.cause from None
        except RayError as error:
            raise ResourceError(f"the Ray cluster gave the work up: {error}") from error
        finally:
            if started:
                ray.shutdown()

    def _connect(self) -> bool:
        """Reach the cluster, or start one; whether it is ours to end."""
        import ray
        from ray.exceptions import RayError

        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            if self._address != "auto" or os.environ.get("RAY_ADDRESS"):
                ray.init(address=self._address, **quiet)
                return True
            try:
                ray.init(address="auto", **quiet)
            except ConnectionError:
                ray.init(include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
        except (RayError, ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise ResourceError(f"no Ray cluster at {self._address!r}: {error}") from error
        return True


def _call(work: Callable[..., Any], arguments: dict[str, Any], told: Any, folder: str) -> Any:
    """In the worker: relative paths mean what they mean to the caller."""
    os.chdir(folder)

    def tell(progress: Progress) -> None:
        told.put(progress)

    return work(progress=tell, **arguments)
