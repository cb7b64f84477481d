"""What the forward pass leaves for the backward pass: how much it is, and whether it is worth making it twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from modelwright.records import Setting

SHARE = 0.5
"""Of the memory that is free, what activations may take before blocks are repeated instead. Chosen."""
LAYERS = ("num_hidden_layers", "n_layers")
"""What configurations call the number of blocks."""


def activation_bytes(config: Path, *, examples: int, tokens: int) -> int:
    """Bytes that a transformer keeps of one batch: 2 · n T L (34 D + 5 H T) in float32.

    Source: Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer Models", equation 2, which
    counts two bytes to a number.

    Args:
        config: A config.json; 0 where it has no sizes of a transformer.
        examples: n, of the largest batch.
        tokens: T, of its longest example.
    """
    found = json.loads(config.read_text(encoding="utf-8"))
    width = found.get("hidden_size") or found.get("dim") or 0
    layers = _layers(found)
    heads = found.get("num_attention_heads") or found.get("n_heads") or 0
    return int(2 * examples * tokens * layers * (34 * width + 5 * heads * tokens))


def checkpointing(base: Path | str, *, examples: int, tokens: int) -> Setting:
    """How many blocks keep their inputs alone and are repeated: as many as it takes for the others to fit."""
    from modelwright.training.sharding import memory_bytes

    if isinstance(base, str) or tokens == 0:
        return Setting(0, "rule: texts only")
    config = base / "config.json"
    needed, free = activation_bytes(config, examples=examples, tokens=tokens), memory_bytes()
    count = _layers(json.loads(config.read_text(encoding="utf-8")))
    fitting = count if needed <= SHARE * free else int(SHARE * free / needed * count)
    said = f"what the {count} blocks leave for the way back takes {needed / 1e9:.1f} GB at most, of {free / 1e9:.1f} GB"
    return Setting(count - fitting, f"rule: blocks repeated so that the others' is at most half; {said}")


def _layers(config: dict[str, Any]) -> int:
    return int(next((config[name] for name in LAYERS if config.get(name)), 0))
