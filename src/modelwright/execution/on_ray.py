"""Work on a Ray cluster: a group of actors that meet on the first one's machine, started again where one is lost."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from modelwright.errors import Fault, InputError, LostWorkerError, ResourceError
from modelwright.execution import Place, Result, Tell
from modelwright.records import Progress

RETRIES = 3
"""How often work is started again where a worker is lost (killed, out of memory, its machine gone)."""
POLL_SECONDS = 0.2
START_SECONDS = 600
"""How long a group may wait for its place in a busy cluster. Chosen."""


class OnRay:
    """A Ray cluster.

    Args:
        address: "auto" is the cluster that this machine or RAY_ADDRESS belongs to, and where there is none a small one
            that is started here, on loopback, and ended after the work; else "host:port" or "ray://host:port".
        workers: One for each GPU where the cluster has GPUs; else each gets as many cores of one machine as fit.

    Raises:
        InputError: Ray is not installed.
    """

    def __init__(self, address: str = "auto", *, workers: int = 1) -> None:
        if find_spec("ray") is None:
            found = "ray, which is not installed"
            raise InputError(Fault("compute.engine", found, "local, or the extra", "pip install 'modelwright[ray]'"))
        self._address, self._workers = address, workers

    def launch(self, work: Callable[..., Result], *, progress: Tell, **arguments: Any) -> Result:
        """See Executor. Records must be in a folder that the workers see too.

        Raises:
            InputError: the cluster has too few GPUs or cores.
            ResourceError: the cluster cannot be reached, or lost the work's workers more than RETRIES times.
        """
        import ray
        from ray.exceptions import RayError, RayTaskError
        from ray.util.queue import Queue

        started = not ray.is_initialized() and self._connect()
        try:
            told = Queue(actor_options={"num_cpus": 0})
            each = self._each([node["Resources"] for node in ray.nodes() if node["Alive"]])
            for chance in range(RETRIES + 1):
                try:
                    result: Result = self._together(each, work, arguments, told, progress)
                    return result
                except RayError as error:
                    raised = error.cause if isinstance(error, RayTaskError) else None
                    if chance == RETRIES or not (raised is None or isinstance(raised, LostWorkerError)):
                        raise
            raise AssertionError("the last chance returns or raises")
        except RayTaskError as error:
            raise error.cause from None
        except RayError as error:
            raise ResourceError(f"the Ray cluster gave the work up: {error}") from error
        finally:
            if started:
                ray.shutdown()

    def _each(self, machines: list[dict[str, float]]) -> dict[str, float]:
        """What each worker gets: a GPU if there are any, and of the cores as many as all can have."""
        gpus = float(any(each.get("GPU", 0) for each in machines))
        for cores in range(round(max(each.get("CPU", 1) for each in machines)), 0, -1):
            room = [min(each.get("CPU", 1) // cores, each.get("GPU", 0) if gpus else 1e9) for each in machines]
            if sum(room) >= self._workers:
                return {"num_cpus": cores, "num_gpus": gpus}
        found = f"{self._workers}, and the cluster has {sum(each.get('CPU', 0) for each in machines):g} cores"
        found += f" and {sum(each.get('GPU', 0) for each in machines):g} GPUs" if gpus else ""
        raise InputError(Fault("compute.workers", found, "at most one worker for each GPU, or else for each core"))

    def _together(
        self, each: dict[str, float], work: Callable[..., Result], arguments: dict[str, Any], told: Any, progress: Tell
    ) -> Result:
        """What the first of a group of workers returns; all of them are gone afterwards."""
        import ray
        from ray.util.placement_group import placement_group, remove_placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy as Strategy

        bundle = {"CPU": each["num_cpus"], **({"GPU": each["num_gpus"]} if each["num_gpus"] else {})}
        room = placement_group([bundle] * self._workers, strategy="PACK")  # all or none, so that no half group waits
        try:
            if not room.wait(START_SECONDS):
                raise ResourceError(f"the Ray cluster had no room for {self._workers} workers in {START_SECONDS} s")
            kind = ray.remote(**each, max_restarts=0)(_Worker)
            workers = [
                kind.options(scheduling_strategy=Strategy(room, placement_group_bundle_index=rank)).remote()
                for rank in range(self._workers)
            ]
            places: list[Place | None] = [None]
            if self._workers > 1:
                meeting = ray.get(workers[0].meeting.remote())
                places = [Place(rank, self._workers, 0, meeting) for rank in range(self._workers)]
            folder = os.getcwd()
            futures = [
                worker.work.remote(work, arguments, place, told, folder)
                for worker, place in zip(workers, places, strict=True)
            ]
            waiting = futures
            while waiting:
                done, waiting = ray.wait(waiting, timeout=POLL_SECONDS)
                while not told.empty():
                    progress(told.get())
                ray.get(done)  # the first failure ends the wait
            result: Result = ray.get(futures[0])
            return result
        finally:
            remove_placement_group(room)  # and kills who still is in it

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


class _Worker:
    """An actor: one process of the cluster."""

    def meeting(self) -> str:
        """An address on this machine at which the workers may meet."""
        import ray

        host = ray.util.get_node_ip_address()
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as free:
            free.bind((host, 0))
            port = free.getsockname()[1]
        return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"

    def work(
        self, work: Callable[..., Any], arguments: dict[str, Any], place: Place | None, told: Any, folder: str
    ) -> Any:
        """Do it; relative paths mean what they mean to the caller."""
        os.chdir(folder)

        def tell(progress: Progress) -> None:
            if place is None or place.rank == 0:
                told.put(progress)

        return work(progress=tell, **arguments, **({} if place is None else {"place": place}))
