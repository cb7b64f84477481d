"""A zip: images by class folders, images with a label file, or a table."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from modelwright.data.sources import SOURCES
from modelwright.data.sources.chunks import Chunk, Place
from modelwright.data.sources.images import labelled, table_source
from modelwright.data.sources.locate import recognise
from modelwright.data.sources.pictures import MAX_IMAGE_BYTES, Album, is_picture
from modelwright.errors import Fault, SourceError

_DAMAGE = (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError)
"""What zipfile raises for a member that is damaged, encrypted or packed in a way that it does not know."""


def read(place: Place) -> Iterator[Chunk]:
    """The examples in a zip.

    Images and a table whose column names them: the table's examples with the images. Images alone: their
    folders are the classes. One table alone: its examples.

    Raises:
        SourceError: it is no zip, or holds neither.
    """
    try:
        packed = zipfile.ZipFile(place.path)
    except (zipfile.BadZipFile, OSError) as error:
        raise SourceError(Fault(place.name, f"is no zip that can be read: {error}", "a whole zip")) from error
    with packed, tempfile.TemporaryDirectory(prefix="modelwright-") as scratch:

        def opened(name: str) -> tuple[str, Place]:
            return _unpacked(packed, name, place, Path(scratch))

        names = sorted(each.filename for each in packed.infolist() if not each.is_dir())
        tables = [each for each in names if table_source(each) and not each.startswith("__MACOSX/")]
        if any(map(is_picture, names)):
            yield from labelled(place.name, names, _album(packed, names), opened)
        elif len(tables) == 1:
            source, table = opened(tables[0])
            yield from SOURCES[source](table)
        else:
            found = f"holds {len(tables)} tables and no images" if tables else "holds neither images nor a table"
            listed = ", ".join((tables or names)[:10])
            raise SourceError(Fault(place.name, found, "images, or one table", f"it holds {listed}: unpack it"))


def _album(packed: zipfile.ZipFile, names: list[str]) -> Album:
    """The images of a zip by the end of their path, with or without suffix, as label files name them."""
    by_name: dict[str, str | None] = {}
    for name in filter(is_picture, names):
        parts = PurePosixPath(name).parts
        tails = ["/".join(parts[start:]) for start in range(len(parts))]
        for known in {*tails, *(tail.rpartition(".")[0] for tail in tails)}:
            # Two images that end alike leave that end without meaning; their full names still have it.
            by_name[known] = name if known not in by_name or known == name else None

    def find(name: str) -> str | None:
        return by_name.get(name.strip().replace("\\", "/").removeprefix("./"))

    def load(name: str) -> bytes:
        full = find(name)
        if full is None:
            raise OSError("the zip holds no such image")
        if packed.getinfo(full).file_size > MAX_IMAGE_BYTES:
            raise OSError(f"larger than {MAX_IMAGE_BYTES >> 20} MB")
        try:
            return packed.read(full)
        except _DAMAGE as error:
            raise OSError(str(error)) from error

    return Album(lambda name: find(name) is not None, load)


def _unpacked(packed: zipfile.ZipFile, name: str, place: Place, scratch: Path) -> tuple[str, Place]:
    """A table of the zip as a plain file, and the source that reads it."""
    where = f"{place.name}/{name}"
    path = scratch / name.replace("/", "_")
    try:
        with packed.open(name) as stream, path.open("wb") as out:
            shutil.copyfileobj(stream, out, 1 << 20)
    except _DAMAGE as error:
        raise SourceError(Fault(where, f"cannot be unpacked: {error}", "a whole zip")) from error
    return recognise(where, path, promised=table_source(name)), Place(where, path, scratch)
