"""Examples of unlike length side by side in blocks, so that hardly a token is padding; none attends to another.

In a pack the positions of every example count from 0. That alone tells the models of PACKING apart where an example
begins: transformers makes a mask of blocks of it (`find_packed_sequence_indices`), for its own attention on any device
and for ours. The last token of an example has no target, so nothing is learnt across a border.

Letters: N examples, n packs, T tokens of a pack.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from modelwright.models.completions import Completions
from modelwright.training.objectives import IGNORED, Batch

if TYPE_CHECKING:
    import torch

PACKING = frozenset({"gpt2", "llama", "mistral", "qwen2", "qwen3"})
"""Families for which a test shows that a pack gives the losses and gradients of a padded batch."""


@dataclass(frozen=True, slots=True)
class Packs:
    """Examples that are packed anew in every epoch, always into the same number of packs.

    Args:
        examples: None longer than `length`.
        length: Tokens of a pack, at most.
    """

    examples: Completions
    length: int

    def __len__(self) -> int:
        """Packs of an epoch: it depends on the lengths of the examples alone."""
        return len(packed(self.examples.tokens.lengths_N, self.length))

    def order(self, *, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
        """The batches of `epoch`: arrays of packs, each an array of examples; a pure function of seed and epoch.

        Args:
            batch_size: Packs of a batch.
            seed: The run's.
            epoch: Counted from 0.
        """
        generator = np.random.Generator(np.random.Philox(key=[seed, epoch]))
        shuffled_N = generator.permutation(len(self.examples))
        found = packed(self.examples.tokens.lengths_N[shuffled_N], self.length)
        packs_n = np.empty(len(found), dtype=object)
        for place, chosen in enumerate(generator.permutation(len(found))):
            packs_n[place] = shuffled_N[found[chosen]]
        return [packs_n[first : first + batch_size] for first in range(0, len(packs_n), batch_size)]

    def batch(self, packs: np.ndarray, device: torch.device | str = "cpu") -> Batch:
        """`input_ids` and `position_ids`, and the targets, each int64 (n, T); T is that of the longest pack."""
        import torch

        tokens, lengths_N = self.examples.tokens, self.examples.tokens.lengths_N
        sizes_n = [int(lengths_N[pack].sum()) for pack in packs]
        ids_nT = np.full((len(packs), max(sizes_n)), tokens.pad, dtype=np.int64)
        positions_nT, targets_nT = np.zeros_like(ids_nT), np.full_like(ids_nT, IGNORED)
        for row, (pack, size) in enumerate(zip(packs, sizes_n, strict=True)):
            lengths = lengths_N[pack]
            places = np.concatenate([np.arange(tokens.starts[each], tokens.starts[each + 1]) for each in pack])
            ids_nT[row, :size], targets_nT[row, :size] = tokens.flat[places], self.examples.targets_flat[places]
            ends = np.cumsum(lengths)
            positions_nT[row, :size] = np.arange(size) - np.repeat(ends - lengths, lengths)
            positions_nT[row, size:] = np.arange(ids_nT.shape[1] - size)  # padding is an example of its own
        ids, positions, targets = (torch.from_numpy(each).to(device) for each in (ids_nT, positions_nT, targets_nT))
        return Batch({"input_ids": ids, "position_ids": positions}, targets)


def packed(lengths_N: np.ndarray, length: int) -> list[np.ndarray]:
    """The examples of each pack: best-fit decreasing (Johnson et al. 1974), within 11/9 of the fewest packs.

    The longest example goes first, each into the fullest pack that still has room. Examples of one length are taken in
    the order in which they come, so that shuffling them first mixes the packs, but not how many there are.

    Args:
        lengths_N: Tokens of each example.
        length: Tokens that a pack holds.

    Raises:
        ValueError: an example is longer than a pack.
    """
    if lengths_N.max(initial=0) > length:
        raise ValueError(f"an example of {lengths_N.max()} tokens does not fit into a pack of {length}")
    packs: list[list[int]] = []
    room: list[list[int]] = [[] for _ in range(length + 1)]  # packs by the tokens that they still have room for
    rooms: list[int] = []  # those numbers of tokens that any pack has, in order
    for example in np.argsort(-lengths_N, kind="stable"):
        size = int(lengths_N[example])
        place = bisect_left(rooms, size)
        if place == len(rooms):
            packs.append([])
            left, pack = length, len(packs) - 1
        else:
            left = rooms[place]
            pack = room[left].pop()
            if not room[left]:
                del rooms[place]
        packs[pack].append(int(example))
        if not room[left - size]:
            insort(rooms, left - size)
        room[left - size].append(pack)
    return [np.asarray(pack) for pack in packs]
