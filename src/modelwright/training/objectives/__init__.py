"""What a batch's loss is. A loss is a sum and a count of units, divided once per optimizer step.

Preference objectives (reward model, DPO and its kin) will be listed here too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from modelwright.models.text import IGNORED
from modelwright.registry import Table

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["IGNORED", "OBJECTIVES", "Batch", "LossSum", "Objective"]

OBJECTIVES = Table(
    "objective",
    {
        "classification": "modelwright.training.objectives.classification:Classification",
        "multilabel": "modelwright.training.objectives.multilabel:Multilabel",
        "regression": "modelwright.training.objectives.regression:Regression",
        "tagging": "modelwright.training.objectives.tagging:Tagging",
        "masked": "modelwright.training.objectives.vocabulary:MaskedTokens",
        "causal": "modelwright.training.objectives.vocabulary:NextToken",
    },
)


@dataclass(frozen=True, slots=True)
class Batch:
    """n examples on the device: the network's named inputs, and the targets as the objective takes them."""

    inputs: dict[str, Tensor]
    targets: Tensor


@dataclass(frozen=True, slots=True)
class LossSum:
    """The summed loss of a batch, a scalar that gradients flow from, and how many units it sums over."""

    sum: Tensor
    units: int


class Objective(Protocol):
    """A loss. Dividing sums by units once per step makes 1 batch of 6 and 3 of 2 give the same gradient."""

    def loss(self, network: nn.Module, batch: Batch) -> LossSum:
        """The loss of `network` on `batch`."""
