"""CSV and its kin, of any separator, quoting and encoding.

Each block of some megabytes is first looked at as bytes: where its quotes pair up as they should, the number of
fields of every record is counted with NumPy, records of another number are cut out, and Polars parses the rest.
Where they do not, that block is read line by line by `careful`. So a clean file is read at Polars' speed, and
nothing that Polars would fill with nulls or swallow goes unseen. All columns are text; `columns.py` types them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import polars as pl

from modelwright.data.sources.careful import records_in, split
from modelwright.data.sources.chunks import MAX_COLUMNS, Chunk, Dropped, Place
from modelwright.data.sources.dialect import Dialect, dialect_of
from modelwright.data.sources.encoding import encoding_of, refuse_binary, utf8_blocks
from modelwright.data.sources.scan import Scan, scanned
from modelwright.errors import Fault, SourceError
from modelwright.records import POSITION

_SAMPLE_BYTES = 1 << 20  # of the first block, to tell the dialect; chosen
_PATIENCE_BYTES = 64 << 20  # a record that is still open after so many bytes is read line by line; chosen


@dataclass(slots=True)
class _Reading:
    """How far a file has been read."""

    name: str
    dialect: Dialect
    position: int = 0
    line: int = 1


def read(place: Place) -> Iterator[Chunk]:
    """The examples of a delimited text file, every column text, empty fields null.

    Raises:
        SourceError: the file is empty, binary, or has too many columns.
    """
    refuse_binary(place.name, place.path)
    encoding = encoding_of(place.path)
    blocks = utf8_blocks(place.path, encoding)
    first = next(blocks)
    second = next(blocks, None)
    dialect = _dialect(place, first, whole=second is None)
    notes = dialect.notes
    if encoding != "utf-8":
        notes = (f"the text is in {encoding}", *notes)
    reading = _Reading(place.name, dialect)
    blocks = chain([first] if second is None else [first, second], blocks)
    for chunk in _chunks(_after_header(blocks, reading), reading):
        yield Chunk(chunk.frame, chunk.dropped, notes)
        notes = ()


def _dialect(place: Place, first: bytes, *, whole: bool) -> Dialect:
    head = first[: 1 + first.find(b"\n")] or first
    widest = max(head.count(mark) for mark in (b",", b"\t", b";", b"|")) + 1
    if widest > MAX_COLUMNS and head.count(b" ") < widest:
        raise _too_wide(place.name, widest)
    sample = first[:_SAMPLE_BYTES]
    if len(sample) < len(first):
        whole = False
        sample = sample if b"\n" in sample else head
    dialect = dialect_of(sample.decode("utf-8", "replace"), place.path.suffix.lower(), whole=whole)
    if len(dialect.names) > MAX_COLUMNS:
        raise _too_wide(place.name, len(dialect.names))
    return dialect


def _too_wide(name: str, columns: int) -> SourceError:
    todo = "keep the columns that matter; is the table perhaps turned on its side?"
    return SourceError(Fault(name, f"has {columns:,} columns", f"at most {MAX_COLUMNS:,}", todo))


def _after_header(blocks: Iterator[bytes], reading: _Reading) -> Iterator[bytes]:
    """The blocks without the lines before and of the header, backslashes before quotes made into quotes."""
    dialect = reading.dialect
    first = True
    for block in blocks:
        text = block.replace(b'\\"', b'""') if dialect.escaped else block
        if first:
            lines = text.decode("utf-8").split("\n")
            skipped = dialect.preamble + dialect.header_lines
            reading.line += skipped
            text = "\n".join(lines[skipped:]).encode("utf-8")
            first = False
        yield text


def _chunks(blocks: Iterator[bytes], reading: _Reading) -> Iterator[Chunk]:
    """A chunk for each block; a record that goes on in the next block is read with it."""
    rest = b""
    block = next(blocks, None)
    while block is not None:
        following = next(blocks, None)
        text = rest + block
        scan = scanned(text, reading.dialect.separator, len(reading.dialect.names), final=following is None)
        trusted = scan.trusted and len(text) - scan.end <= _PATIENCE_BYTES
        chunk, end = _fast(text, scan, reading) if trusted else _careful(text, reading, final=following is None)
        reading.position += chunk.count
        reading.line += text.count(b"\n", 0, end)
        rest = text[end:]
        if chunk.count:
            yield chunk
        block = following


def _fast(text: bytes, scan: Scan, reading: _Reading) -> tuple[Chunk, int]:
    """The records of `text` by Polars, those that the scan found wrong dropped, and where the last one ends."""
    names = reading.dialect.names
    dropped = tuple(
        Dropped(reading.position + record, "unreadable", f"{reading.name}, line {reading.line + line}: {why}")
        for record, line, why in scan.wrong
    )
    good = scan.cut(text)
    if not good:
        return Chunk(_frame([[] for _ in names], [], names), dropped), scan.end
    try:
        frame = pl.read_csv(
            good,
            has_header=False,
            schema=dict.fromkeys(names, pl.String),
            separator=reading.dialect.separator,
            quote_char='"' if b'"' in good else None,
        )
    except pl.exceptions.PolarsError:
        frame = _one_by_one(text, scan, reading.dialect)
    positions = scan.positions(reading.position)
    if frame.height != len(positions):
        frame = _one_by_one(text, scan, reading.dialect)
    return Chunk(_nulled(frame.with_columns(pl.Series(POSITION, positions))), dropped), scan.end


def _one_by_one(text: bytes, scan: Scan, dialect: Dialect) -> pl.DataFrame:
    """The good records of `text`, cut where the scan saw them end: for what Polars reads otherwise."""
    bounds = zip(scan.starts_R[scan.good_R].tolist(), scan.ends_R[scan.good_R].tolist(), strict=True)
    records = (text[start:end].decode("utf-8").removesuffix("\n").removesuffix("\r") for start, end in bounds)
    fields = [split(record, dialect.separator, literal=True) for record in records]
    return pl.DataFrame(fields, schema=_schema(dialect.names), orient="row")


def _careful(text: bytes, reading: _Reading, *, final: bool) -> tuple[Chunk, int]:
    """The records of `text` line by line, and where the last one ends."""
    dialect = reading.dialect
    width = len(dialect.names)
    lines = text.decode("utf-8").split("\n")
    columns: list[list[str]] = [[] for _ in dialect.names]
    kept: list[list[str]] = []
    positions: list[int] = []
    dropped: list[Dropped] = []
    taken = 0
    position = reading.position
    for record in records_in(lines, dialect.separator, width, final=final):
        fields = record.fields
        taken = record.line - 1 + record.lines
        fault = _fault(fields, width)
        if fault:
            where = f"{reading.name}, line {reading.line + record.line - 1}: {fault}"
            dropped.append(Dropped(position, "unreadable", where))
        else:
            kept.append(fields)
            positions.append(position)
        position += 1
    if kept:
        columns = [list(column) for column in zip(*kept, strict=True)]
    end = len(text) if final else sum(len(line.encode("utf-8")) + 1 for line in lines[:taken])
    return Chunk(_frame(columns, positions, dialect.names), tuple(dropped)), min(end, len(text))


def _fault(fields: list[str], width: int) -> str | None:
    if len(fields) != width:
        return f"{len(fields)} fields where {width} are expected"
    if any("\0" in field for field in fields):
        return "a NUL byte, or bytes that are no text"
    return None


def _frame(columns: list[list[str]], positions: list[int], names: tuple[str, ...]) -> pl.DataFrame:
    frame = pl.DataFrame({name: column for name, column in zip(names, columns, strict=True)}, schema=_schema(names))
    return _nulled(frame.with_columns(pl.Series(POSITION, positions, pl.Int64)))


def _schema(names: tuple[str, ...]) -> dict[str, type[pl.String]]:
    return dict.fromkeys(names, pl.String)


def _nulled(frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` without blank space round its values; what is empty then is null."""
    stripped = pl.col(pl.String).str.strip_chars()
    return frame.with_columns(pl.when(stripped != "").then(stripped))
