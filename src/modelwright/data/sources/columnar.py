"""Parquet and Arrow: files that already have columns and types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl

from modelwright.data.sources.chunks import (
    CHUNK_BYTES,
    CHUNK_EXAMPLES,
    MAX_COLUMNS,
    Chunk,
    Dropped,
    Place,
    with_positions,
)
from modelwright.data.sources.pictures import fault_of
from modelwright.data.sources.unite import canonical
from modelwright.errors import Fault, SourceError
from modelwright.records import POSITION


def read_parquet(place: Place) -> Iterator[Chunk]:
    """The examples of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(place.path, memory_map=True) as file:
            about = file.metadata
            size = sum(about.row_group(each).total_byte_size for each in range(about.num_row_groups))
            batches = file.iter_batches(batch_size=chunk_examples(size, about.num_rows))
            yield from chunks_of(batches, place.name)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(place, "Parquet", error) from error


def read_arrow(place: Place) -> Iterator[Chunk]:
    """The examples of an Arrow file (which Feather is) or of an Arrow stream."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(place.path)) as mapped:
            if mapped.read(6) == b"ARROW1":
                file = pa.ipc.open_file(mapped)
                batches = (file.get_batch(each) for each in range(file.num_record_batches))
                yield from chunks_of(batches, place.name)
            else:
                mapped.seek(0)
                yield from chunks_of(pa.ipc.open_stream(mapped), place.name)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(place, "Arrow", error) from error


def _damaged(place: Place, kind: str, error: Exception) -> SourceError:
    return SourceError(Fault(place.name, f"is no {kind} file that can be read: {error}", f"a whole {kind} file"))


def chunk_examples(size_bytes: int, count: int) -> int:
    """How many examples a chunk may have where `count` of them take `size_bytes`."""
    return max(1, min(CHUNK_EXAMPLES, CHUNK_BYTES * max(count, 1) // max(size_bytes, 1)))


def chunks_of(batches: Iterable[Any], name: str) -> Iterator[Chunk]:
    """Chunks of Arrow record batches or tables; an image that cannot be decoded drops its example."""
    start = 0
    for batch in batches:
        if batch.num_columns > MAX_COLUMNS:
            found = f"has {batch.num_columns:,} columns"
            raise SourceError(Fault(name, found, f"at most {MAX_COLUMNS:,}", "keep the columns that matter"))
        frame = pl.from_arrow(batch)
        assert isinstance(frame, pl.DataFrame)
        for part in frame.iter_slices(CHUNK_EXAMPLES):
            yield readable(with_positions(canonical(part), start), name)
            start += part.height


def _as_text(column: pl.Series) -> pl.Series:
    try:
        return column.cast(pl.String)
    except pl.exceptions.ComputeError:  # not UTF-8
        return column.bin.encode("hex")


def readable(frame: pl.DataFrame, name: str) -> Chunk:
    """A chunk of those examples in `frame` whose images can be decoded.

    A column of bytes whose first values are no images is text in UTF-8, or hexadecimal where it is not.
    """
    bad: dict[int, str] = {}
    for column in (each for each, dtype in frame.schema.items() if dtype == pl.Binary):
        if all(fault_of(value) for value in frame[column].drop_nulls().head(5)):
            frame = frame.with_columns(_as_text(frame[column]))
            continue
        for position, value in zip(frame[POSITION], frame[column], strict=True):
            fault = "no image is given" if value is None else fault_of(value)
            if fault:
                bad[position] = f"{name}, {column}: {fault}"
    dropped = tuple(Dropped(position, "unreadable", where) for position, where in sorted(bad.items()))
    return Chunk(frame.filter(~pl.col(POSITION).is_in(list(bad))) if bad else frame, dropped)
