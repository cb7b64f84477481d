"""A frozen table of embeddings in eight bits. Imports torch at its top; import this module inside functions only.

Quantised training holds matrices in four bits and leaves the table of a vocabulary as it was: of a small model it is
then most of the weights. Here each row is 8-bit integers and one scale (symmetric absmax quantisation by vector:
Dettmers et al. 2022, "LLM.int8()", section 2.1), at most 1/254 of the row's largest number off.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


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


def squeeze(model: nn.Module, dtype: torch.dtype = torch.bfloat16) -> None:
    """Hold the tables that `model` reads and scores its vocabulary with in eight bits; one, where they are one.

    A model of images has none and stays as it is.
    """
    read, last = model.get_input_embeddings(), model.get_output_embeddings()
    if not isinstance(read, nn.Embedding):  # an image's patches go through a convolution
        return
    table = EightBits.of(read.weight, dtype)
    model.set_input_embeddings(table)
    if last is not None:
        tied = last.weight is read.weight
        model.set_output_embeddings(EightBits(table.numbers, table.scale) if tied else EightBits.of(last.weight, dtype))
