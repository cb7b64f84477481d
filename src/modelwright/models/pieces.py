"""Texts as tokens whose words are known: what a network that tags words reads.

Letters: N texts, W windows, V words of all texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from modelwright.models.text import Tokens, ranges, tokenized
from modelwright.models.words import Place, places_of

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Pieces:
    """N texts in W windows; most have one, and long ones several that overlap, so that nothing is cut.

    Args:
        tokens: The windows, those of a text one after the other.
        owner_W: The text that each window is of, rising from 0.
        places_N: The words of each text.
        carrier_V: For each word of all texts, one text after the other, where in `tokens.flat` the token stands that
            carries its tag: its first piece, in the window that shows most on both sides of it. -1 where no token is
            of this word.
    """

    tokens: Tokens
    owner_W: np.ndarray
    places_N: tuple[tuple[Place, ...], ...]
    carrier_V: np.ndarray

    def __len__(self) -> int:
        return len(self.places_N)

    @property
    def lengths_N(self) -> np.ndarray:
        """Tokens of each text, those that are read twice counted twice."""
        return np.bincount(self.owner_W, self.tokens.lengths_N, len(self)).astype(np.int64)

    @property
    def lengths_W(self) -> np.ndarray:
        """Tokens of each window."""
        return self.tokens.lengths_N

    def take(self, indices: np.ndarray) -> Pieces:
        """The texts at `indices` alone."""
        first_N = np.searchsorted(self.owner_W, np.arange(len(self) + 1))
        word_N = np.concatenate([[0], np.cumsum([len(each) for each in self.places_N])])
        windows = ranges(first_N, indices)
        moved = np.full(len(self.tokens.flat) + 1, -1)  # the last place is that of no token
        moved[self.tokens.places(windows)] = np.arange(int(self.tokens.lengths_N[windows].sum()))
        owner_W = np.repeat(np.arange(len(indices)), np.diff(first_N)[indices])
        places = tuple(self.places_N[i] for i in indices)
        return Pieces(self.tokens.take(windows), owner_W, places, moved[self.carrier_V[ranges(word_N, indices)]])

    def batch(self, windows: np.ndarray, *, training: bool = False) -> dict[str, Tensor]:
        """What the network reads of these windows, padded on the right."""
        return self.tokens.batch(windows)

    def arrays(self) -> tuple[Any, ...]:
        """All that it consists of."""
        return *self.tokens.arrays(), self.owner_W, self.carrier_V

    def renumbered(self, places: np.ndarray) -> Pieces:
        """The same with other ids: `places[id]` for each."""
        return replace(self, tokens=self.tokens.renumbered(places))

    def targets(self, tags_V: np.ndarray, *, nothing: int) -> np.ndarray:
        """The tag that each token of `tokens.flat` carries, `nothing` where it carries none; int64."""
        found = np.full(len(self.tokens.flat), nothing, dtype=np.int64)
        carried = np.flatnonzero(self.carrier_V >= 0)[::-1]  # of words that share a token the first counts
        found[self.carrier_V[carried]] = tags_V[carried]
        return found


def pieces_of(tokenizer: Any, texts: Sequence[str], *, length: int, overlap: int) -> Pieces:
    """The texts in windows of at most `length` tokens that share `overlap` of them.

    Args:
        tokenizer: A fast one, which knows where in the text each token stands.
        texts: N of them.
        length: Special tokens included.
        overlap: Well below `length`.
    """
    ids: list[np.ndarray] = []
    owners: list[int] = []
    carriers: list[np.ndarray] = []
    places_N = tuple(tuple(places_of(text)) for text in texts)
    done = 0
    cut = {"truncation": True, "max_length": length, "stride": overlap, "return_overflowing_tokens": True}
    for found in tokenized(tokenizer, texts, **cut, return_offsets_mapping=True):
        first = len(carriers)
        best: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for row, owner in enumerate(found["overflow_to_sample_mapping"]):
            text = first + owner
            mine = np.asarray(found["input_ids"][row], dtype=np.int32)
            carrier_T, room_T = best.setdefault(text, _nobody(len(places_N[text])))
            _carry(texts[text], places_N[text], found["offset_mapping"][row], done, carrier_T, room_T)
            ids.append(mine)
            owners.append(text)
            done += len(mine)
        carriers += [carrier_T for carrier_T, _ in best.values()]
    flat = np.concatenate(ids) if ids else np.zeros(0, dtype=np.int32)
    tokens = Tokens(flat, np.cumsum([0, *map(len, ids)]), int(tokenizer.pad_token_id))
    carrier_V = np.concatenate(carriers) if carriers else np.zeros(0, dtype=np.int64)
    return Pieces(tokens, np.array(owners, dtype=np.int64), places_N, carrier_V)


def _nobody(words: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full(words, -1, dtype=np.int64), np.full(words, -1, dtype=np.int64)


def _carry(
    text: str,
    places: Sequence[Place],
    offsets: Sequence[tuple[int, int]],
    start: int,
    carrier_T: np.ndarray,
    room_T: np.ndarray,
) -> None:
    """Note for each word the token of this window that it begins in, where it shows more than the windows before.

    Args:
        text: What the offsets count in.
        places: The words of the text.
        offsets: Where each token stands in it; nowhere for special tokens.
        start: Of the window in the flat tokens.
        carrier_T: Of each word, changed in place.
        room_T: Tokens beside the carrier on its narrower side.
    """
    word, last = 0, len(offsets) - 1
    for t, (begin, end) in enumerate(offsets):
        while begin < end and text[begin].isspace():
            begin += 1
        while word < len(places) and places[word][0] < begin:
            word += 1
        after = word
        while begin < end and after < len(places) and places[after][0] < end:
            if min(t, last - t) > room_T[after]:
                carrier_T[after], room_T[after] = start + t, min(t, last - t)
            after += 1
