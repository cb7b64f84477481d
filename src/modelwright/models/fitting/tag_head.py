"""A tagger's head before its encoder moves: the best linear fit of tags on the encoder's frozen states.

Dimensions: M tokens that carry a tag, D width, K tags.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from modelwright.models.encode import portions, read_portion
from modelwright.models.fitting.head import set_head
from modelwright.models.text import Tokens

if TYPE_CHECKING:
    from modelwright.models.networks import Network

ENOUGH = 30_000
"""Tagged tokens that are read at most: 46 MB of states of a small encoder, and seconds to fit. Chosen."""


def set_tag_head(
    network: Network,
    tokens: Tokens,
    targets: np.ndarray,
    *,
    precision: str,
    seed: int,
    tick: Callable[[int], None] = lambda done: None,
) -> None:
    """Set the network's head to the best penalised linear fit on texts drawn at random.

    Args:
        network: Not pooled; its head is overwritten.
        tokens: The training texts, as tokens.
        targets: The tag of each token, in the order of `tokens.flat`; below 0 where it carries none.
        precision: `bf16` reads in bfloat16, any other in float32.
        seed: Of the draw, and of what is held out to choose the penalty.
        tick: Told how many texts are read.
    """
    import torch

    place = network.head.weight.device.type
    texts, count = drawn(tokens, targets, seed=seed)
    states, tags, done = [], [], 0
    for portion in portions(tokens.lengths_N[texts], place):
        chosen = texts[portion]
        targets_nT = tokens.laid(targets, chosen, fill=-1)
        states.append(read_portion(network, tokens, chosen, precision=precision)[torch.from_numpy(targets_nT >= 0)])
        tags.append(targets_nT[targets_nT >= 0])
        done += len(chosen)
        tick(done)
    if count:
        found_MD = torch.cat(states).clone()  # a tensor made in inference mode cannot take part in a fit
        set_head(network, found_MD, np.concatenate(tags), regression=False, seed=seed)


def drawn(tokens: Tokens, targets: np.ndarray, *, seed: int) -> tuple[np.ndarray, int]:
    """Texts at random, enough of them to fit a head, and how many tagged tokens they have."""
    tagged_N = np.diff(np.append(0, np.cumsum(targets >= 0))[tokens.starts])
    order = np.random.default_rng(seed).permutation(len(tokens))
    reached_N = np.cumsum(tagged_N[order])
    texts = order[: np.searchsorted(reached_N, ENOUGH) + 1]
    return texts, int(tagged_N[texts].sum())
