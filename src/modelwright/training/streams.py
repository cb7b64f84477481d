"""Texts as one stream of tokens, cut into blocks of the same length: what a language model is pre-trained on.

Letters: n blocks, T tokens of a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from modelwright.models.text import tokenized
from modelwright.training.objectives import Batch

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Stream:
    """All tokens of a part one after another, each text ended by its end token.

    Every epoch cuts the stream at another offset, so that no token stands at the start of a block every time; order
    and offset are a pure function of seed and epoch, and the number of batches is the same in every epoch. All batches
    have the same size, for which the network may be compiled: blocks that fill none wait for another epoch.

    Args:
        flat: The tokens, int32.
        length: T.
    """

    flat: np.ndarray
    length: int

    def __len__(self) -> int:
        """Blocks of an epoch: the last tokens are left out where the offset takes their place."""
        return max(1, (len(self.flat) - 1) // self.length - 1)

    @property
    def lengths_N(self) -> np.ndarray:
        """T at every place where a block may start."""
        return np.broadcast_to(np.int64(self.length), len(self.flat))

    def order(self, *, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
        """The batches of `epoch`, each the positions at which its blocks start."""
        generator = np.random.Generator(np.random.Philox(key=[seed, epoch]))
        room = len(self.flat) - 1 - len(self) * self.length
        offset = int(generator.integers(0, min(self.length, room) + 1)) if room > 0 else 0
        starts = offset + self.length * generator.permutation(len(self))
        batches = max(1, len(starts) // batch_size)
        return [starts[first * batch_size : (first + 1) * batch_size] for first in range(batches)]

    def batch(self, starts: np.ndarray, device: torch.device | str = "cpu") -> Batch:
        """The blocks that start there, and the next token of each of their tokens."""
        import torch

        places_nT = starts[:, None] + np.arange(min(self.length, len(self.flat) - 1))
        ids = torch.from_numpy(self.flat[places_nT].astype(np.int64)).to(device)
        targets = torch.from_numpy(self.flat[places_nT + 1].astype(np.int64)).to(device)
        return Batch({"input_ids": ids}, targets)


def stream_of(tokenizer: Any, texts: Sequence[str], *, length: int) -> Stream:
    """The texts as a stream, each followed by the tokenizer's end token, after its start token if that is another.

    Args:
        tokenizer: Its `eos_token_id` ends a text, its `bos_token_id` starts one.
        texts: In their order; what is shorter than a block shares one with its neighbours.
        length: Tokens of a block.
    """
    pieces, end, begin = [], tokenizer.eos_token_id, tokenizer.bos_token_id
    before = [] if begin is None or begin == end else [begin]
    for found in tokenized(tokenizer, texts, add_special_tokens=False):
        pieces += [np.asarray([*before, *ids, end], dtype=np.int32) for ids in found["input_ids"]]
    return Stream(np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int32), length)
