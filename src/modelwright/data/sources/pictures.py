"""Images as examples: reading, verifying, and finding them where a table only names them."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import polars as pl

from modelwright.data.sources.chunks import CHUNK_BYTES, Chunk, Dropped, with_positions
from modelwright.data.upright import upright
from modelwright.records import POSITION

PICTURES = (".jpg", ".jpeg", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
"""Ends of the names of images."""

MAX_IMAGE_BYTES = 256 << 20
"""A larger file is not read as an image. Chosen: four times the largest camera files."""

_LOOK = 50  # values of a column that are looked at to see whether they name images; chosen
_BATCH = 256  # images read at a time; chosen so that two cores are kept busy


@dataclass(frozen=True, slots=True)
class Album:
    """Where images are: whether it knows a name, and the bytes behind one (OSError where there are none)."""

    knows: Callable[[str], bool]
    load: Callable[[str], bytes]


def is_picture(name: str) -> bool:
    """Whether a file's name ends as that of an image."""
    return name.lower().endswith(PICTURES)


def folder_album(folder: Path) -> Album:
    """The images whose paths are given as seen from `folder`."""

    def knows(name: str) -> bool:
        return is_picture(name) and (folder / name.strip()).is_file()

    def load(name: str) -> bytes:
        path = folder / name.strip()
        if path.stat().st_size > MAX_IMAGE_BYTES:
            raise OSError(f"larger than {MAX_IMAGE_BYTES >> 20} MB")
        return path.read_bytes()

    return Album(knows, load)


def fault_of(encoded: bytes) -> str | None:
    """Why `encoded` cannot be decoded as an image, or None where it can.

    An image of more pixels than Pillow's limit is not decoded: it may be a decompression bomb.
    """
    from PIL import Image, UnidentifiedImageError

    limit = Image.MAX_IMAGE_PIXELS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(encoded))
            if limit and image.width * image.height > limit:
                return f"{image.width} by {image.height} pixels, more than the limit of {limit:,}"
            # JPEG only: decodes at an eighth of the size, which still reads every byte.
            image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
            upright(image)
    except UnidentifiedImageError:  # its own message holds a memory address, another in each run
        return "no known format"
    except Exception as error:  # Pillow's decoders raise whatever their format's parser raises
        return str(error) or type(error).__name__
    return None


def with_pictures(chunks: Iterator[Chunk], album: Album) -> Iterator[Chunk]:
    """The same chunks, where a column of text that names images of `album` holds the images instead."""
    first = next(chunks, None)
    if first is None:
        return
    column = picture_column(first.frame, album)
    for chunk in chain([first], chunks):
        if column is None:
            yield chunk
        else:
            yield from _replaced(chunk, column, album)


def has_pictures(chunks: Iterator[Chunk], album: Album) -> bool:
    """Whether a column of the first chunk names images of `album`."""
    first = next(chunks, None)
    return first is not None and picture_column(first.frame, album) is not None


def picture_column(frame: pl.DataFrame, album: Album) -> str | None:
    """The column of text most of whose first values `album` knows, or whose values end as images do."""
    for name, dtype in frame.schema.items():
        if dtype != pl.String:
            continue
        values = frame[name].drop_nulls().head(_LOOK).to_list()
        known = sum(map(album.knows, values))
        named = sum(map(is_picture, values))
        if known and max(known, named) >= 0.9 * len(values):
            return name
    return None


def _replaced(chunk: Chunk, column: str, album: Album) -> Iterator[Chunk]:
    """`chunk` with the images in `column`, in chunks of about CHUNK_BYTES."""
    dropped, notes = chunk.dropped, (*chunk.notes, f"{column} names images: they were read in its place")
    for frame, bad in _loaded(chunk.frame, column, album.load, column):
        yield Chunk(frame, dropped + tuple(bad), notes)
        dropped, notes = (), ()


def checked_chunks(
    frame: pl.DataFrame, names: str, load: Callable[[str], bytes], *, column: str, notes: tuple[str, ...]
) -> Iterator[Chunk]:
    """Chunks of `frame` with the images that its column `names` names in `column`; unreadable ones dropped."""
    for part, bad in _loaded(with_positions(frame, 0), names, load, column):
        yield Chunk(part.select(column, pl.exclude(column)), tuple(bad), notes)
        notes = ()


def _loaded(
    frame: pl.DataFrame, names: str, load: Callable[[str], bytes], column: str
) -> Iterator[tuple[pl.DataFrame, list[Dropped]]]:
    """Slices of `frame` with the images in `column`, and the examples in each whose image cannot be read."""
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        held: list[pl.DataFrame] = []
        dropped: list[Dropped] = []
        size = 0
        for part in frame.iter_slices(_BATCH):
            answers = list(pool.map(lambda name: _one(name, load), part[names].to_list()))
            images = pl.Series(column, [each if isinstance(each, bytes) else None for each in answers], pl.Binary)
            good = pl.Series([not isinstance(each, str) for each in answers])
            for position, name, answer in zip(part[POSITION], part[names], answers, strict=True):
                if isinstance(answer, str):
                    dropped.append(Dropped(position, "unreadable", f"{name}: {answer}"))
            held.append(part.with_columns(images).filter(good))
            size += sum(len(each) for each in answers if isinstance(each, bytes))
            if size >= CHUNK_BYTES:
                yield pl.concat(held), dropped
                held, dropped, size = [], [], 0
        if held:
            yield pl.concat(held), dropped


def _one(name: str | None, load: Callable[[str], bytes]) -> bytes | str | None:
    """The image behind `name`, why there is none, or None where there is no name."""
    if name is None:
        return "no image is named"
    try:
        encoded = load(name)
    except (OSError, ValueError) as error:
        return f"cannot be read: {error}"
    fault = fault_of(encoded)
    return encoded if fault is None else f"is no image that can be decoded: {fault}"
