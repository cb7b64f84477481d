"""What the forward pass leaves for the backward pass: how much it is, and whether it is worth making it twice."""

from __future__ import annotations

from pathlib import Path

from modelwright.models.sizes import Sizes, sizes_of
from modelwright.records import Setting
from modelwright.training.sharding import worker_bytes

SHARE = 0.5
"""Of the memory that is free, what activations may take before blocks are repeated instead. Chosen."""


def activation_bytes(sizes: Sizes, *, examples: int, tokens: int) -> int:
    """Bytes that a transformer keeps of one batch: 2 · n T L (34 D + 5 H T) in float32.

    Source: Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer Models", equation 2, which
    counts two bytes to a number.

    Args:
        sizes: Its own: D, L and H; 0 where it has no sizes of a transformer.
        examples: n, of the largest batch.
        tokens: T, of its longest example.
    """
    return 2 * examples * tokens * sizes.layers * (34 * sizes.width + 5 * sizes.heads * tokens)


def checkpointing(base: Path | str, *, examples: int, tokens: int) -> Setting:
    """How many blocks keep their inputs alone and are repeated: as many as it takes for the others to fit."""
    if isinstance(base, str) or tokens == 0:
        return Setting(0, "rule: texts only")
    sizes = sizes_of(base)
    needed, free, count = activation_bytes(sizes, examples=examples, tokens=tokens), worker_bytes(), sizes.layers
    fitting = count if needed <= SHARE * free else int(SHARE * free / needed * count)
    said = f"what the {count} blocks leave for the way back takes {needed / 1e9:.1f} GB at most, of {free / 1e9:.1f} GB"
    return Setting(count - fitting, f"rule: blocks repeated so that the others' is at most half; {said}")
