"""Sentence embeddings of a pre-trained encoder, for neighbours and for starting a head."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelwright.models.catalogue import catalogue, on_this_machine

if TYPE_CHECKING:
    from modelwright.models.networks import Network

ENCODER = "all-MiniLM-L6-v2"
MAX_TOKENS = 256
"""Longer texts are cut for embedding: the model's card gives 256 word pieces as its limit."""


def find_encoder() -> Path | None:
    """The folder of a pre-trained sentence encoder on this machine, or None."""
    return on_this_machine(catalogue()[ENCODER])


@lru_cache(maxsize=2)
def _loaded(folder: Path) -> tuple[Network, Any]:
    from modelwright.models.networks import pretrained
    from modelwright.models.text import tokenizer_from

    return pretrained(folder, outputs=1).eval(), tokenizer_from(folder)


def embed(
    folder: Path, texts: list[str], *, batch_tokens: int = 4096, tick: Callable[[int], None] = lambda done: None
) -> np.ndarray:
    """The embeddings of `texts`: float32 (N, D), mean over tokens, unit length, in their order.

    Args:
        folder: A pre-trained encoder in transformers layout.
        texts: N texts; an empty one is embedded as its special tokens alone.
        batch_tokens: Padded tokens per batch; texts are taken by length, so that little is padding.
        tick: Told how many texts are done, now and then.
    """
    import torch

    from modelwright.models.precision import best_precision
    from modelwright.models.text import Tokens, tokenize

    network, tokenizer = _loaded(folder)
    tokens: Tokens = tokenize(tokenizer, texts, max_length=MAX_TOKENS)
    order = np.argsort(tokens.lengths_N, kind="stable")
    width = network.head.in_features
    found_ND = np.zeros((len(texts), width), dtype=np.float32)
    precision = best_precision() if len(texts) > 64 else "fp32"  # single answers must not depend on the batch
    start = 0
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        while start < len(order):
            longest = int(tokens.lengths_N[order[min(start + 256, len(order)) - 1]])
            chosen = order[start : start + max(1, min(256, batch_tokens // max(1, longest)))]
            features_ND = network.features(tokens.batch(chosen))
            found_ND[chosen] = torch.nn.functional.normalize(features_ND, dim=1).numpy()
            start += len(chosen)
            tick(start)
    return found_ND


def copy_encoder(folder: Path, to: Path) -> None:
    """Copy what is needed to embed (weights, configuration, tokenizer) from `folder` into `to`."""
    to.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, to / name)
