"""Images: a folder by class (`cat/1.jpg`, or `train/cat/1.jpg`), or with a table beside them that labels them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

import polars as pl

from modelwright.data.sources import SOURCES
from modelwright.data.sources.chunks import Chunk, Place
from modelwright.data.sources.locate import SUFFIXES, TABLES
from modelwright.data.sources.pictures import (
    Album,
    checked_chunks,
    folder_album,
    is_picture,
    picture_column,
    with_pictures,
)
from modelwright.errors import Fault, SourceError

SPLITS = frozenset({"train", "training", "validation", "valid", "val", "dev", "test", "testing"})
"""Folder names that say to which part an image belongs."""

_CLUTTER = re.compile(r"(^|/)(\.|__MACOSX/|Thumbs\.db$|desktop\.ini$)")
_LEAF_IMAGES = 3  # below this many images a folder is taken for a person or a day, not for a class; chosen

Open = Callable[[str], tuple[str, Place]]
"""The name of a table beside the images -> the source that reads it and the plain file."""


def read_folder(place: Place) -> Iterator[Chunk]:
    """The images below a folder with `image`, `label`, `file`, and `split` where the folders say it."""
    root = place.path
    names = sorted(each.relative_to(root).as_posix() for each in root.rglob("*") if each.is_file())

    def opened(name: str) -> tuple[str, Place]:
        path = root / name
        return table_source(name), Place(f"{place.name}/{name}", path, path.parent)

    yield from labelled(place.name, names, folder_album(root), opened)


def table_source(name: str) -> str:
    """The source that reads the table of that name, or nothing where it is no table."""
    source = SUFFIXES.get(PurePosixPath(name).suffix.lower(), "")
    return source if source in TABLES else ""


def labelled(name: str, names: list[str], album: Album, opened: Open) -> Iterator[Chunk]:
    """The images among `names`, labelled by a table among them that names them, or else by their folders.

    Raises:
        SourceError: there are no images, or nothing labels them.
    """
    names = [each for each in names if not _CLUTTER.search(each)]
    pictures = [each for each in names if is_picture(each)]
    if not pictures:
        todo = "name a folder with one folder of images per class"
        raise SourceError(Fault(name, "holds no images and no tables", "images or tables", todo))
    for table in filter(table_source, names):
        source, place = opened(table)
        first = next(SOURCES[source](place), None)
        if first is not None and picture_column(first.frame, album) is not None:
            yield from with_pictures(SOURCES[source](place), album)
            return
    yield from _by_class(name, pictures, len(names) - len(pictures), album)


def _by_class(name: str, pictures: list[str], others: int, album: Album) -> Iterator[Chunk]:
    """The images labelled by the folders that they stand in."""
    labels, splits, notes = _labels(pictures)
    if not any(labels):
        expected = "one folder per class, or a table with a column of image names beside them"
        raise SourceError(Fault(name, f"holds {len(pictures):,} images but nothing that labels them", expected))
    if others:
        notes.append(f"{others:,} files that are no images were passed over")
    columns = {"file": pictures, "label": labels} | ({"split": splits} if any(splits) else {})
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    yield from checked_chunks(frame, "file", album.load, column="image", notes=tuple(notes))


def _labels(pictures: list[str]) -> tuple[list[str | None], list[str | None], list[str]]:
    """Label and split of each image by its folders, and what was assumed."""
    folders = [PurePosixPath(each).parts[:-1] for each in pictures]
    while len({parts[:1] for parts in folders}) == 1 and len(folders[0]) > 1 and len(set(folders)) > 1:
        folders = [parts[1:] for parts in folders]
    notes: list[str] = []
    splits: list[str | None] = [None] * len(folders)
    if all(parts and parts[0].lower() in SPLITS for parts in folders):
        splits = [parts[0] for parts in folders]
        folders = [parts[1:] for parts in folders]
    if any(len(parts) > 1 for parts in folders):
        deep = len(pictures) / len(Counter(folders)) >= _LEAF_IMAGES
        example = max(folders, key=len)
        folders = [parts if deep else parts[:1] for parts in folders]
        which = "all its folders" if deep else "its outermost folder"
        notes.append(f"the class of an image is {which}, as {'/'.join(example if deep else example[:1])}")
    return ["/".join(parts) or None for parts in folders], splits, notes
