"""What a training asks of any machine: operations, and memory. Counted, not measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelwright.models.room import weight_shapes
from modelwright.models.sizes import sizes_of
from modelwright.training.activations import activation_bytes

if TYPE_CHECKING:
    from torch import nn

    from modelwright.training.line import Shape

ACTIVATION_FACTOR = 1.4
"""What our encoders keep for the way back over Korthikanti et al.'s formula: 1.38 and 1.33, measured on MiniLM in bf16
at 32 x 80 and 8 x 256 tokens."""
SPARE = 1.1
"""Allocators do not reuse all that is freed. Chosen."""
FOUR_BITS = 0.56
"""Bytes of a weight in NF4, with its doubly quantised scale: 4 bits and .127 (Dettmers et al. 2023, section 3), and
padding."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes that a training holds, besides what the process and its libraries take.

    Args:
        weights: Of the network, in the precision that they are held in.
        trained: How many weights move.
        activations: What the largest batch keeps for the way back.
        examples: Of that batch.
        whole: The model in float32, as the processor holds it where it is read, and where adapters are merged into it.
    """

    weights: float
    trained: int
    activations: float
    examples: int
    whole: float = 0.0

    def total(self, *, micro_batches: int = 1) -> float:
        """Weights, gradients (4 bytes), AdamW's two moments (8) and activations, with what allocators waste."""
        pieces = min(micro_batches, self.examples)
        largest = -(-self.examples // pieces)
        return SPARE * (self.weights + 12.0 * self.trained + self.activations * largest / self.examples)

    @property
    def checkpoint_bytes(self) -> float:
        """The weights that move, and their two moments."""
        return 12.0 * self.trained


@dataclass(frozen=True, slots=True)
class Cost:
    """Operations (a multiply-add is two) of one training step's tokens and of one answered.

    For a transformer of N weights in products, L layers of width h and texts of T tokens, a token's forward pass takes
    2 N + 4 L h T, the second term being attention. The way back takes twice that where all weights move, in all
    6 N + 12 L h T (Kaplan et al. 2020, section 2.1, with attention as in Chowdhery et al. 2022, appendix B). With
    adapters of A weights the frozen ones need no gradient of their own: 4 N + 6 A + 12 L h T.

    Args:
        products: N, or for a network of another kind half the operations of an example's forward pass per token.
        adapters: A; 0 where all weights move.
        attention: L h.
    """

    products: float
    adapters: float
    attention: float

    def training(self, shapes: list[Shape]) -> float:
        """Of steps on batches of these shapes."""
        own = 4 * self.products + 6 * self.adapters if self.adapters else 6 * self.products
        return sum(count * length * (own + 12 * self.attention * length) for count, length in shapes)

    def answering(self, shapes: list[Shape]) -> float:
        """Of forward passes on batches of these shapes."""
        own = 2 * (self.products + self.adapters)
        return sum(count * length * (own + 4 * self.attention * length) for count, length in shapes)


def cost_of(network: Any, inputs: dict[str, Any], *, length: int, rank: int) -> Cost:
    """The cost of a network.

    Args:
        network: As built, before adapters are added.
        inputs: One example's; for networks that are no transformer, whose operations are counted on it.
        length: The length that a batch of such examples counts as.
        rank: Of adapters, 0 without.
    """
    from torch import nn

    linear = [each for each in network.transformer.modules() if isinstance(each, nn.Linear)]
    config = network.transformer.config.to_dict()
    if "num_hidden_layers" in config and linear:
        adapters = sum(rank * (each.in_features + each.out_features) for each in linear)
        products = sum(each.weight.numel() for each in linear)
        return Cost(products, adapters, config["num_hidden_layers"] * config["hidden_size"])
    return Cost(counted(network, inputs) / 2 / length, 0.0, 0.0)


def counted(network: nn.Module, inputs: dict[str, Any]) -> float:
    """Operations of a forward pass, counted by torch while it is taken."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    network.eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(inputs)
    return float(counter.get_total_flops())


def footprint_of_files(folder: Path, *, rank: int, quantised: bool, examples: int, length: int) -> Footprint:
    """The footprint of training the encoder in `folder`, from its files alone.

    Activations: those of `activation_bytes` in 16 bits, times what ours take.

    Args:
        folder: In transformers' layout.
        rank: Of adapters, 0 without.
        quantised: The frozen weights are held in four bits.
        examples: b, of a batch.
        length: s, the longest text's tokens.
    """
    from modelwright.models.eight_bits import FINER

    sizes, shapes = sizes_of(folder), weight_shapes(folder)
    count = sum(map(math.prod, shapes.values()))
    products = {name: shape for name, shape in shapes.items() if len(shape) == 2 and "embed" not in name}
    in_products = sum(map(math.prod, products.values()))
    trained = sum(rank * sum(shape) for shape in products.values()) if rank else count
    held = 4.0 * count
    if quantised:
        finer = sum(
            math.prod(shape) for name, shape in products.items() if name.removesuffix(".weight").endswith(FINER)
        )
        held += (FOUR_BITS - 4.0) * (in_products - finer) + (1.0 - 4.0) * finer
    activations = ACTIVATION_FACTOR / 2 * activation_bytes(sizes, examples=examples, tokens=length)
    return Footprint(held + 4.0 * (trained if rank else 0), trained, activations, examples, whole=4.0 * count)
