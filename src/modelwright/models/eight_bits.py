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
        bias: Of the scores, (V,), kept as it is.
    """

    def __init__(self, numbers_VD: Tensor, scale_V1: Tensor, bias: nn.Parameter | None = None) -> None:
        super().__init__()
        self.register_buffer("numbers", numbers_VD, persistent=False)
        self.register_buffer("scale", scale_V1, persistent=False)
        self.num_embeddings, self.embedding_dim = numbers_VD.shape
        self.out_features, self.padding_idx = len(numbers_VD), None
        self.register_parameter("bias", bias)

    @classmethod
    def of(
        cls, weight_VD: Tensor, dtype: torch.dtype = torch.bfloat16, *, bias: nn.Parameter | None = None
    ) -> EightBits:
        """The table that is `weight_VD` to within rounding."""
        return cls(*_rounded(weight_VD, dtype), bias)

    @property
    def weight(self) -> Tensor:
        """The whole table (V, D)."""
        return _whole(self.numbers, self.scale)

    def forward(self, values: Tensor) -> Tensor:
        """Rows, where token ids come in; scores, where states do."""
        if values.is_floating_point():
            bias = None if self.bias is None else self.bias.to(values.dtype)
            return torch.nn.functional.linear(values, self.weight.to(values.dtype), bias)
        return _whole(self.numbers[values], self.scale[values])


class EightBitsLinear(nn.Linear):  # type: ignore[misc]
    """A linear layer whose `weight` is made anew each time that it is asked for, and not kept for the way back.

    Args:
        linear: The layer as it was, with any weights.
        dtype: What is calculated in.
    """

    def __init__(self, linear: nn.Linear, dtype: torch.dtype = torch.bfloat16) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        numbers_OI, scale_O1 = _rounded(linear.weight, dtype)
        self.register_buffer("numbers", numbers_OI, persistent=False)
        self.register_buffer("scale", scale_O1, persistent=False)
        self.register_parameter("bias", linear.bias)

    @property
    def weight(self) -> Tensor:
        """The whole matrix (O, I)."""
        return _whole(self.numbers, self.scale)

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
        return values @ _whole(numbers_OI, scale_O1).T

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient @ _whole(*ctx.saved_tensors), None, None


def _rounded(weight_OI: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The integers of each row, int8 (O, I), and their scale, (O, 1) in `dtype`."""
    wide_OI = weight_OI.detach().float()
    scale_O1 = wide_OI.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
    return (wide_OI / scale_O1).round().to(torch.int8), scale_O1.to(dtype)


def _whole(numbers: Tensor, scale: Tensor) -> Tensor:
    """The numbers that `_rounded` made integers of, to within rounding."""
    return numbers.to(scale.dtype) * scale


def finer(model: nn.Module) -> list[str]:
    """The names of the layers in `model` that four bits are too few for: see the top of this module."""
    return [name for name, each in model.named_modules() if type(each) is nn.Linear and name.endswith(FINER)]


def squeeze(model: nn.Module, dtype: torch.dtype = torch.bfloat16) -> None:
    """Hold in eight bits what `finer` names, and the tables that `model` reads and scores its vocabulary with; one,
    where they are one. A model of images has no tables; one that does more than look rows up (Gemma's multiplies them)
    stays as it is.
    """
    for name in finer(model):
        model.set_submodule(name, EightBitsLinear(model.get_submodule(name), dtype))
    read, last = model.get_input_embeddings(), model.get_output_embeddings()
    tied = last is not None and last.weight is read.weight
    if type(read) is nn.Embedding:
        table = EightBits.of(read.weight, dtype)
        model.set_input_embeddings(table)
        if tied:
            model.set_output_embeddings(EightBits(table.numbers, table.scale, last.bias))
    if last is not None and not tied:
        model.set_output_embeddings(EightBits.of(last.weight, dtype, bias=last.bias))
