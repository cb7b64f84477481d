"""Frozen weights in eight bits, beside those in four. Imports torch at its top; import it inside functions only.

Each row is 8-bit integers and one scale (symmetric absmax quantisation by vector: Dettmers et al. 2022, "LLM.int8()",
section 2.1), at most 1/254 of the row's largest number off. So are held

- the table of a vocabulary, which quantised training would leave as it was: of a small model it is most of the weights;
- what attention makes of values, and its output: a rounding there goes straight into the states, while one of queries
  and keys is weighed by a softmax. They are a quarter of the weights or less, and made most of the error.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

FINER = ("v_proj", "o_proj", ".value", "attention.output.dense", "v_lin", "out_lin")
"""How the names of those layers end, over the families. Another's are all held in four bits."""


class EightBits(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy
    """A table (V, D) that looks rows up, and whose `weight` is made anew each time that it is asked for.

    Args:
        numbers_VD: int8.
        scale_V1: What a row's numbers are multiplied by, in the precision of the run.
    """

    def __init__(self, numbers_VD: Tensor, scale_V1: Tensor) -> None:
        super().__init__()
        self.register_buffer("numbers", numbers_VD, persistent=False)
        self.register_buffer("scale", scale_V1, persistent=False)
        self.num_embeddings, self.embedding_dim = numbers_VD.shape
        self.out_features, self.padding_idx, self.bias = len(numbers_VD), None, None

    @classmethod
    def of(cls, weight_VD: Tensor, dtype: torch.dtype = torch.bfloat16) -> EightBits:
        """The table that is `weight_VD` to within rounding."""
        wide_VD = weight_VD.detach().float()
        scale_V1 = wide_VD.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
        return cls((wide_VD / scale_V1).round().to(torch.int8), scale_V1.to(dtype))

    @property
    def weight(self) -> Tensor:
        """The whole table (V, D)."""
        return self.numbers.to(self.scale.dtype) * self.scale

    def forward(self, values: Tensor) -> Tensor:
        """Rows, where token ids come in; scores, where states do."""
        if values.is_floating_point():
            return torch.nn.functional.linear(values, self.weight.to(values.dtype))
        return self.numbers[values].to(self.scale.dtype) * self.scale[values]


class EightBitsLinear(nn.Linear):  # type: ignore[misc]
    """A linear layer whose `weight` is made anew each time that it is asked for, and not kept for the way back.

    Args:
        linear: The layer as it was, with any weights.
        dtype: What is calculated in.
    """

    def __init__(self, linear: nn.Linear, dtype: torch.dtype = torch.bfloat16) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        table = EightBits.of(linear.weight, dtype)
        self.register_buffer("numbers", table.numbers, persistent=False)
        self.register_buffer("scale", table.scale, persistent=False)
        self.register_parameter("bias", linear.bias)

    @property
    def weight(self) -> Tensor:
        """The whole matrix (O, I)."""
        return self.numbers.to(self.scale.dtype) * self.scale

    def forward(self, values: Tensor) -> Tensor:
        """W x + b, calculated in the precision of the run; given in that of `values`, or in autocast's."""
        found: Tensor = _Product.apply(values.to(self.scale.dtype), self.numbers, self.scale)
        if self.bias is not None:
            found = found + self.bias.to(found.dtype)
        return found if torch.is_autocast_enabled(values.device.type) else found.to(values.dtype)


class _Product(torch.autograd.Function):  # type: ignore[misc]
    """x Wᵀ and its gradient for x, g W: the matrix is made from its integers both times."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, numbers_OI: Tensor, scale_O1: Tensor) -> Tensor:
        ctx.save_for_backward(numbers_OI, scale_O1)
        return values @ (numbers_OI.to(scale_O1.dtype) * scale_O1).T

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        numbers_OI, scale_O1 = ctx.saved_tensors
        return gradient @ (numbers_OI.to(scale_O1.dtype) * scale_O1), None, None


def finer(model: nn.Module) -> list[str]:
    """The names of the layers in `model` that four bits are too few for: see the top of this module."""
    return [name for name, each in model.named_modules() if type(each) is nn.Linear and name.endswith(FINER)]


def squeeze(model: nn.Module, dtype: torch.dtype = torch.bfloat16) -> None:
    """Hold in eight bits what `finer` names, and the tables that `model` reads and scores its vocabulary with; one,
    where they are one. A model of images has no tables.
    """
    for name in finer(model):
        model.set_submodule(name, EightBitsLinear(model.get_submodule(name), dtype))
    read, last = model.get_input_embeddings(), model.get_output_embeddings()
    if not isinstance(read, nn.Embedding):  # an image's patches go through a convolution
        return
    table = EightBits.of(read.weight, dtype)
    model.set_input_embeddings(table)
    if last is not None:
        tied = last.weight is read.weight
        model.set_output_embeddings(EightBits(table.numbers, table.scale) if tied else EightBits.of(last.weight, dtype))
