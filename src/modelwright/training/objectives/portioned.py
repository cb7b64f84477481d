"""Cross-entropy of a linear layer over a vocabulary, a portion of the tokens at a time. Imports torch at its top;
import this module inside functions only.

The logits of a batch are the largest array of a language model's training (tokens times vocabulary). They are never
held whole: a portion is made, turned into its gradient and dropped.

Letters: M tokens, m those of a portion, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

PORTION = 4_000_000
"""Logits held at once, in numbers: 8 MB in bfloat16. Chosen: so few that they hardly count, so many that the gradient
of the weights is added up seldom."""
SLICE = 1_000_000
"""Of these, what is in float32 at once on a processor: 4 MB. Measured with 4,096 and 32,000 pieces: 60,000 to 1,000,000
are as quick, a portion whole takes twice as long."""


def _turn(logits_mV: Tensor, bias_V: Tensor | None, targets_m1: Tensor, grad_bias: Tensor | None) -> Tensor:
    """The summed loss; the logits become the gradient to them, whose sum over m is added to that of the biases."""
    exact = torch.promote_types(logits_mV.dtype, torch.float32)
    total = torch.zeros((), dtype=exact, device=logits_mV.device)
    rows = max(1, SLICE // logits_mV.shape[1]) if logits_mV.device.type == "cpu" else len(logits_mV)
    for some_mV, wanted_m1 in zip(logits_mV.split(rows), targets_m1.split(rows), strict=True):
        biased_mV = some_mV if bias_V is None else some_mV.to(exact) + bias_V
        grad_mV = torch.log_softmax(biased_mV, 1, dtype=exact)
        total -= grad_mV.gather(1, wanted_m1).sum()
        grad_mV.exp_().scatter_add_(1, wanted_m1, -torch.ones_like(wanted_m1, dtype=exact))
        if grad_bias is not None:
            grad_bias += grad_mV.sum(0)
        some_mV.copy_(grad_mV)
    return total


class Portioned(torch.autograd.Function):  # type: ignore[misc]  # torch is not followed by mypy
    """Σ_m [logsumexp(z_m) − z_m,y(m)] with z = states Wᵀ + b; its gradient softmax(z) − onehot(y) in the same pass.

    Products are taken in the precision of the states, sums of exponentials and gradients of the weights in float32
    or more.
    """

    @staticmethod
    def forward(ctx: Any, states_MD: Tensor, weight_VD: Tensor, bias_V: Tensor | None, targets_M: Tensor) -> Tensor:
        """The summed loss, a scalar."""
        exact = torch.promote_types(states_MD.dtype, torch.float32)
        weight = weight_VD.to(states_MD.dtype)
        for_states, for_weight, for_bias, _ = ctx.needs_input_grad
        grad_states = torch.empty_like(states_MD) if for_states else None
        grad_weight = torch.zeros_like(weight_VD, dtype=exact) if for_weight else None
        grad_bias = torch.zeros(len(weight_VD), dtype=exact, device=weight_VD.device) if for_bias else None
        total = torch.zeros((), dtype=exact, device=states_MD.device)
        size = max(1, PORTION // len(weight_VD))
        for start in range(0, len(states_MD), size):
            states_mD, targets_m1 = states_MD[start : start + size], targets_M[start : start + size, None]
            logits_mV = states_mD @ weight.T
            total += _turn(logits_mV, bias_V, targets_m1, grad_bias)  # logits no more: the gradient to them
            if grad_states is not None:
                torch.mm(logits_mV, weight, out=grad_states[start : start + size])
            if grad_weight is not None:
                grad_weight += logits_mV.T @ states_mD
        ctx.save_for_backward(grad_states, grad_weight, grad_bias)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients made in the forward pass, times that of the sum."""
        return (*(each if each is None else each.mul_(grad) for each in ctx.saved_tensors), None)
