"""Binary cross-entropy of every class by itself: an example may have none, one or several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelwright.training.objectives import Batch, LossSum

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Multilabel:
    """−Σ_n Σ_k [y_nk log σ(z_nk) + (1 − y_nk) log(1 − σ(z_nk))].

    Source: one logistic regression for each class ("binary relevance", Tsoumakas & Katakis 2007).
    """

    def loss(self, network: nn.Module, batch: Batch) -> LossSum:
        """The summed loss; units are examples. Targets are 0 or 1, floating (n, K)."""
        import torch

        logits_nK = network(batch.inputs)
        total = torch.nn.functional.binary_cross_entropy_with_logits(logits_nK, batch.targets, reduction="sum")
        return LossSum(total, len(batch.targets))
