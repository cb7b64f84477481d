"""Cross-entropy of a tag for each token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelwright.training.objectives import IGNORED, Batch, LossSum

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Tagging:
    """−Σ_t log softmax(z_t)_{y_t} over the tokens that have a tag.

    Of a word that is cut into several pieces the first carries the tag and the others none (Devlin et al. 2019,
    section 5.3).
    """

    def loss(self, network: nn.Module, batch: Batch) -> LossSum:
        """The summed loss; units are tagged tokens. Targets are tag indices or IGNORED, int64 (n, T)."""
        import torch

        logits_nTK = network(batch.inputs)
        total = torch.nn.functional.cross_entropy(
            logits_nTK.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        return LossSum(total, int((batch.targets != IGNORED).sum()))
