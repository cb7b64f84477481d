"""The nouns of reading: what a source is asked for, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from modelwright.records import POSITION

CHUNK_EXAMPLES = 100_000
"""About how many examples one chunk holds. Chosen: ten columns of text of this many are some 10 MB."""

CHUNK_BYTES = 64 << 20
"""About how many bytes of images one chunk holds. Chosen, not measured."""

MAX_COLUMNS = 10_000
"""More columns than this are refused. Chosen: reading stays within seconds, and no model here gains from more."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """An example that could not be read: its position in the source, why, and where to look."""

    position: int
    reason: str
    where: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some examples of a source, in order.

    `frame` has the source's columns and `POSITION` (Int64, counted from 0 over all examples of the source,
    unreadable ones included). `dropped` lists the examples that stood between them and could not be read.
    `notes` says, once per source, what was assumed in reading. `running` says that the examples follow one another
    as the paragraphs of a text do.
    """

    frame: pl.DataFrame
    dropped: tuple[Dropped, ...] = ()
    notes: tuple[str, ...] = ()
    running: bool = False

    @property
    def count(self) -> int:
        """How many examples of the source this chunk accounts for."""
        return self.frame.height + len(self.dropped)


@dataclass(frozen=True, slots=True)
class Place:
    """One thing to read.

    Args:
        name: What the person called it; used in messages.
        path: The plain file (already fetched and decompressed) or folder, where there is one.
        home: The folder that paths inside the source are relative to.
        query: The SQL query, where the source takes one.
    """

    name: str
    path: Path
    home: Path
    query: str | None = None


Source = Callable[[Place], Iterator[Chunk]]
"""A source: a place -> its chunks. Positions count from 0; the same place gives the same chunks twice."""


def with_positions(frame: pl.DataFrame, start: int) -> pl.DataFrame:
    """`frame` with `POSITION` counting from `start`."""
    return frame.with_columns(pl.int_range(start, start + frame.height, dtype=pl.Int64).alias(POSITION))
