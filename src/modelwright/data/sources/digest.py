"""Fingerprints of what was read: SHA-256 of files, folders, and of examples that are in no file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from modelwright.data.sources.chunks import Chunk

_BLOCK_BYTES = 1 << 20


def file_sha256(path: Path, *, name: str) -> bytes:
    """The SHA-256 of a file's name and content, or of all files below a folder in the order of their names."""
    total = hashlib.sha256()
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    for each in files:
        known_as = name if each == path else each.relative_to(path).as_posix()
        content = hashlib.sha256()
        with each.open("rb") as stream:
            while block := stream.read(_BLOCK_BYTES):
                content.update(block)
        total.update(known_as.encode("utf-8", "surrogateescape") + b"\0" + content.digest())
    return total.digest()


def content_sha256(chunks: Iterable[Chunk]) -> bytes:
    """The SHA-256 of every example in `chunks`, images by their own SHA-256, and of what was dropped."""
    total = hashlib.sha256()
    for chunk in chunks:
        hashed = [
            column.map_elements(lambda value: hashlib.sha256(value).hexdigest(), return_dtype=pl.String)
            if column.dtype == pl.Binary
            else column
            for column in chunk.frame.get_columns()
        ]
        total.update(pl.DataFrame(hashed).write_ndjson().encode())
        for each in chunk.dropped:
            total.update(f"{each.position}\0{each.where}\n".encode("utf-8", "replace"))
    return total.digest()
