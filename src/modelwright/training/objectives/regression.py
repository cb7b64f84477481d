"""Squared error on standardised targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelwright.training.objectives import Batch, LossSum

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Regression:
    """½ Σ_n (z_n − t_n)², t_n the target less its mean over its deviation on the training part."""

    def loss(self, network: nn.Module, batch: Batch) -> LossSum:
        """The summed loss; units are examples. Targets are standardised, float32 (n,)."""
        difference_n = network(batch.inputs)[:, 0] - batch.targets
        return LossSum(0.5 * (difference_n * difference_n).sum(), len(batch.targets))
