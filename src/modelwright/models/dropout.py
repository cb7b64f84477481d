"""Dropout whose coins are drawn four to a number. Imports torch at its top; import this module inside functions only.

On a processor torch draws one random number for each activation, which takes a tenth of a small encoder's step. Here
16 bits decide, from SFC64; on a GPU torch's own kernel is used. The stream restarts with `seed_step`, so what a step
drops is a function of its seed alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_STREAM: list[np.random.SFC64] = [np.random.SFC64(0)]


def seed_step(seed: int) -> None:
    """Start torch's random stream and this module's anew."""
    torch.manual_seed(seed)
    _STREAM[0] = np.random.SFC64(seed)


def dropped(values: Tensor, share: float) -> Tensor:
    """`values` with that share of them, drawn at random, set to 0 and the others scaled up (Srivastava et al. 2014)."""
    if values.device.type != "cpu":
        return torch.nn.functional.dropout(values, share)
    count = values.numel()
    bits = _STREAM[0].random_raw(-(-count // 4)).view(np.int16)[:count]
    kept = torch.from_numpy(bits) >= round(share * 65536) - 32768
    return values * kept.to(values.dtype).mul_(1 / (1 - share)).view(values.shape)


def replayed() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """For torch's `checkpoint`: around a block's forward pass, and around its repetition in the backward pass.

    The repetition drops what the first pass dropped, and leaves the stream where it found it. Torch's own stream is
    put back by `checkpoint` itself.
    """
    noted: list[Any] = []

    @contextmanager
    def first() -> Iterator[None]:
        noted.append(_STREAM[0].state)
        yield

    @contextmanager
    def again() -> Iterator[None]:
        interrupted = _STREAM[0]
        _STREAM[0] = np.random.SFC64(0)
        _STREAM[0].state = noted[0]
        try:
            yield
        finally:
            _STREAM[0] = interrupted

    return first(), again()


class Dropout(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy
    """`dropped` while training, nothing otherwise; takes the place of torch's module of that name."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, values: Tensor) -> Tensor:
        """The values, some of them dropped."""
        return dropped(values, self.p) if self.training and self.p > 0 else values


def with_own_dropout(network: nn.Module) -> None:
    """Put `Dropout` in the place of every dropout module of torch's, where they stand."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Dropout:
                setattr(parent, name, Dropout(child.p))
