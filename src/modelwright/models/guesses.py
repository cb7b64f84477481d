"""Texts with hidden words as a network reads them, and what of a hidden word its tokens do not say.

A hidden word is told in two parts, so that its bits are those of the word itself and not of some tokens that stand for
it: its form (how many tokens, and whether it is written as they spell it, with a capital, in capitals), by how often
training texts have it; then the tokens, all hidden at once, by the network. A word that its tokens do not spell, as
one that is unknown to the tokenizer, is of the last form and is told byte by byte, each as likely as any other. So
models of other tokenizers, and n-grams, answer the same question.

Letters: N texts, W windows, T tokens, V hidden words, F forms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Any

import numpy as np

from modelwright.data.hidden import hidden_words
from modelwright.models.text import IGNORED, Tokens, tokenized
from modelwright.models.windows import Windows

if TYPE_CHECKING:
    from torch import Tensor

MOST_PIECES = 8
"""Tokens of a word that is told by its tokens. Chosen: hardly a word has more."""
FORMS = 3 * MOST_PIECES + 1
"""1 to MOST_PIECES tokens as they spell it, then with a capital, then in capitals; then what they do not spell."""
BYTE_NATS = log(257)
"""What a byte takes, or the end of a word, where all are as likely."""


@dataclass(frozen=True, slots=True)
class Guesses:
    """N texts whose hidden words are masked.

    Args:
        windows: Of their tokens; a target is the token that is hidden where it stands. A window that asks for nothing
            is left out.
        forms_NF: How many hidden words of each form each text has.
        spelled_N: Bytes, and ends, of hidden words that are told byte by byte.
    """

    windows: Windows
    forms_NF: np.ndarray
    spelled_N: np.ndarray

    def __len__(self) -> int:
        return len(self.windows)

    @property
    def lengths_N(self) -> np.ndarray:
        """Tokens of each text, those that are read twice counted twice."""
        return self.windows.lengths_N

    @property
    def lengths_W(self) -> np.ndarray:
        """Tokens of each window."""
        return self.windows.lengths_W

    def take(self, indices: np.ndarray) -> Guesses:
        """The texts at `indices` alone."""
        return Guesses(self.windows.take(indices), self.forms_NF[indices], self.spelled_N[indices])

    def batch(self, windows: np.ndarray, *, training: bool = False) -> dict[str, Tensor]:
        """What the network reads, padded on the right."""
        return self.windows.batch(windows)

    def arrays(self) -> tuple[Any, ...]:
        """All that they consist of."""
        return *self.windows.arrays(), self.forms_NF, self.spelled_N

    def told_N(self, form_nats_F: np.ndarray) -> np.ndarray:
        """Nats that the hidden words of each text take besides their tokens, float64."""
        return np.asarray(self.forms_NF @ form_nats_F + self.spelled_N * BYTE_NATS)


def form_nats(forms_NF: np.ndarray) -> np.ndarray:
    """−log of how often each form is met, float64 (F,); one more of each is counted, so that none is impossible."""
    counts_F = forms_NF.sum(axis=0) + 1.0
    return np.asarray(np.log(counts_F.sum()) - np.log(counts_F))


def guesses_of(tokenizer: Any, texts: Sequence[str], *, length: int) -> Guesses:
    """The texts with their hidden words masked, in windows of at most `length` tokens.

    Args:
        tokenizer: A fast one with a mask token.
        texts: N of them; what is hidden is `data.hidden`'s to say.
        length: Special tokens included.
    """
    before, after = frame_of(tokenizer)
    pieces: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    owners: list[int] = []
    forms_NF, spelled_N = np.zeros((len(texts), FORMS)), np.zeros(len(texts))
    known: dict[tuple[int, ...], str] = {}
    for n, (ids_T, offsets_T2) in enumerate(encoded(tokenizer, texts)):
        places = hidden_words(texts[n])
        word_T = _words_at(offsets_T2, places)
        target_T = np.where(word_T >= 0, ids_T, IGNORED)
        for v, (begin, end) in enumerate(places):
            mine, word = ids_T[word_T == v], texts[n][begin:end]
            form = _form(tokenizer, tuple(mine.tolist()), word, known)
            forms_NF[n, form] += 1
            if form == FORMS - 1:
                target_T[word_T == v] = IGNORED
                spelled_N[n] += len(word.encode("utf-8", "replace")) + 1
        read_T = np.where(word_T >= 0, tokenizer.mask_token_id, ids_T)
        for start, stop, asked_T in _windows(target_T, length - len(before) - len(after)):
            pieces.append(np.concatenate((before, read_T[start:stop], after)))
            targets.append(np.pad(asked_T, (len(before), len(after)), constant_values=IGNORED))
            owners.append(n)
    starts = np.cumsum([0, *map(len, pieces)])
    tokens = Tokens(_joined(pieces), starts, int(tokenizer.pad_token_id))
    windows = Windows(tokens, _joined(targets), np.array(owners, dtype=np.int64), len(texts))
    return Guesses(windows, forms_NF, spelled_N)


def frame_of(tokenizer: Any) -> tuple[np.ndarray, np.ndarray]:
    """The special tokens that stand before and after a text."""
    alone = tokenizer("a", add_special_tokens=False)["input_ids"]
    framed = tokenizer("a")["input_ids"]
    at = next(at for at in range(len(framed)) if framed[at : at + len(alone)] == alone)
    return np.array(framed[:at], dtype=np.int32), np.array(framed[at + len(alone) :], dtype=np.int32)


def encoded(tokenizer: Any, texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The ids of each text, int32 (T,), and where each token begins and ends, in characters, (T, 2)."""
    asked = {"add_special_tokens": False, "return_offsets_mapping": True, "verbose": False}
    for found in tokenized(tokenizer, texts, **asked):
        for ids, offsets in zip(found["input_ids"], found["offset_mapping"], strict=True):
            yield np.array(ids, dtype=np.int32), np.array(offsets, dtype=np.int64).reshape(-1, 2)


def _joined(pieces: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(pieces).astype(np.int32) if pieces else np.zeros(0, dtype=np.int32)


def _words_at(offsets_T2: np.ndarray, places: Sequence[tuple[int, int]]) -> np.ndarray:
    """For each token the first of the `places` that it has a character of, -1 where there is none."""
    if not places:
        return np.full(len(offsets_T2), -1)
    starts_V, ends_V = np.array(places).T
    begins_T, stops_T = offsets_T2.T
    word_T = np.minimum(np.searchsorted(ends_V, begins_T, side="right"), len(places) - 1)
    inside_T = (begins_T < ends_V[word_T]) & (starts_V[word_T] < stops_T) & (begins_T < stops_T)
    return np.where(inside_T, word_T, -1)


def _form(tokenizer: Any, ids: tuple[int, ...], word: str, known: dict[tuple[int, ...], str]) -> int:
    """The form of a word of these tokens; `known` remembers what they spell."""
    if not 1 <= len(ids) <= MOST_PIECES:
        return FORMS - 1
    if ids not in known:
        known[ids] = "".join(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False).split())
    said = known[ids]
    written = (said, said[:1].upper() + said[1:], said.upper())
    return written.index(word) * MOST_PIECES + len(ids) - 1 if word in written else FORMS - 1


def _windows(target_T: np.ndarray, most: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """Begin and end of each window that asks for something, and its targets: each is asked for once, where the window
    shows most on both sides of it.
    """
    count = len(target_T)
    starts_W = np.append(np.arange(0, max(0, count - most), max(1, most // 2)), max(0, count - most))
    middles_W = starts_W + most / 2
    window_T = np.searchsorted((middles_W[1:] + middles_W[:-1]) / 2, np.arange(count), side="right")
    for w, start in enumerate(starts_W.tolist()):
        stop = min(start + most, count)
        asked_T = np.where(window_T[start:stop] == w, target_T[start:stop], IGNORED)
        if (asked_T != IGNORED).any():
            yield start, stop, asked_T
