"""A tagger's head before its encoder moves: the best linear fit of tags on the encoder's frozen states.

Dimensions: M tokens that carry a tag, D width, K tags.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from modelwright.models.fitting.head import set_head
from modelwright.models.inputs import Features

if TYPE_CHECKING:
    from modelwright.models.networks import Network
ENOUGH = 30_000
"""Tagged tokens that are read at most: 46 MB of states of a small encoder, and seconds to fit. Chosen."""


def set_tag_head(
    network: Network,
    tokens: Features,
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

    from modelwright.models.text import Tokens

    assert isinstance(tokens, Tokens)
    network.eval()
    place = network.head.weight.device
    states, tags, count = [], [], 0
    order = np.random.default_rng(seed).permutation(len(tokens))
    with torch.inference_mode(), torch.autocast(place.type, torch.bfloat16, enabled=precision == "bf16"):
        for start in range(0, len(order), 32):
            chosen = order[start : start + 32]
            inputs = {name: each.to(place) for name, each in tokens.batch(chosen).items()}
            targets_nT = torch.from_numpy(tokens.laid(targets, chosen, fill=-1))
            carries_nT = targets_nT >= 0
            states.append(network.features(inputs).cpu()[carries_nT])
            tags.append(targets_nT[carries_nT].numpy())
            count += len(tags[-1])
            tick(start + len(chosen))
            if count >= ENOUGH:
                break
    if count:
        found_MD = torch.cat(states).clone()  # a tensor made in inference mode cannot take part in a fit
        set_head(network, found_MD, np.concatenate(tags), regression=False, seed=seed)
