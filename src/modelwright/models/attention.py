"""Attention as plain matrix products, for training on a processor. Imports torch at its top; import this module inside
functions only.

torch's fused kernel drops no probabilities on a processor, so with dropout it falls back to products anyway; here
these stay in the precision of the states, and what is dropped comes from `models.dropout`.

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
    with torch.autocast(queries_nHTE.device.type, enabled=False):
        scores_nHTS = (queries_nHTE * scale) @ keys_nHSE.transpose(2, 3)
        if attention_mask is not None:
            scores_nHTS = scores_nHTS.masked_fill(~attention_mask, torch.finfo(scores_nHTS.dtype).min)
        elif module.is_causal and scores_nHTS.shape[2] > 1:
            seen_TS = torch.ones(scores_nHTS.shape[2:], dtype=torch.bool, device=scores_nHTS.device).tril()
            scores_nHTS = scores_nHTS.masked_fill(~seen_TS, torch.finfo(scores_nHTS.dtype).min)
        shares_nHTS = scores_nHTS.softmax(dim=-1)
        if dropout > 0:
            shares_nHTS = dropped(shares_nHTS, dropout)
        return (shares_nHTS @ values_nHSE).transpose(1, 2).contiguous(), None


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
