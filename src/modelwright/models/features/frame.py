"""Columns of a frame as arrays, whatever type they arrive in.

A predictor meets frames that a server made of JSON, with ints for floats, "12" for 12 and columns that
are missing: what cannot be read as the kind that the schema names is null, never an error.
Dimensions: N examples, P columns.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import polars as pl

from modelwright.records import Schema

DATE_PARTS = ("elapsed days", "year", "month", "day", "weekday", "hour", "minute")
"""What `date_parts_NP` makes of a date; elapsed days count from 1970."""

_DATE_FORMATS = (
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%m/%d/%Y",
    "%d.%m.%Y",
)


def column_of(examples: pl.DataFrame, name: str) -> pl.Series:
    """The column `name`, all null where the frame has none."""
    if name in examples.columns:
        return examples[name]
    return pl.Series(name, [None] * len(examples), dtype=pl.String)


def numbers_NP(examples: pl.DataFrame, names: Sequence[str]) -> np.ndarray:
    """The columns as float64, NaN where null, infinite or unreadable."""
    matrix_NP = np.empty((len(examples), len(names)), dtype=np.float64, order="F")
    found = examples.schema
    plain = [place for place, name in enumerate(names) if (kind := found.get(name)) and _is_number(kind)]
    if plain:  # at once: one call for each column would take longer than a small model's answer
        chosen = examples.select(pl.col(names[place]).cast(pl.Float64) for place in plain)
        matrix_NP[:, plain] = chosen.fill_null(np.nan).to_numpy()
    for place in sorted(set(range(len(names))) - set(plain)):
        matrix_NP[:, place] = _numbers(column_of(examples, names[place]))
    matrix_NP[~np.isfinite(matrix_NP)] = np.nan
    return matrix_NP


def _is_number(kind: pl.DataType) -> bool:
    return kind.is_numeric() or kind == pl.Boolean


def _numbers(column: pl.Series) -> np.ndarray:
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if column.dtype == pl.String:
        column = column.str.strip_chars()
    elif not _is_number(column.dtype):
        return np.full(len(column), np.nan)
    return column.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()


def strings(examples: pl.DataFrame, name: str) -> list[str | None]:
    """The column as stripped text, None where null or empty; 1.0 reads as "1", true as "true"."""
    column = column_of(examples, name)
    if column.dtype.is_float():
        whole = column.is_finite() & (column == column.round())
        digits = column.cast(pl.Int64, strict=False).cast(pl.String)
        column = digits.zip_with(whole.fill_null(False), column.cast(pl.String))
    elif column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        return [None] * len(column)
    elif column.dtype != pl.String:
        column = column.cast(pl.String, strict=False)
    return [(value.strip() or None) if value is not None else None for value in column.to_list()]


def texts(examples: pl.DataFrame, names: Sequence[str]) -> list[str]:
    """The text columns of each example, joined by a line break; nulls are empty."""
    columns = [[value or "" for value in strings(examples, name)] for name in names]
    if len(columns) == 1:
        return columns[0]
    return ["\n".join(parts).strip() for parts in zip(*columns, strict=True)]


def spoken(schema: Schema, examples: pl.DataFrame) -> pl.DataFrame:
    """`examples` with the words of each conversation in place of its turns: what is compared, counted and learnt from.

    The last turn stands first: it is what asks, and an encoder reads no further than its limit.
    """
    names = [column.name for column in schema.inputs if column.kind == "messages"]
    said = {name: [_words(each) for each in strings(examples, name)] for name in names}
    return examples.with_columns(pl.Series(name, words, pl.String) for name, words in said.items())


def _words(conversation: str | None) -> str | None:
    """The words of a list of turns; what is no such list stays as it is."""
    try:
        turns = json.loads(conversation or "")
    except (ValueError, RecursionError):
        return conversation
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        return conversation
    return "\n".join(str(turn.get("content") or "") for turn in reversed(turns))


def dates(examples: pl.DataFrame, name: str) -> pl.Series:
    """The column as Datetime without a zone (UTC where it had one), null where unreadable."""
    column = column_of(examples, name)
    if column.dtype == pl.Date:
        return column.cast(pl.Datetime("us"))
    if isinstance(column.dtype, pl.Datetime):
        in_utc = column.dt.convert_time_zone("UTC") if column.dtype.time_zone else column
        return in_utc.dt.replace_time_zone(None).cast(pl.Datetime("us"))
    text = pl.Series(name, strings(examples, name), dtype=pl.String).str.strip_suffix("Z")
    found = pl.Series(name, [None] * len(text), dtype=pl.Datetime("us"))
    for pattern in _DATE_FORMATS:
        if not found.null_count():
            break
        kind = pl.Datetime("us") if "%H" in pattern else pl.Date
        parsed = text.str.strptime(kind, pattern, strict=False).cast(pl.Datetime("us"))
        found = found.zip_with(found.is_not_null(), parsed)
    return found


def date_parts_NP(examples: pl.DataFrame, name: str) -> np.ndarray:
    """The date as the numbers named in DATE_PARTS, NaN where null."""
    column = dates(examples, name)
    parts = (
        column.dt.timestamp("us").cast(pl.Float64) / 86_400e6,
        column.dt.year(),
        column.dt.month(),
        column.dt.day(),
        column.dt.weekday(),
        column.dt.hour(),
        column.dt.minute(),
    )
    return np.column_stack([part.cast(pl.Float64).fill_null(np.nan).to_numpy() for part in parts])
