"""Texts as tokens: kept flat in one array, batched by padding to the longest of the batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from modelwright.errors import Fault, InputError
from modelwright.models.features.frame import spoken
from modelwright.models.sizes import sizes_of
from modelwright.records import Schema

if TYPE_CHECKING:
    from torch import Tensor


AT_ONCE = 10_000
"""Texts that a tokenizer is given together. Chosen."""
IGNORED = -100
"""The target of a token that carries no loss: padding, a prompt, a special token. What torch's losses ignore too."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """N tokenized texts: `flat` holds all ids one after another, text i is flat[starts[i]:starts[i+1]]."""

    flat: np.ndarray
    starts: np.ndarray
    pad: int

    @property
    def lengths_N(self) -> np.ndarray:
        """How many tokens each text has."""
        return np.diff(self.starts)

    @property
    def lengths_W(self) -> np.ndarray:
        """The same: every example is read whole."""
        return self.lengths_N

    def __len__(self) -> int:
        return len(self.starts) - 1

    def take(self, indices: np.ndarray) -> Tokens:
        """The texts at `indices` alone."""
        starts = np.concatenate(([0], np.cumsum(self.lengths_N[indices])))
        return Tokens(self.flat[self.places(indices)], starts, self.pad)

    def batch(self, indices: np.ndarray, *, training: bool = False) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask`, int64 (n, T), padded on the right to the longest of the batch."""
        import torch

        lengths_n = self.lengths_N[indices]
        mask_nT = np.arange(max(1, int(lengths_n.max(initial=1)))) < lengths_n[:, None]
        return {
            "input_ids": torch.from_numpy(self.laid(self.flat, indices, fill=self.pad)),
            "attention_mask": torch.from_numpy(mask_nT.astype(np.int64)),
        }

    def arrays(self) -> tuple[Any, ...]:
        """All that it consists of."""
        return self.flat, self.starts, self.pad

    def laid(self, values_flat: np.ndarray, indices: np.ndarray, *, fill: int) -> np.ndarray:
        """A value for each token, in the order of `flat`, laid out as a batch of these texts: int64 (n, T)."""
        lengths_n = self.lengths_N[indices]
        columns_T = np.arange(max(1, int(lengths_n.max(initial=1))))
        mask_nT = columns_T < lengths_n[:, None]
        laid_nT = np.full(mask_nT.shape, fill, dtype=np.int64)
        laid_nT[mask_nT] = values_flat[(self.starts[indices][:, None] + columns_T)[mask_nT]]
        return laid_nT

    def renumbered(self, places: np.ndarray) -> Tokens:
        """The same with other ids: `places[id]` for each."""
        return Tokens(places[self.flat], self.starts, int(places[self.pad]))

    def places(self, indices: np.ndarray) -> np.ndarray:
        """Where in `flat` the tokens of these texts stand, one text after the other."""
        return ranges(self.starts, indices)


def ranges(bounds: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """All numbers from bounds[i] to before bounds[i + 1], for each i of `indices` in turn."""
    pieces = [np.arange(bounds[i], bounds[i + 1]) for i in indices]
    return np.concatenate(pieces).astype(np.int64) if pieces else np.zeros(0, dtype=np.int64)


def texts_of(schema: Schema, examples: pl.DataFrame) -> list[str]:
    """The text of each example: its input columns, joined by a line break; null is empty; of turns their words."""
    examples = spoken(schema, examples)
    columns = [examples[name].cast(pl.String).fill_null("").to_list() for name in schema.names]
    return columns[0] if len(columns) == 1 else ["\n".join(parts) for parts in zip(*columns, strict=True)]


def tokenizer_in(folder: Path) -> Any:
    """The fast tokenizer in `folder` as it is: it may lack an end token, or one to pad with (see models/endings.py).

    Raises:
        InputError: there is none, or none that is fast.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the library that reads tokenizer.json raises no narrower one
        raise InputError(Fault(str(folder), f"holds no tokenizer: {error}", "tokenizer.json")) from error
    if not tokenizer.is_fast:
        raise InputError(Fault(str(folder), "holds a tokenizer that is not of the fast kind", "tokenizer.json"))
    return tokenizer


def tokenizer_from(folder: Path, *, rows: int | None = None) -> Any:
    """The fast tokenizer in `folder`, with a token to pad with: its own, or its end or unknown token.

    Args:
        folder: In transformers' layout.
        rows: How many tokens the model's embedding has, where that is known; a token beyond them is none to pad with.

    Raises:
        InputError: there is none, or it has no token to pad with.
    """
    tokenizer = tokenizer_in(folder)
    for name in (tokenizer.pad_token, tokenizer.eos_token, tokenizer.unk_token):
        if name is not None and (rows is None or tokenizer.convert_tokens_to_ids(name) < rows):
            tokenizer.pad_token = name
            return tokenizer
    found = "its tokenizer has no pad, end or unknown token" + ("" if rows is None else " that the model has a row for")
    raise InputError(Fault(str(folder), found, "one to pad with"))


def longest_tokens(folder: Path) -> int:
    """How many tokens the model in `folder` can read at once, special tokens included."""
    return min(sizes_of(folder).tokens or 2**31, int(tokenizer_in(folder).model_max_length))


def tokenized(tokenizer: Any, texts: Sequence[str], **options: Any) -> Iterator[Any]:
    """What `tokenizer` makes of the texts, without a mask of padding, in portions: its own objects are large."""
    for first in range(0, len(texts), AT_ONCE):
        yield tokenizer(list(texts[first : first + AT_ONCE]), return_attention_mask=False, **options)


def tokenize(tokenizer: Any, texts: list[str], *, max_length: int) -> Tokens:
    """`texts` as token ids with the special tokens that the model expects, cut at `max_length`."""
    lengths, pieces = [0], []
    for found in tokenized(tokenizer, texts, truncation=True, max_length=max_length):
        for ids in found["input_ids"]:
            lengths.append(len(ids))
            pieces.append(np.asarray(ids, dtype=np.int32))
    flat = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int32)
    return Tokens(flat, np.cumsum(lengths), int(tokenizer.pad_token_id))
