"""Gradients that several workers add up: packed as they are made, sent while the others are still being made.

Each goes into its place in a flat piece of memory as soon as the backward pass has it, and its own memory is let go. In
the last pass of a step a piece that is full is sent at once. All workers send the same pieces in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

BUCKET_BYTES = 2**23
"""Gradients are sent in pieces of about 8 MB: on loopback 4 to 32 took as long (measured). Chosen."""


@dataclass(slots=True)
class _Bucket:
    """Parameters that are sent together, and the memory that their gradients are views of."""

    parameters: list[Tensor]
    flat: Tensor
    missing: int = 0


class Gradients:
    """The gradients of `parameters`, which are put into buckets from the last to the first, as they are made."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._buckets = [_Bucket(each, _memory(each)) for each in _parted(parameters[::-1])]
        self._views: dict[int, Tensor] = {}
        self._owner = {id(each): bucket for bucket in self._buckets for each in bucket.parameters}
        self._sent: list[Any] = []
        self._sending = False
        for bucket in self._buckets:
            start = 0
            for each in bucket.parameters:  # laid out as the parameter is: fused optimizers walk both as they lie
                self._views[id(each)] = bucket.flat.as_strided(each.size(), each.stride(), start)
                start += each.numel()
                each.register_post_accumulate_grad_hook(self._placed)

    def last_pass(self) -> None:
        """From now on a bucket is sent when its last gradient is there."""
        for bucket in self._buckets:
            bucket.missing = len(bucket.parameters)
        self._sending = True

    def add(self) -> None:
        """Send what has not been sent; each gradient is the sum over all workers when this returns."""
        for bucket in self._buckets[len(self._sent) :]:
            for each in bucket.parameters:
                if each.grad is None:
                    each.grad = self._views[id(each)].zero_()
            self._send(bucket)
        for each in self._sent:
            each.wait()
        self._sent, self._sending = [], False

    def _placed(self, parameter: Tensor) -> None:
        view = self._views[id(parameter)]
        if parameter.grad is not view:
            view.copy_(parameter.grad)
            parameter.grad = view
        if not self._sending:
            return
        self._owner[id(parameter)].missing -= 1
        while len(self._sent) < len(self._buckets) and self._buckets[len(self._sent)].missing == 0:
            self._send(self._buckets[len(self._sent)])

    def _send(self, bucket: _Bucket) -> None:
        from torch import distributed

        self._sent.append(distributed.all_reduce(bucket.flat, async_op=True))


def _parted(parameters: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The parameters in runs of one type and about BUCKET_BYTES."""
    run: list[Tensor] = []
    held = 0
    for each in parameters:
        if run and (held + each.nbytes > BUCKET_BYTES or each.dtype != run[0].dtype):
            yield run
            run, held = [], 0
        run.append(each)
        held += each.nbytes
    if run:
        yield run


def _memory(parameters: list[Tensor]) -> Tensor:
    return parameters[0].detach().new_empty(sum(each.numel() for each in parameters))
