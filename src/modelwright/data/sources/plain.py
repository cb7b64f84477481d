"""Plain text: a running text read paragraph by paragraph, or a list read line by line.

A paragraph ends at a blank line. Its neighbours belong to it, so a running text is said to be one (`Chunk.running`)
and is split where it is cut least; the lines of a list stand for themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice, pairwise
from pathlib import Path

import polars as pl

from modelwright.data.sources.chunks import CHUNK_BYTES, CHUNK_EXAMPLES, Chunk, Dropped, Place
from modelwright.data.sources.dialect import USUAL_NAMES, dialect_of
from modelwright.data.sources.encoding import encoding_of, refuse_binary, utf8_blocks
from modelwright.records import POSITION

COLUMN = "text"
PARAGRAPH_LINES = 100
"""Lines that a paragraph has on average at most; where blank lines are rarer, lines are the examples. Chosen."""
_BLANK_SHARE = 0.1  # of the lines: from so many blank ones on, commas are punctuation; chosen
_SAMPLE_BYTES = 1 << 20


def read(place: Place) -> Iterator[Chunk]:
    """The paragraphs or the lines of a text file, in one column called `text`.

    Raises:
        SourceError: the file is empty or binary.
    """
    refuse_binary(place.name, place.path)
    encoding = encoding_of(place.path)
    blocks = utf8_blocks(place.path, encoding)
    first = next(blocks) + next(blocks, b"")  # a last line that does not end comes as a block of its own
    running = is_running(first.decode("utf-8", "replace"))
    notes = [f"plain text: each {'paragraph, ended by a blank line,' if running else 'line'} is an example"]
    if encoding != "utf-8":
        notes.append(f"the text is in {encoding}")
    for chunk in _chunks(_texts(chain([first], blocks), running=running), place.name):
        yield Chunk(chunk.frame, chunk.dropped, tuple(notes), running)
        notes = []


def is_running(text: str) -> bool:
    """Whether blank lines part `text` into paragraphs."""
    lines = [line.strip() for line in text.strip().split("\n")]
    paragraphs = sum(not line and bool(before) for before, line in pairwise(lines)) + 1
    return paragraphs > 1 and sum(map(bool, lines)) <= PARAGRAPH_LINES * paragraphs


def is_plain(path: Path) -> bool:
    """Whether a file that says no more than that it is text holds text rather than a table."""
    first = b"".join(islice(utf8_blocks(path, encoding_of(path)), 2))
    sample = first[:_SAMPLE_BYTES].decode("utf-8", "replace")
    lines = [line.strip() for line in sample.strip().split("\n")]
    dialect = dialect_of(sample, path.suffix.lower(), whole=len(sample.encode()) == len(first))
    if len(dialect.names) > 1:
        return dialect.separator == "," and sum(not line for line in lines) > _BLANK_SHARE * len(lines)
    return lines[0].lower() not in USUAL_NAMES


def _texts(blocks: Iterator[bytes], *, running: bool) -> Iterator[tuple[int, str]]:
    """Each example and the number of its first line."""
    held: list[str] = []
    number, began = 0, 1
    for block in blocks:
        for line in block.decode("utf-8").removesuffix("\n").split("\n"):
            number += 1
            text = line.rstrip()
            if text:
                began = began if held else number
                held.append(text)
            if held and not (running and text):
                yield began, "\n".join(held)
                held = []
    if held:
        yield began, "\n".join(held)


def _chunks(texts: Iterator[tuple[int, str]], name: str) -> Iterator[Chunk]:
    """Chunks of the texts; one with bytes that are no text is dropped."""
    kept: list[str] = []
    positions: list[int] = []
    dropped: list[Dropped] = []
    size = 0
    for position, (line, text) in enumerate(texts):
        if "\0" in text:
            where = f"{name}, line {line}: a NUL byte, or bytes that are no text"
            dropped.append(Dropped(position, "unreadable", where))
        else:
            kept.append(text)
            positions.append(position)
            size += len(text)
        if len(kept) + len(dropped) >= CHUNK_EXAMPLES or size >= CHUNK_BYTES:
            yield _chunk(kept, positions, dropped)
            kept, positions, dropped, size = [], [], [], 0
    if kept or dropped:
        yield _chunk(kept, positions, dropped)


def _chunk(kept: list[str], positions: list[int], dropped: list[Dropped]) -> Chunk:
    frame = pl.DataFrame({COLUMN: pl.Series(kept, dtype=pl.String), POSITION: pl.Series(positions, dtype=pl.Int64)})
    return Chunk(frame, tuple(dropped))
