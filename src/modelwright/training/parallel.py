"""Several workers that train one network together: who takes which examples, and what they tell each other.

Every worker holds the same weights and takes the same steps. A step's loss is a sum over examples, so the sums of all
workers, added up once per step, are the sum that one worker alone would have made, to rounding.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from modelwright.errors import Fault, InputError, LostWorkerError
from modelwright.training.gradients import Gradients
from modelwright.training.sharding import is_sharded

if TYPE_CHECKING:
    from torch import Tensor, nn

    from modelwright.execution import Place

T = TypeVar("T")
PATIENCE = timedelta(hours=12)
"""How long a worker waits for the others: longer than any validation or reading that one does alone. That one has died
is noticed by the executor, at once. Chosen."""
TRANSPORTS = ("gloo", "NCCL", "TCPStore", "Connection closed by peer", "Connection reset by peer")
"""Words of torch's errors that mean that another worker did not answer."""


class Group:
    """The workers of one training, seen from one of them. Alone it is a group of one, which sends nothing.

    Args:
        rank: The number of this one, from 0.
        workers: How many there are.
        sharded: Whether each holds a part of the weights: then all must do the same forward and backward passes.
    """

    def __init__(self, rank: int = 0, workers: int = 1, *, sharded: bool = False) -> None:
        self.rank, self.workers, self.sharded = rank, workers, sharded
        self._parameters: list[Tensor] = []
        self._gradients: Gradients | None = None

    @property
    def first(self) -> bool:
        """Whether this is the one that writes, logs and decides by the clock."""
        return self.rank == 0

    def pieces(self, positions: np.ndarray, micro_batches: int) -> list[tuple[int, np.ndarray]]:
        """This worker's pieces of a batch, each with its number among those of all workers.

        A batch is cut into `micro_batches` pieces, or the next number that all workers have alike. What is random in a
        piece is drawn from its number, not from its worker's: two workers with a piece each do what one does with two.

        Args:
            positions: Of the whole batch; a piece may be empty where it has too few.
            micro_batches: How many pieces at least.
        """
        each = -(-micro_batches // self.workers)
        numbered = list(enumerate(np.array_split(positions, each * self.workers)))
        return numbered[self.rank :: self.workers]

    def mine(self, count: int) -> np.ndarray:
        """Which of `count` examples this worker answers: all, where weights are sharded. `whole` joins the answers."""
        return np.arange(count) if self.sharded else np.arange(self.rank, count, self.workers)

    def whole(self, mine_nK: np.ndarray, count: int) -> np.ndarray:
        """The answers of all workers to `count` examples, each having answered its own."""
        if self.workers == 1 or self.sharded:
            return mine_nK
        import torch
        from torch import distributed

        most = -(-count // self.workers)
        own = torch.zeros(most, *mine_nK.shape[1:], dtype=torch.from_numpy(mine_nK[:0]).dtype)
        own[: len(mine_nK)] = torch.from_numpy(mine_nK)
        found = [torch.empty_like(own) for _ in range(self.workers)]
        distributed.all_gather(found, own)
        together: np.ndarray = torch.stack(found, dim=1).flatten(0, 1)[:count].numpy()
        return together

    def watch(self, parameters: Sequence[Tensor]) -> None:
        """Add up the gradients of these in every step from now on; the sharded ones are by their own means."""
        if self.workers > 1:
            self._parameters = [each for each in parameters if not is_sharded(each)]
            self._gradients = Gradients(self._parameters)

    def last_pass(self) -> None:
        """The next backward pass is this worker's last of the step."""
        if self._gradients is not None:
            self._gradients.last_pass()

    def add(self, total: float, units: int) -> tuple[float, int]:
        """The sums over all workers; so is each gradient from now on. One that no worker has stays None."""
        if self._gradients is None:
            return total, units
        import torch
        from torch import distributed

        given = [float(each.grad is not None) for each in self._parameters]
        self._gradients.add()
        sums = torch.tensor([total, units, *given], dtype=torch.float64)
        distributed.all_reduce(sums)
        for each, count in zip(self._parameters, sums[2:].tolist(), strict=True):
            if not count:
                each.grad = None
        return float(sums[0]), round(float(sums[1]))

    def number(self, value: float) -> float:
        """The first worker's `value`."""
        if self.workers == 1:
            return value
        import torch
        from torch import distributed

        told = torch.tensor(value, dtype=torch.float64)
        distributed.broadcast(told, src=0)
        return float(told)

    def record(self, record: T | None, kind: type[T]) -> T:
        """The first worker's record; the others pass None, and wait for it."""
        if self.workers == 1 and record is not None:
            return record
        import torch
        from pydantic import TypeAdapter
        from torch import distributed

        text = json.dumps(asdict(record)).encode() if record is not None else b""  # type: ignore[call-overload]
        size = round(self.number(len(text)))
        told = torch.frombuffer(bytearray(text), dtype=torch.uint8) if text else torch.empty(size, dtype=torch.uint8)
        distributed.broadcast(told, src=0)
        found: T = TypeAdapter(kind).validate_json(bytes(told.tolist()))
        return found

    def equalise(self, network: nn.Module) -> None:
        """Give every worker the first one's weights and statistics, bit by bit, where they are not sharded."""
        if self.workers == 1:
            return
        from torch import distributed

        for each in (*network.parameters(), *network.buffers()):
            if not is_sharded(each):
                distributed.broadcast(each.detach(), src=0)

    def average(self, network: nn.Module) -> None:
        """Let the running statistics of batch normalisation be the mean over the workers, each having seen its part."""
        if self.workers == 1:
            return
        from torch import distributed
        from torch.nn.modules.batchnorm import _BatchNorm

        for module in network.modules():
            if isinstance(module, _BatchNorm) and module.running_mean is not None:
                for each in (module.running_mean, module.running_var):
                    distributed.all_reduce(each)
                    each /= self.workers


ALONE = Group()


@contextmanager
def joined(place: Place) -> Iterator[Group]:
    """The group of the workers at `place`: gloo between processors, NCCL between GPUs, one process per GPU.

    Raises:
        InputError: this machine has fewer GPUs than workers.
        LostWorkerError: another worker is gone.
    """
    if place.workers == 1:
        yield Group()
        return
    import torch
    from torch import distributed

    backend = "gloo"
    if torch.cuda.is_available():
        if place.device >= torch.cuda.device_count():
            found = f"{place.workers}, and this machine has {torch.cuda.device_count()} GPUs"
            raise InputError(Fault("compute.workers", found, "at most one worker for each GPU"))
        torch.cuda.set_device(place.device)
        backend = "cpu:gloo,cuda:nccl"
    try:
        distributed.init_process_group(
            backend, init_method=place.meeting, rank=place.rank, world_size=place.workers, timeout=PATIENCE
        )
        yield Group(place.rank, place.workers)
    except (RuntimeError, ConnectionError) as error:
        if not any(word in str(error) for word in TRANSPORTS):
            raise
        raise LostWorkerError(f"worker {place.rank} of {place.workers} lost sight of another: {error}") from error
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
