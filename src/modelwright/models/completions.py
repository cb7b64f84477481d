"""Conversations as tokens of which only the answers carry loss.

A conversation is written down once as a whole, and once more up to each answer. Where the whole begins with what leads
up to an answer, in text and in tokens, the model sees in training what it will see when it is asked; anything else is
left out with a reason. Nothing is ever cut from an answer.

Letters: N examples, T tokens of all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from modelwright.errors import Fault, InputError
from modelwright.models.chat import ChatTemplate, Turn, control_pattern
from modelwright.models.marking import Encoder
from modelwright.models.text import IGNORED, Tokens
from modelwright.models.written import Account, LeftOut, Unfit, Written, shortened, written_down

if TYPE_CHECKING:
    from torch import Tensor

PORTION = 5_000
"""Texts that are tokenized at once: the tokenizer's own objects are large. Chosen."""

_Piece = tuple[int, np.ndarray, np.ndarray]
"""One example: its place among those given, its ids, its targets."""


@dataclass(frozen=True, slots=True)
class Completions:
    """N examples as tokens; `targets_flat[t]` is the token after t where it is an answer's, else IGNORED.

    `kept_N` says which of those given each example is; `notes` what had to be shortened, in sentences.
    """

    tokens: Tokens
    targets_flat: np.ndarray
    kept_N: np.ndarray
    dropped: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.tokens)

    def batch(self, indices: np.ndarray) -> tuple[dict[str, Tensor], Tensor]:
        """The inputs of the examples at `indices`, padded on the right, and their targets, int64 (n, T)."""
        import torch

        return self.tokens.batch(indices), torch.from_numpy(self.tokens.laid(self.targets_flat, indices, fill=IGNORED))


def chats(
    template: ChatTemplate, tokenizer: Any, conversations: Sequence[Sequence[Turn]], *, max_length: int
) -> Completions:
    """`conversations`, each ending in an answer, as tokens of which only the assistant's turns carry loss.

    Of what is longer than `max_length` the oldest exchanges go first, then the beginning of the last question; the
    system turn stays. What still does not fit is left out.

    Args:
        template: See `models.chat`.
        tokenizer: A fast one, with the template's stop token.
        conversations: The last turn of each is the assistant's.
        max_length: Tokens that the model reads at once.

    Raises:
        InputError: nothing is left.
    """
    encoder, control = Encoder(tokenizer, template.stop), control_pattern(tokenizer)
    pieces: list[_Piece] = []
    account = Account()
    for first in range(0, len(conversations), PORTION):
        portion = enumerate(conversations[first : first + PORTION], first)
        written = list(written_down(template, portion, control, account))
        while written:
            done, written = _tokenized(encoder, template, written, max_length, account)
            pieces += done
    return _assembled(tokenizer, pieces, account, len(conversations))


def _tokenized(
    encoder: Encoder, template: ChatTemplate, written: list[Written], max_length: int, account: Account
) -> tuple[list[_Piece], list[Written]]:
    """The conversations that fit, as tokens; and those that were too long, written down shorter."""
    done: list[_Piece] = []
    again: list[Written] = []
    for each, (ids, places) in zip(written, encoder.marked(written), strict=True):
        try:
            if not places:
                raise Unfit("not_a_prefix", "an answer's first token is one with the end of the prompt")
            if len(ids) > max_length:
                again.append(shortened(template, each, length=len(ids), max_length=max_length))
                continue
        except Unfit as unfit:
            account.drop(each.index, unfit)
            continue
        account.told.update(each.done)
        done.append((each.index, ids, _targets(ids, places)))
    return done, again


def _targets(ids: np.ndarray, places: list[tuple[int, int]]) -> np.ndarray:
    """The next token of each where it lies in one of `places`, else IGNORED."""
    targets = np.full(len(ids), IGNORED, dtype=np.int32)
    for begin, end in places:
        begin = max(begin, 1)  # nothing stands before the first token to learn it from
        targets[begin - 1 : end - 1] = ids[begin:end]
    return targets


def _assembled(tokenizer: Any, pieces: list[_Piece], account: Account, count: int) -> Completions:
    """All that can be learned from, in the order in which it was given.

    Raises:
        InputError: that is nothing.
    """
    dropped = tuple(sorted(account.dropped, key=lambda each: each.index))
    if not pieces:
        reasons = Counter(each.reason for each in dropped)
        told = ", ".join(f"{n:,} {reason}" for reason, n in reasons.items()) or "there are none"
        found = f"none of {count:,} conversations can be learned from: {told}"
        raise InputError(Fault("the data", found, todo=dropped[0].where if dropped else ""))
    pieces.sort(key=lambda each: each[0])
    starts = np.cumsum([0, *(len(ids) for _, ids, _ in pieces)])
    flat, targets = (np.concatenate([each[part] for each in pieces]) for part in (1, 2))
    notes = tuple(f"{n:,} of {count:,} {what}" for what, n in sorted(account.told.items()) if n)
    kept_N = np.asarray([index for index, _, _ in pieces])
    return Completions(Tokens(flat, starts, int(tokenizer.pad_token_id)), targets, kept_N, dropped, notes)
