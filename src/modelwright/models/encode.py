"""Sentence embeddings of a pre-trained encoder, for neighbours and for starting a head."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelwright.models.catalogue import catalogue, on_this_machine
from modelwright.models.inputs import Features
from modelwright.models.portions import by_length
from modelwright.models.precision import best_precision, device

if TYPE_CHECKING:
    from torch import Tensor

    from modelwright.models.networks import Network

ENCODER = "all-MiniLM-L6-v2"
MAX_TOKENS = 256
"""Longer texts are cut for embedding: the model's card gives 256 word pieces as its limit."""
BATCH, BATCH_TOKENS = 256, {"cpu": 4096, "cuda": 65_536}
"""Examples, and padded tokens, that are read at once at most. Chosen for caches and for full use of a GPU."""
REMEMBERED_FROM, REMEMBERED_BYTES = 64, 2**28
"""Readings of fewer examples are not remembered, nor more than 256 MB of features together."""
_READ: dict[str, Tensor] = {}


def find_encoder() -> Path | None:
    """The folder of a pre-trained sentence encoder on this machine, or None."""
    return on_this_machine(catalogue()[ENCODER])


@lru_cache(maxsize=2)
def _loaded(folder: Path) -> tuple[Network, Any]:
    from modelwright.models.networks import pretrained
    from modelwright.models.text import tokenizer_from

    return pretrained(folder, outputs=1).eval().to(device()), tokenizer_from(folder)


def embed(folder: Path, texts: list[str]) -> np.ndarray:
    """The embeddings of `texts`: float32 (N, D), mean over tokens, unit length, in their order.

    Args:
        folder: A pre-trained encoder in transformers layout.
        texts: N texts; an empty one is embedded as its special tokens alone.
    """
    import torch

    from modelwright.models.text import tokenize

    network, tokenizer = _loaded(folder)
    tokens = tokenize(tokenizer, texts, max_length=MAX_TOKENS)
    precision = best_precision() if len(texts) >= REMEMBERED_FROM else "fp32"  # one answer does not depend on others
    features_ND = frozen_features(network, tokens, precision=precision)
    found_ND: np.ndarray = torch.nn.functional.normalize(features_ND, dim=1).numpy()
    return found_ND


def frozen_features(
    network: Network,
    inputs: Features,
    *,
    precision: str,
    remember: bool = True,
    tick: Callable[[int], None] = lambda done: None,
) -> Tensor:
    """The encoder's pooled features of every example, float32 (N, D), on the processor.

    What was read last is remembered, by the content of the weights and of the inputs: neighbours, a head on the
    frozen encoder and the start of fine-tuning all ask for the same.

    Args:
        network: Its head is not used.
        inputs: N examples; batches are taken by length, so that little is padding.
        precision: `bf16` reads in bfloat16, any other in float32.
        remember: Keep it for the next who asks.
        tick: Told how many examples are done, now and then.
    """
    import torch

    key = _content(network, inputs, precision) if remember and len(inputs) >= REMEMBERED_FROM else None
    if key is not None and key in _READ:
        return _READ[key].clone()
    place = network.head.weight.device
    found_ND = torch.zeros(len(inputs), network.head.in_features)
    done = 0
    for chosen in portions(inputs.lengths_N, place.type):
        found_ND[torch.from_numpy(chosen)] = read_portion(network, inputs, chosen, precision=precision)
        done += len(chosen)
        tick(done)
    found_ND = found_ND.clone()  # a tensor made in inference mode cannot take part in a fit
    if key is not None:
        _READ[key] = found_ND
        while len(_READ) > 1 and sum(each.nbytes for each in _READ.values()) > REMEMBERED_BYTES:
            _READ.pop(next(iter(_READ)))
        return found_ND.clone()
    return found_ND


def portions(lengths_N: np.ndarray, place: str) -> Iterator[np.ndarray]:
    """Positions of examples of these lengths that are read at once on a device of that type."""
    return by_length(lengths_N, most=BATCH, tokens=BATCH_TOKENS[place])


def read_portion(network: Network, inputs: Features, chosen: np.ndarray, *, precision: str) -> Tensor:
    """The features of the inputs at `chosen`, float32 (n, D), or (n, T, D) of a network that pools none, on the
    processor; see `frozen_features`.
    """
    import torch

    network.eval()
    place = network.head.weight.device
    with torch.inference_mode(), torch.autocast(place.type, torch.bfloat16, enabled=precision == "bf16"):
        batch = {name: each.to(place) for name, each in inputs.batch(chosen).items()}
        return network.features(batch).cpu()


def has_read(count: int) -> bool:
    """Whether so many examples were read lately: then reading them again costs nothing. For estimates only."""
    return any(len(each) == count for each in _READ.values())


def is_remembered(network: Network, inputs: Features, *, precision: str) -> bool:
    """Whether `frozen_features` of just these inputs would cost nothing."""
    return _content(network, inputs, precision) in _READ


def _content(network: Network, inputs: Features, precision: str) -> str:
    """A digest of everything that the features depend on."""
    import torch

    found = hashlib.blake2b(precision.encode(), digest_size=16)
    for name, weight in network.encoder.state_dict().items():
        found.update(name.encode())
        found.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    for each in inputs.arrays():
        found.update(np.ascontiguousarray(each).tobytes())
    return found.hexdigest()


def copy_encoder(folder: Path, to: Path) -> None:
    """Copy what is needed to embed (weights, configuration, tokenizer) from `folder` into `to`."""
    to.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, to / name)
