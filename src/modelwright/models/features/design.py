"""The design matrix of linear models and of neighbours: every column as features on one scale.

Dimensions: N examples, F features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from modelwright.models.features.categories import Categories, fit_categories
from modelwright.models.features.frame import texts
from modelwright.models.features.images import Gradients, Images, fit_images
from modelwright.models.features.numbers import Numbers, fit_numbers, raw_names
from modelwright.models.features.quantities import Quantities, fit_quantities
from modelwright.models.features.stored import State
from modelwright.models.features.text import Text, fit_terms
from modelwright.records import ColumnKind, Schema

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Encoder = Numbers | Categories | Text | Quantities | Images | Gradients
_KINDS: dict[str, type[Encoder]] = {
    "numbers": Numbers,
    "categories": Categories,
    "text": Text,
    "quantities": Quantities,
    "images": Images,
    "gradients": Gradients,
}

MAX_BENT_COLUMNS = 200
"""Wider tables get no piecewise linear encoding: it multiplies their width by up to 32."""
MAX_TEXT_CHARACTERS = 50_000_000
"""With more text than this in all, characters are left out and words do: over a minute of counting."""
LONG_TEXT = 600
"""Mean characters from which only 4-grams are counted: on newsgroups20 (1,900) and movie_reviews (3,900)
they reach .793 and .875 where 2- to 5-grams reach .789 and .880 in four times the time (measured)."""


@dataclass(frozen=True, slots=True)
class Design:
    """The fitted encoders, whose features stand side by side."""

    encoders: tuple[Encoder, ...]

    def transform(self, examples: pl.DataFrame) -> np.ndarray | csr_matrix:
        """The features of each example: sparse where any encoder's are, else dense."""
        return side_by_side([encoder.transform(examples) for encoder in self.encoders], len(examples))

    def views(self, examples: pl.DataFrame, count: int) -> Iterator[np.ndarray | csr_matrix]:
        """The features of each example, and of an image's other views, `count` times (N, F), one after the other."""
        if count == 1:
            yield self.transform(examples)
            return
        (encoder,) = self.encoders
        assert isinstance(encoder, Gradients)
        yield from encoder.views(examples, count)

    def state(self) -> State:
        """What `from_state` needs."""
        names = {kind: name for name, kind in _KINDS.items()}
        return {"encoders": [[names[type(encoder)], encoder.state()] for encoder in self.encoders]}

    @classmethod
    def from_state(cls, state: State) -> Design:
        """The design that `state` came from."""
        return cls(tuple(_KINDS[name].from_state(inner) for name, inner in state["encoders"]))


def side_by_side(blocks: list[Any], count: int) -> np.ndarray | csr_matrix:
    """The blocks of features as one matrix with `count` rows."""
    from scipy.sparse import hstack

    if not blocks:
        return np.zeros((count, 0))
    if all(isinstance(block, np.ndarray) for block in blocks):
        return np.hstack(blocks)
    return hstack(blocks, format="csr")


def of_kind(schema: Schema, *kinds: ColumnKind) -> tuple[str, ...]:
    """The names of the input columns of these kinds, in order."""
    return tuple(column.name for column in schema.inputs if column.kind in kinds)


def fit_design(
    schema: Schema, examples: pl.DataFrame, *, bent: bool = False, with_text: bool = True
) -> tuple[Design, np.ndarray | csr_matrix]:
    """Encoders for every input column, and the features of `examples`.

    Args:
        bent: Numbers may bend (piecewise linear encoding), where the table is not too wide. Those that texts
            name are numbers too; where there are any, words add up as facts instead of sharing a text's length.
        with_text: False leaves text columns out.
    """
    encoders: list[Encoder] = []
    blocks: list[Any] = []
    numbers, dates = of_kind(schema, "number"), of_kind(schema, "date")
    if numbers or dates:
        narrow = len(raw_names(numbers, dates)) <= MAX_BENT_COLUMNS
        encoders.append(fit_numbers(examples, numbers, dates, bent=bent and narrow))
        blocks.append(encoders[-1].transform(examples))
    if categories := of_kind(schema, "category", "boolean"):
        rare = max(2, min(10, len(examples) // 500))
        encoders.append(fit_categories(examples, categories, min_count=rare, max_values=300))
        blocks.append(encoders[-1].transform(examples))
    if with_text:
        for group in text_groups(schema):
            named = fit_quantities(examples, group) if bent else None
            facts = named is not None and bool(named.kept)
            encoder, weights = fit_text(examples, group, characters=schema.kind == "text", unit_length=not facts)
            encoders.append(encoder)
            blocks.append(weights)
            if named is not None and facts:
                encoders.append(named)
                blocks.append(named.transform(examples))
    for name in of_kind(schema, "image"):
        encoders.append(fit_images(examples, name))
        blocks.append(encoders[-1].transform(examples))
    return Design(tuple(encoders)), side_by_side(blocks, len(examples))


def can_bend(schema: Schema, examples: pl.DataFrame) -> bool:
    """Whether `fit_design` may differ with `bent`: there are numbers or dates, or texts name quantities."""
    if of_kind(schema, "number", "date"):
        return True
    return any(fit_quantities(examples, group).kept for group in text_groups(schema))


def text_groups(schema: Schema) -> list[tuple[str, ...]]:
    """The text columns that are read as one text: all where text is all there is, each alone in a table.

    Conversations are among them, as the words that `frame.spoken` makes of them.
    """
    columns = of_kind(schema, "text", "messages")
    if schema.kind == "text":
        return [columns] if columns else []
    return [(name,) for name in columns]


def fit_text(
    examples: pl.DataFrame, columns: tuple[str, ...], *, characters: bool, unit_length: bool = True
) -> tuple[Text, Any]:
    """Words and pairs of words, many of them if `characters`, which are counted too unless there are too many."""
    from scipy.sparse import hstack

    documents = texts(examples, columns)
    few = len(documents) < 500
    length = sum(map(len, documents))
    plans: list[Any] = [("word", (1, 2), 1 if few or characters else 2, 300_000 if characters else 30_000)]
    if characters and length <= MAX_TEXT_CHARACTERS:
        sizes = (4, 4) if length > LONG_TEXT * len(documents) else (2, 5)
        plans.append(("char_wb", sizes, 1 if few else 2, 300_000))
    fitted = [
        fit_terms(documents, unit, sizes, min_count=low, max_terms=high, unit_length=unit_length)
        for unit, sizes, low, high in plans
    ]
    weights = hstack([each for _, each in fitted], format="csr")
    return Text(columns, tuple(terms for terms, _ in fitted)), weights
