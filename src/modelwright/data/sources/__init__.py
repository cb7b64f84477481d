"""Step 2 begins here: a locator -> chunks of examples, whatever the examples are kept in.

DESIGN's Source yields examples one by one; ours yields them a hundred thousand at a time in columns, because
a million examples must be prepared within 20 seconds and 2 GB. An example that cannot be read is a `Dropped`
with its position, a reason and where to look: examples in = examples kept + examples dropped, always.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from modelwright.data.sources.chunks import Chunk, Dropped, Place, Source
from modelwright.data.sources.digest import content_sha256, file_sha256
from modelwright.data.sources.locate import located
from modelwright.data.sources.pictures import folder_album, has_pictures, with_pictures
from modelwright.data.sources.unite import united
from modelwright.errors import Fault, SourceError
from modelwright.records import POSITION, Progress
from modelwright.registry import Table

SOURCES = Table(
    "source",
    {
        "delimited": "modelwright.data.sources.delimited:read",
        "plain": "modelwright.data.sources.plain:read",
        "conll": "modelwright.data.sources.conll:read",
        "json": "modelwright.data.sources.objects:read",
        "jsonlines": "modelwright.data.sources.objects:read_lines",
        "parquet": "modelwright.data.sources.columnar:read_parquet",
        "arrow": "modelwright.data.sources.columnar:read_arrow",
        "images": "modelwright.data.sources.images:read_folder",
        "zip": "modelwright.data.sources.archive:read",
        "sql": "modelwright.data.sources.sql:read",
        "hub": "modelwright.data.sources.hub:read",
    },
)
"""name -> Source. The locator decides which one reads it; a row from outside is chosen by its URL scheme."""

_TABLES = frozenset({"delimited", "json", "jsonlines", "parquet", "arrow", "sql"})
"""Sources in which a column of text may hold the paths of images."""

_FILES = frozenset({"delimited", "plain", "conll", "json", "jsonlines", "parquet", "arrow", "images", "zip"})
"""Sources that read files, whose content can be hashed as it is; others are known only by reading them."""

__all__ = ["SOURCES", "Chunk", "Dropped", "Place", "Source", "fingerprint", "read"]


def read(
    locator: str,
    *,
    folder: Path,
    query: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Iterator[Chunk]:
    """The examples at `locator`, in chunks with the same columns and types throughout.

    Args:
        locator: A file, glob or folder (relative to `folder`), a database URL, hf://owner/name, or any URL
            that fsspec opens. Files may be compressed (.gz, .zst).
        folder: The project's folder.
        query: What to ask a database; without it the only table there.
        progress: Called after each chunk.

    Raises:
        SourceError: nothing is there, it is not what it says it is, or it holds no examples.
    """
    with located(locator, folder=folder, query=query, outside=frozenset(SOURCES)) as found:
        chunks = _renumbered(_read_place(source, place) for source, place in found)
        if len(found) > 1:
            chunks = united(chunks)
        kept, done = 0, 0
        for chunk in chunks:
            kept, done = kept + chunk.frame.height, done + chunk.count
            if progress:
                progress(Progress("prepare", "reading", done, unit="examples"))
            yield chunk
        if not kept:
            raise SourceError(_nothing(locator, done))


def fingerprint(locator: str, *, folder: Path, query: str | None = None) -> str:
    """The SHA-256 of all that `read` would read: the files, or locator, query and result of a database.

    Raises:
        SourceError: as `read`.
    """
    total = hashlib.sha256()
    with located(locator, folder=folder, query=query, outside=frozenset(SOURCES)) as found:
        for source, place in found:
            if source not in _FILES:
                total.update(f"{locator}\0{query or ''}\0".encode())
                total.update(content_sha256(_read_place(source, place)))
                continue
            total.update(file_sha256(place.path, name=place.path.name))
            if source in _TABLES and has_pictures(SOURCES[source](place), folder_album(place.home)):
                total.update(content_sha256(_read_place(source, place)))
    return total.hexdigest()


def _read_place(source: str, place: Place) -> Iterator[Chunk]:
    """The chunks of one place, paths of images replaced by the images."""
    chunks: Iterator[Chunk] = SOURCES[source](place)
    if source in _TABLES:
        chunks = with_pictures(chunks, folder_album(place.home))
    return chunks


def _renumbered(places: Iterator[Iterator[Chunk]]) -> Iterator[Chunk]:
    """The chunks of several places one after another, positions counted through."""
    start = 0
    for chunks in places:
        count = 0
        for chunk in chunks:
            count += chunk.count
            if start:
                frame = chunk.frame.with_columns(pl.col(POSITION) + start)
                dropped = tuple(dataclasses.replace(each, position=each.position + start) for each in chunk.dropped)
                chunk = dataclasses.replace(chunk, frame=frame, dropped=dropped)
            yield chunk
        start += count


def _nothing(locator: str, dropped: int) -> Fault:
    if dropped:
        found = f"none of its {dropped:,} examples can be read"
        return Fault(locator, found, "examples", "open it in an editor and see whether it is what you think it is")
    return Fault(locator, "holds no examples", "a header and examples below it", "check that the export finished")
