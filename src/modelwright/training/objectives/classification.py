"""Cross-entropy, with the targets smoothed where that is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelwright.training.objectives import Batch, LossSum

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Classification:
    """−Σ_n Σ_k q(k|n) log softmax(z_n)_k with q(k|n) = (1 − ε) [k = y_n] + ε / K.

    Source: label smoothing as in Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7;
    ε = 0 is plain cross-entropy.

    Args:
        smoothing: ε, 0 to 1.
    """

    smoothing: float = 0.0

    def loss(self, network: nn.Module, batch: Batch) -> LossSum:
        """The summed loss; units are examples. Targets are class indices, int64 (n,)."""
        import torch

        logits_nK = network(batch.inputs)
        total = torch.nn.functional.cross_entropy(
            logits_nK, batch.targets, label_smoothing=self.smoothing, reduction="sum"
        )
        return LossSum(total, len(batch.targets))
