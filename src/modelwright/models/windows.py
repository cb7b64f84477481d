"""Texts as windows that a language model can read, with the next token of each token where it counts.

Letters: N texts, W windows, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from modelwright.models.text import IGNORED, Tokens, ranges, tokenized

if TYPE_CHECKING:
    from torch import Tensor

CONTEXT = {"cpu": 256, "cuda": 1024}
"""Tokens that are read at once, at most. Chosen: attention's share of a step is small up to there."""
ANSWERING = {"cpu": 512, "cuda": 2048}
"""The same for prompts and their answers."""


@dataclass(frozen=True, slots=True)
class Windows:
    """N texts in W windows; most have one.

    Args:
        tokens: The windows.
        targets: For each token, in the order of `tokens.flat`, the one after it, or IGNORED; int32.
        owner_W: The text that each window is of, rising from 0.
        count: N.
    """

    tokens: Tokens
    targets: np.ndarray
    owner_W: np.ndarray
    count: int

    def __len__(self) -> int:
        return self.count

    @property
    def lengths_N(self) -> np.ndarray:
        """Tokens of each text, those that are read twice counted twice."""
        return np.bincount(self.owner_W, self.tokens.lengths_N, self.count).astype(np.int64)

    @property
    def lengths_W(self) -> np.ndarray:
        """Tokens of each window."""
        return self.tokens.lengths_N

    def take(self, indices: np.ndarray) -> Windows:
        """The texts at `indices` alone."""
        first_N = np.searchsorted(self.owner_W, np.arange(self.count + 1))
        chosen = ranges(first_N, indices)
        owners = np.repeat(np.arange(len(indices)), np.diff(first_N)[indices])
        return Windows(self.tokens.take(chosen), self.targets[self.tokens.places(chosen)], owners, len(indices))

    def batch(self, windows: np.ndarray, *, training: bool = False) -> dict[str, Tensor]:
        """What the network reads, padded on the right."""
        return self.tokens.batch(windows)

    def arrays(self) -> tuple[Any, ...]:
        """All that it consists of."""
        return *self.tokens.arrays(), self.targets, self.owner_W, self.count

    def asked(self, windows: np.ndarray) -> np.ndarray:
        """The targets of these windows, int64 (w, T)."""
        return self.tokens.laid(self.targets, windows, fill=IGNORED)


def windows_of(tokenizer: Any, texts: Sequence[str], *, length: int, overlap: int = 0) -> Windows:
    """Every token of the texts, and the end of each, asked for once.

    A text is read from a start token on. One that is longer than `length` goes on in further windows, each of which
    reads `overlap` tokens before the first that it is asked for.

    Args:
        tokenizer: Its `bos_token_id` (or `eos_token_id`) starts a text, `eos_token_id` ends it.
        texts: N of them.
        length: T, tokens of a window at most.
        overlap: Below `length`.
    """
    end = int(tokenizer.eos_token_id)
    start = end if tokenizer.bos_token_id is None else int(tokenizer.bos_token_id)
    pieces: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    owners: list[int] = []
    rows = (ids for found in tokenized(tokenizer, texts, add_special_tokens=False) for ids in found["input_ids"])
    for position, ids in enumerate(rows):
        whole = np.array([start, *ids, end], dtype=np.int32)
        for window, target in _cut(whole, length, overlap):
            pieces.append(window)
            targets.append(target)
            owners.append(position)
    flat = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int32)
    starts = np.cumsum([0, *map(len, pieces)])
    tokens = Tokens(flat, starts, int(tokenizer.pad_token_id))
    asked = np.concatenate(targets) if targets else np.zeros(0, dtype=np.int32)
    return Windows(tokens, asked, np.array(owners, dtype=np.int64), len(texts))


def _cut(whole: np.ndarray, length: int, overlap: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Windows of `whole`'s tokens but the last, with their targets."""
    cut, done = [], 0
    last = len(whole) - 1
    while done < last:
        begin = max(0, done - overlap)
        stop = min(begin + length, last)
        target = whole[begin + 1 : stop + 1].copy()
        target[: done - begin] = IGNORED
        cut.append((whole[begin:stop], target))
        done = stop
    return cut
