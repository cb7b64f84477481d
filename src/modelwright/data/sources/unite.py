"""One set of columns and types for chunks that differ: what a glob, JSON or a database may yield."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl

from modelwright.data.sources.chunks import Chunk, with_positions
from modelwright.errors import Fault, SourceError
from modelwright.records import POSITION

HELD_BYTES = 256 << 20
"""Chunks beyond this many bytes wait on disk until all columns are known. Chosen: an eighth of 2 GB."""


def united(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """The same chunks, each with every column that any of them has, of one type throughout.

    Whole and decimal numbers meet in decimal ones; any other two types meet in text.
    """
    with tempfile.TemporaryDirectory(prefix="modelwright-") as spool:
        held: list[Chunk | tuple[Chunk, Path]] = []
        types: dict[str, pl.DataType] = {}
        size = 0
        for number, chunk in enumerate(chunks):
            for name, dtype in chunk.frame.schema.items():
                types[name] = meet(types.get(name, pl.Null()), dtype, name)
            size += int(chunk.frame.estimated_size())
            if size <= HELD_BYTES:
                held.append(chunk)
            else:
                path = Path(spool) / f"{number}.arrow"
                chunk.frame.write_ipc(path)
                held.append((dataclasses.replace(chunk, frame=chunk.frame.clear()), path))
        types = {name: pl.String() if dtype == pl.Null() else dtype for name, dtype in types.items()}
        while held:
            kept = held.pop(0)
            chunk, frame = (kept, kept.frame) if isinstance(kept, Chunk) else (kept[0], _take(kept[1]))
            yield dataclasses.replace(chunk, frame=conformed(frame, types))


def _take(path: Path) -> pl.DataFrame:
    frame = pl.read_ipc(path)
    path.unlink()
    return frame


def meet(one: pl.DataType, other: pl.DataType, name: str) -> pl.DataType:
    """The type that holds values of both canonical types (see `canonical`).

    Raises:
        SourceError: images and something else stand in the same column.
    """
    if one == other or other == pl.Null():
        return one
    if one == pl.Null():
        return other
    if {one, other} == {pl.Int64(), pl.Float64()}:
        return pl.Float64()
    if pl.Binary() in (one, other):
        found = "holds images in one place and something else in another"
        raise SourceError(Fault(f"column {name}", found, "one kind of value", "read the files separately"))
    return pl.String()


def conformed(frame: pl.DataFrame, types: dict[str, pl.DataType]) -> pl.DataFrame:
    """`frame` with exactly the columns of `types`, missing ones null."""
    have = frame.schema
    return frame.select(
        (pl.col(name) if name in have else pl.lit(None)).cast(dtype).alias(name) for name, dtype in types.items()
    )


def canonical(frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` in the few types that examples have: Boolean, Int64, Float64, String, Datetime, Binary.

    Structs are flattened one level with dots (`user.name`), except that of an encoded image and its path,
    which becomes the image; lists and deeper structs become JSON text; NaN and infinities become null.
    """
    columns: list[pl.Series] = []
    for column in frame.get_columns():
        dtype = column.dtype
        if isinstance(dtype, pl.Struct) and {field.name for field in dtype.fields} == {"bytes", "path"}:
            columns.append(column.struct.field("bytes").alias(column.name))
        elif isinstance(dtype, pl.Struct):
            fields = column.struct.unnest().get_columns()
            columns.extend(_plain(field.alias(f"{column.name}.{field.name}")) for field in fields)
        else:
            columns.append(_plain(column))
    return pl.DataFrame(_distinct(columns))


def _distinct(columns: list[pl.Series]) -> list[pl.Series]:
    names = unique_names([column.name for column in columns])
    return [column.alias(name) for column, name in zip(columns, names, strict=True)]


def unique_names(names: list[str]) -> list[str]:
    """`names` with `_2`, `_3`... behind those that came before, and `column_N` for those that are empty."""
    taken: set[str] = {POSITION}
    unique = []
    for number, name in enumerate(names, start=1):
        base = name.strip() or f"column_{number}"
        ours, again = base, 1
        while ours in taken:
            again += 1
            ours = f"{base}_{again}"
        taken.add(ours)
        unique.append(ours)
    return unique


def _plain(column: pl.Series) -> pl.Series:
    dtype = column.dtype
    if dtype in (pl.Boolean, pl.String, pl.Binary, pl.Null, pl.Int64):
        return column
    if dtype.is_integer():
        whole = column.cast(pl.Int64, strict=False)
        return whole if whole.null_count() == column.null_count() else column.cast(pl.Float64)
    if dtype.is_numeric():
        floats = column.cast(pl.Float64)
        return floats.set(~floats.is_finite(), None)
    if isinstance(dtype, pl.Datetime) and dtype.time_zone:
        return column.dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(pl.Datetime("us"))
    if dtype in (pl.Date, pl.Datetime):
        return column.cast(pl.Datetime("us"))
    if dtype == pl.Duration:
        return column.dt.total_microseconds().cast(pl.Float64) / 1e6
    if isinstance(dtype, pl.List | pl.Array | pl.Struct):
        return _as_json(column)
    return column.cast(pl.String, strict=False)


def _as_json(column: pl.Series) -> pl.Series:
    """Lists and structs as JSON text."""
    texts = [
        None if value is None else json.dumps(value, ensure_ascii=False, default=str) for value in column.to_list()
    ]
    return pl.Series(column.name, texts, dtype=pl.String)


def chunk_of(frame: pl.DataFrame, start: int) -> Chunk:
    """A chunk of readable examples, the first of which stands at `start`."""
    return Chunk(with_positions(canonical(frame), start))
