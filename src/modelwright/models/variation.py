"""What training examples are varied by: random numbers apart from torch's own, from which dropout draws.

The next batch may be made in a thread while a step runs; the two must not take each other's numbers.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@cache
def variation() -> torch.Generator:
    """The generator of whatever is random in a batch."""
    import torch

    return torch.Generator()


def seed_variation(seed: int) -> None:
    """Start it anew: so a piece of a batch is varied alike whenever it is made."""
    variation().manual_seed(seed)
