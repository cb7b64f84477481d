"""Attention as plain matrix products, for training on a processor. Imports torch at its top; import this module inside
functions only.

torch's fused kernel drops no probabilities on a processor, so with dropout it falls back to products anyway; here
these stay in the precision of the states, what is dropped comes from `models.dropout`, and without dropout the
probabilities are made again in the backward pass instead of being kept.

Letters: n examples, H heads, T queries, S keys, E width of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from modelwright.models.dropout import dropped

NAME = "modelwright_products"
FAMILIES = frozenset(
    {
        "bert",
        "distilbert",
        "electra",
        "llama",
        "mistral",
        "modernbert",
        "qwen2",
        "qwen3",
        "roberta",
        "vit",
        "xlm-roberta",
    }
)
"""Families whose attention is these products and nothing more: no bent scores, no biases by position, no sinks."""


def attend(
    module: nn.Module,
    queries_nHTE: Tensor,
    keys_nHSE: Tensor,
    values_nHSE: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """softmax(Q Kᵀ · scaling) V (Vaswani et al. 2017, equation 1), as transformers' registry calls it.

    Args:
        module: Says whether it is training.
        queries_nHTE: As projected.
        keys_nHSE: Of fewer heads where several queries share them.
        values_nHSE: As the keys.
        attention_mask: True where a key may be seen, broadcast over (n, H, T, S).
        dropout: Of the probabilities, in training.
        scaling: One over the root of E where it is not given.
        options: What other implementations ask for; a family that bends its scores is not for this one.

    Returns:
        (n, T, H, E), and no probabilities.
    """
    # Turning by position leaves these in float32 under autocast, while values come as the layer made them.
    queries_nHTE, keys_nHSE = (each.to(values_nHSE.dtype) for each in (queries_nHTE, keys_nHSE))
    groups = queries_nHTE.shape[1] // keys_nHSE.shape[1]
    if groups > 1:
        keys_nHSE, values_nHSE = (each.repeat_interleave(groups, dim=1) for each in (keys_nHSE, values_nHSE))
    scale = queries_nHTE.shape[-1] ** -0.5 if scaling is None else scaling
    unseen = None if attention_mask is None else ~attention_mask
    if unseen is None and module.is_causal and queries_nHTE.shape[2] > 1:
        shape = (queries_nHTE.shape[2], keys_nHSE.shape[2])
        unseen = torch.ones(shape, dtype=torch.bool, device=queries_nHTE.device).triu(1)
    with torch.autocast(queries_nHTE.device.type, enabled=False):
        if dropout > 0:
            shares_nHTS = dropped(_shares(queries_nHTE, keys_nHSE, unseen, scale), dropout)
            found_nHTE = shares_nHTS @ values_nHSE
        else:
            found_nHTE = _Attention.apply(queries_nHTE, keys_nHSE, values_nHSE, unseen, scale)
        return found_nHTE.transpose(1, 2).contiguous(), None


def _shares(queries_nHTE: Tensor, keys_nHSE: Tensor, unseen: Tensor | None, scale: float) -> Tensor:
    """How much of each value every query takes, (n, H, T, S)."""
    scores_nHTS = (queries_nHTE * scale) @ keys_nHSE.transpose(2, 3)
    if unseen is not None:
        scores_nHTS = scores_nHTS.masked_fill_(unseen, torch.finfo(scores_nHTS.dtype).min)
    return scores_nHTS.softmax(dim=-1)


class _Attention(torch.autograd.Function):  # type: ignore[misc]  # torch is not followed by mypy
    """Attention that keeps queries, keys and values, and makes the shares again in the backward pass.

    They are H T S numbers to an example, more than all else a layer keeps where texts are long; to make them is one
    product of the six in both passes. As in "FlashAttention" (Dao et al. 2022, section 3.1), without its tiles.
    """

    @staticmethod
    def forward(
        ctx: Any, queries_nHTE: Tensor, keys_nHSE: Tensor, values_nHSE: Tensor, unseen: Tensor | None, scale: float
    ) -> Tensor:
        """(n, H, T, E)."""
        ctx.save_for_backward(queries_nHTE, keys_nHSE, values_nHSE, unseen)
        ctx.scale = scale
        return _shares(queries_nHTE, keys_nHSE, unseen, scale) @ values_nHSE

    @staticmethod
    def backward(ctx: Any, gradient_nHTE: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """To queries, keys and values. With P the shares: dS = P ∘ (dP − Σ_s P dP), the softmax's own gradient."""
        queries_nHTE, keys_nHSE, values_nHSE, unseen = ctx.saved_tensors
        shares_nHTS = _shares(queries_nHTE, keys_nHSE, unseen, ctx.scale)
        to_values = shares_nHTS.transpose(2, 3) @ gradient_nHTE
        to_shares = gradient_nHTE @ values_nHSE.transpose(2, 3)
        to_scores = torch._softmax_backward_data(to_shares, shares_nHTS, -1, shares_nHTS.dtype).mul_(ctx.scale)
        return to_scores @ keys_nHSE, to_scores.transpose(2, 3) @ queries_nHTE, to_values, None, None


def use_products(model: nn.Module) -> None:
    """Let `model` attend so while it is trained; a family that is not known to keeps its own way."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if model.config.model_type not in FAMILIES or model.config._attn_implementation != "sdpa":
        return
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


def use_own(model: nn.Module) -> None:
    """Take `use_products` back."""
    if model.config._attn_implementation == NAME:
        model.set_attn_implementation("sdpa")
