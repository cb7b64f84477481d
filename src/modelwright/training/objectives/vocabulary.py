"""Cross-entropy over a vocabulary, for language models: of the next token, or of tokens that were masked.

Letters: n examples, T tokens, M tokens that carry loss, D width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from modelwright.training.objectives import IGNORED, Batch, LossSum

if TYPE_CHECKING:
    from torch import Tensor, nn


class LanguageModel(Protocol):
    """A network whose logits are `states @ vocabulary.weight.T + vocabulary.bias`."""

    @property
    def vocabulary(self) -> nn.Linear:
        """From states to logits."""

    def states(self, inputs: dict[str, Tensor]) -> Tensor:
        """What the vocabulary is applied to, (n, T, D)."""


@dataclass(frozen=True, slots=True)
class NextToken:
    """−Σ_t log softmax(z_t)_{x_{t+1}} over the tokens whose next one carries loss.

    Source: the chain rule of language models (Bengio et al. 2003, section 2); loss on completions alone as in
    instruction tuning (Ouyang et al. 2022, section 3.4), by targets that are IGNORED elsewhere.
    """

    def loss(self, network: LanguageModel, batch: Batch) -> LossSum:
        """The summed loss; units are the tokens that carry it. Targets are next tokens or IGNORED, int64 (n, T)."""
        return vocabulary_loss(network, batch)


@dataclass(frozen=True, slots=True)
class MaskedTokens:
    """−Σ_t log softmax(z_t)_{x_t} over the tokens that were chosen to be guessed.

    Source: BERT's masked language model (Devlin et al. 2019, section 3.1). Which tokens are hidden is the batch's.
    """

    def loss(self, network: LanguageModel, batch: Batch) -> LossSum:
        """The summed loss; units are the chosen tokens. Targets are true tokens or IGNORED, int64 (n, T)."""
        return vocabulary_loss(network, batch)


def vocabulary_loss(network: LanguageModel, batch: Batch) -> LossSum:
    """The summed cross-entropy of the targets that are not IGNORED."""
    import torch

    from modelwright.training.objectives.portioned import Portioned

    states_nTD = network.states(batch.inputs)
    chosen = batch.targets.flatten() != IGNORED
    states_MD, targets_M = states_nTD.flatten(0, 1)[chosen], batch.targets.flatten()[chosen]
    weight_VD, bias_V = network.vocabulary.weight, network.vocabulary.bias
    device = states_MD.device.type
    if torch.is_autocast_enabled(device):
        states_MD = states_MD.to(torch.get_autocast_dtype(device))
    return LossSum(Portioned.apply(states_MD, weight_VD, bias_V, targets_M), len(targets_M))
