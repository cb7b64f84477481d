"""Texts whose tokens are hidden anew in every epoch: what a masked language model is trained on.

Letters: N rows, n those of a batch, T tokens, k those that are chosen of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from modelwright.models.guesses import encoded, frame_of
from modelwright.models.text import Tokens
from modelwright.training.batches import epoch_order
from modelwright.training.objectives import IGNORED, Batch

if TYPE_CHECKING:
    import torch

SHARE = 0.15
"""Of a row's tokens that are chosen to be guessed,"""
MASKED, OTHER = 0.8, 0.1
"""and of these, what is replaced by the mask token, and by another: the rest stays as it is (Devlin et al. 2019,
section 3.1), because no text to come has masks."""


@dataclass(frozen=True, slots=True)
class Masks:
    """Rows of tokens. What is hidden of a row is a pure function of the seed, the row and the epoch.

    A position says both: row + N * epoch. So no two epochs hide the same (Liu et al. 2019, "RoBERTa", section 4.1), and
    a batch is the same whoever makes it, whole or in pieces, also after a resume.

    Args:
        tokens: With special tokens around each row.
        mask: The id of the mask token.
        ordinary_V: All ids that are no special tokens, which alone are hidden and put in another's place.
        seed: The run's.
    """

    tokens: Tokens
    mask: int
    ordinary_V: np.ndarray
    seed: int

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def lengths_N(self) -> np.ndarray:
        """Tokens of each row."""
        return self.tokens.lengths_N

    def order(self, *, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
        """The batches of `epoch`, alike in length within."""
        found = epoch_order(self.lengths_N, batch_size=batch_size, seed=seed, epoch=epoch)
        return [rows + len(self) * epoch for rows in found]

    def batch(self, positions: np.ndarray, device: torch.device | str = "cpu") -> Batch:
        """The rows with tokens hidden; the targets are what was there."""
        import torch

        rows_n = positions % len(self)
        targets_nT = np.full((len(positions), int(self.lengths_N[rows_n].max())), IGNORED)
        inputs = self.tokens.batch(rows_n)
        ids_nT = inputs["input_ids"].numpy()
        for n, position in enumerate(positions.tolist()):
            places_k, put_k = self._hidden(position, ids_nT[n, : self.lengths_N[rows_n[n]]])
            targets_nT[n, places_k] = ids_nT[n, places_k]
            ids_nT[n, places_k] = put_k
        moved = {name: each.to(device) for name, each in inputs.items()}
        return Batch(moved, torch.from_numpy(targets_nT).to(device))

    def _hidden(self, position: int, ids_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The places that are chosen of a row, and what is put there."""
        generator = np.random.Generator(np.random.Philox(key=[self.seed, position]))
        free = np.flatnonzero(np.isin(ids_T, self.ordinary_V))
        places_k = generator.permutation(free)[: max(1, round(SHARE * len(free)))]
        drawn_k, others_k = generator.random(len(places_k)), generator.choice(self.ordinary_V, len(places_k))
        put_k = np.where(drawn_k < MASKED, self.mask, np.where(drawn_k < MASKED + OTHER, others_k, ids_T[places_k]))
        return places_k, put_k


def masks_of(tokenizer: Any, texts: Sequence[str], *, length: int, seed: int) -> Masks:
    """The texts as rows of at most `length` tokens; a longer one goes on in further rows.

    Args:
        tokenizer: A fast one with a mask token.
        texts: One without a token gives no row.
        length: Special tokens included.
        seed: Draws what is hidden.
    """
    before, after = frame_of(tokenizer)
    most = length - len(before) - len(after)
    rows = [
        np.concatenate((before, ids_T[start : start + most], after))
        for ids_T, _ in encoded(tokenizer, texts)
        for start in range(0, len(ids_T), most)
    ]
    flat = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int32)
    tokens = Tokens(flat, np.cumsum([0, *map(len, rows)]), int(tokenizer.pad_token_id))
    ordinary_V = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)
    return Masks(tokens, int(tokenizer.mask_token_id), ordinary_V, seed)
