"""What a person should know of the columns and classes, beyond what was left out or leaks."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import polars as pl

from modelwright.records import LANGUAGE_TASKS, ColumnKind, Finding, Schema

IMBALANCED = 10
"""The commonest class outnumbers the rarest by more than this: a common rule of thumb, not measured."""

SPARSE = 0.5
"""Share of missing values from which a column is a warning. Chosen, not measured."""

LONG_BYTES = 50_000
"""A text of more is a book rather than an example: it stands in one part as a whole. Chosen."""

REPEATED, REPEATED_BYTES = 0.1, 500
"""A text of so many bytes that zlib packs into less than this share says the same again and again. Measured:
paragraphs of tinyshakespeare take .53 to .68, answers of GSM8K .34 to .61; one sentence 15 times over takes .09."""

LOOKED_AT = 20_000
"""Texts that are packed, evenly spaced: a second or two."""

SHOWN = 5


def about_columns(
    examples: pl.DataFrame, schema: Schema, excluded: dict[str, str], kinds: dict[str, ColumnKind]
) -> Iterator[Finding]:
    """Columns that are not used, and gaps in those that are."""
    for kind, todo in (
        ("identifier", "nothing; to use such a column all the same, list the inputs in `input`"),
        ("constant", "nothing; a column that never changes says nothing"),
    ):
        names = [name for name in excluded if kinds.get(name) == kind]
        if names:
            shown = tuple(f"{name}: {excluded[name]}" for name in names[:SHOWN])
            yield Finding(kind, "info", len(names), shown, todo)
    gaps = {column.name: examples[column.name].null_count() for column in schema.inputs}
    worst = sorted((name for name in gaps if gaps[name]), key=lambda name: -gaps[name])
    if worst:
        sparse = gaps[worst[0]] > SPARSE * len(examples)
        shown = tuple(f"{name}: {gaps[name]:,} ({gaps[name] / len(examples):.1%})" for name in worst[:SHOWN])
        todo = "see whether they are missing for a reason that will not hold for new examples"
        yield Finding("missing_values", "warning" if sparse else "info", sum(gaps.values()), shown, todo)


def about_classes(counts: dict[str, int], *, several: bool = False, things: str = "examples") -> Iterator[Finding]:
    """Classes that are rare, too small to stand in every part, or spelled in two ways.

    Args:
        counts: Of each class.
        several: Whether an example may have several.
        things: What is counted: examples, or spans.
    """
    if not counts:
        return
    rarest, commonest = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[commonest] > IMBALANCED * counts[rarest]:
        rare = [name for name in counts if counts[commonest] > IMBALANCED * counts[name]]
        rare.sort(key=counts.__getitem__)
        shown = tuple(f"{name}: {counts[name]:,} {things}" for name in [*rare[:SHOWN], commonest])
        small = sum(counts[name] < 3 for name in counts)
        todo = "judge by macro F1 or ROC AUC rather than accuracy; collect more of the rare classes"
        if several:
            todo = "judge by macro_f1 where rare labels count as much; collect more of them"
        if small:
            todo += f" ({small} of them have too few {things} to stand in train, validation and test)"
        yield Finding("imbalance", "warning" if small else "info", len(rare), shown, todo)
    spelled: dict[str, list[str]] = {}
    for name in counts:
        spelled.setdefault(" ".join(name.casefold().split()), []).append(name)
    doubles = [names for names in spelled.values() if len(names) > 1]
    if doubles:
        shown = tuple(" and ".join(map(repr, names)) for names in doubles[:SHOWN])
        todo = "if they mean the same, write them alike in the source"
        yield Finding("inconsistent_value", "warning", len(doubles), shown, todo)


def about_texts(examples: pl.DataFrame, schema: Schema) -> Iterator[Finding]:
    """Texts that a model had better not learn to write: nothing but marks, the same over and over, very long ones."""
    if schema.task not in LANGUAGE_TASKS:
        return
    column = schema.output if schema.task == "generation" else schema.names[0]
    texts = examples[column]
    marks = ~texts.str.contains(r"[\p{L}\p{N}]")
    todo = "leave them out, unless it is to write such texts"
    if marks.any():
        yield Finding("empty_text", "info", int(marks.sum()), _shown(column, texts.filter(marks)), todo)
    seen = texts.gather_every(max(1, len(texts) // LOOKED_AT))
    seen = seen.filter(seen.str.len_bytes() >= REPEATED_BYTES)
    packed = pl.Series([_packed(text) for text in seen.to_list()], dtype=pl.Float64)
    if (packed < REPEATED).any():
        again = seen.filter(packed < REPEATED)
        yield Finding("repeated_text", "warning", len(again), _shown(column, again), todo)
    long = texts.str.len_bytes() > LONG_BYTES
    if long.any():
        todo = "cut them into parts that stand for themselves, paragraphs for example"
        yield Finding("long_text", "warning", int(long.sum()), _shown(column, texts.filter(long)), todo)


def _packed(text: str) -> float:
    """The share of its bytes that is left of `text` once it is packed."""
    encoded = text.encode("utf-8")
    return len(zlib.compress(encoded, 1)) / len(encoded)


def _shown(column: str, texts: pl.Series) -> tuple[str, ...]:
    return tuple(f"{column}: {text[:60]!r}" for text in texts.head(SHOWN).to_list())
