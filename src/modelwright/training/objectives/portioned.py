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
"""Logits held at once, in numbers: 16 MB in float32. Chosen: near a processor's cache, far below a GPU's memory."""


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
            logits_mV = (states_mD @ weight.T).to(exact)
            if bias_V is not None:
                logits_mV += bias_V
            sums_m1 = logits_mV.logsumexp(1, keepdim=True)
            total += (sums_m1 - logits_mV.gather(1, targets_m1)).sum()
            grad_mV = logits_mV.sub_(sums_m1).exp_()
            grad_mV.scatter_add_(1, targets_m1, -torch.ones_like(sums_m1))
            if grad_bias is not None:
                grad_bias += grad_mV.sum(0)
            low_mV = grad_mV.to(states_MD.dtype)
            if grad_states is not None:
                torch.mm(low_mV, weight, out=grad_states[start : start + size])
            if grad_weight is not None:
                grad_weight += low_mV.T @ states_mD
        ctx.save_for_backward(grad_states, grad_weight, grad_bias)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients made in the forward pass, times that of the sum."""
        return (*(each if each is None else each.mul_(grad) for each in ctx.saved_tensors), None)
