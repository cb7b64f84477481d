"""Examples that are nearly the same: found, named, and left out or kept in one part.

`pairs_of` finds them by the kind of input, `together` says which examples they tie; `settle` does what the problem file
says of them.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from modelwright.data.twins.images import image_twins
from modelwright.data.twins.pairs import Pairs, chained
from modelwright.data.twins.texts import text_twins
from modelwright.records import Schema


def pairs_of(examples: pl.DataFrame, schema: Schema, *, known: int = 0) -> Pairs:
    """The pairs of examples whose inputs are nearly the same, by their places.

    Args:
        examples: With the inputs of `schema`.
        schema: Its kind says what is compared: the texts, or the image.
        known: The first so many are not compared with each other.
    """
    if schema.kind == "text":
        names = [column.name for column in schema.inputs if column.kind in ("text", "messages")] or schema.names
        return text_twins(
            examples.select(pl.concat_str(names, separator="\n", ignore_nulls=True)).to_series(), known=known
        )
    if schema.kind == "image":
        column = next(column for column in schema.inputs if column.kind == "image")
        return image_twins(examples[column.name], known=known)
    return Pairs.none()


def together(examples: pl.DataFrame, schema: Schema) -> np.ndarray:
    """Codes (int64 [N]), equal for examples whose inputs are the same, or nearly."""
    same_N = np.unique(examples.select(schema.names).hash_rows(seed=0).to_numpy(), return_inverse=True)[1]
    return chained(pairs_of(examples, schema).groups(len(examples)), same_N)
