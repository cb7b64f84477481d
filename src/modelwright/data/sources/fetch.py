"""Files brought here in plain form: fetched from a URL, decompressed."""

from __future__ import annotations

import gzip
import re
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

from modelwright.errors import Fault, ResourceError, SourceError

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BLOCK_BYTES = 1 << 20


def head_of(path: Path) -> bytes:
    """The first bytes of a file."""
    try:
        with path.open("rb") as stream:
            return stream.read(4096)
    except OSError as error:
        raise SourceError(Fault(str(path), f"cannot be read: {error.strerror}", "a readable file")) from error


def decompressed(name: str, path: Path, scratch: Path) -> Path:
    """`path` itself, or where it is gzip or Zstandard its plain content in `scratch`.

    Raises:
        SourceError: it is cut short or damaged.
        ResourceError: the plain content does not fit on the disk.
    """
    import zstandard

    head = head_of(path)
    if not head.startswith((_GZIP, _ZSTD)):
        return path
    plain = scratch / f"{len(list(scratch.iterdir()))}-{path.stem}"
    blocks = _gunzipped(path) if head.startswith(_GZIP) else _unzstd(path)
    try:
        with plain.open("wb") as out:
            out.writelines(blocks)
    except (gzip.BadGzipFile, zlib.error, EOFError, zstandard.ZstdError) as error:
        todo = "the file is cut short or damaged: fetch it again"
        raise SourceError(Fault(name, f"cannot be decompressed: {error}", "a whole compressed file", todo)) from error
    except OSError as error:
        raise ResourceError(f"{name} cannot be unpacked to {plain}: {error}") from error
    return plain


def _gunzipped(path: Path) -> Iterator[bytes]:
    with gzip.open(path) as stream:
        while block := stream.read(_BLOCK_BYTES):
            yield block


def _unzstd(path: Path) -> Iterator[bytes]:
    """The plain content of a Zstandard file; its own reader takes a file that is cut short for a whole one.

    Raises:
        EOFError: the file ends within a frame.
    """
    import zstandard

    frame = zstandard.ZstdDecompressor().decompressobj()
    fresh = True
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            while block:
                yield frame.decompress(block)
                fresh = frame.eof
                block = frame.unused_data if frame.eof else b""
                if frame.eof:
                    frame = zstandard.ZstdDecompressor().decompressobj()
    if not fresh:
        raise EOFError("it ends within a frame")


def fetched(locator: str, scratch: Path) -> Path:
    """The file behind any URL that fsspec opens, in `scratch`.

    Raises:
        SourceError: fsspec does not know the scheme, or the file cannot be had.
    """
    import fsspec

    path = scratch / (re.sub(r"[?#].*", "", locator).rpartition("/")[2] or "download")
    try:
        with fsspec.open(locator, "rb") as stream, path.open("wb") as out:
            shutil.copyfileobj(stream, out, 1 << 20)
    except ImportError as error:
        raise SourceError(
            Fault(locator, str(error), "an installed file system", "pip install what it names")
        ) from error
    except Exception as error:  # every file system behind fsspec raises its own kinds
        found = f"cannot be fetched: {type(error).__name__}: {error}"
        raise SourceError(Fault(locator, found, "a file that can be read", "check address and access")) from error
    return path
