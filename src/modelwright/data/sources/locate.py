"""A locator -> the places to read and the source that reads each: files fetched, decompressed and recognised."""

from __future__ import annotations

import glob
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelwright.data.sources.chunks import Place
from modelwright.data.sources.conll import holds_tags
from modelwright.data.sources.encoding import refuse_binary
from modelwright.data.sources.fetch import decompressed, fetched, head_of
from modelwright.data.sources.pictures import is_picture
from modelwright.data.sources.plain import is_plain
from modelwright.errors import Fault, SourceError
from modelwright.registry import suggestion

SUFFIXES = {
    ".csv": "delimited",
    ".tsv": "delimited",
    ".tab": "delimited",
    ".psv": "delimited",
    ".txt": "delimited",
    ".text": "plain",
    ".md": "plain",
    ".data": "delimited",
    ".conll": "conll",
    ".iob": "conll",
    ".iob2": "conll",
    ".bio": "conll",
    ".jsonl": "jsonlines",
    ".ndjson": "jsonlines",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".zip": "zip",
    ".db": "sql",
    ".sqlite": "sql",
    ".sqlite3": "sql",
}
"""How a file is read, by the end of its name (without .gz or .zst)."""

MAGIC = (
    (b"PAR1", "parquet", "a Parquet file"),
    (b"ARROW1", "arrow", "an Arrow file"),
    (b"FEA1", "", "a Feather file of the first version"),
    (b"PK\x03\x04", "zip", "a zip archive"),
    (b"SQLite format 3\0", "sql", "an SQLite database"),
    (b"\x89PNG", "", "a PNG image"),
    (b"\xff\xd8\xff", "", "a JPEG image"),
    (b"GIF8", "", "a GIF image"),
    (b"\x7fELF", "", "a program"),
    (b"MZ\x90", "", "a program"),
    (b"%PDF", "", "a PDF document"),
    (b"BZh", "", "compressed with bzip2"),
    (b"\xfd7zXZ", "", "compressed with xz"),
    (b"7z\xbc\xaf", "", "a 7-Zip archive"),
    (b"\xd0\xcf\x11\xe0", "", "an old Excel or Word document"),
    (b"\x89HDF", "", "an HDF5 file"),
)
"""First bytes -> the source that reads such a file (none: nothing here does) and what it is in words."""

TABLES = ("delimited", "conll", "json", "jsonlines", "parquet", "arrow")
_DATABASES = frozenset({"sqlite", "postgresql", "postgres", "mysql", "mariadb", "mssql", "oracle", "duckdb"})
_OFFICE = (".xlsx", ".xls", ".xlsm", ".ods", ".docx", ".doc", ".pdf")
_READ_AS = "CSV, TSV, plain text, CoNLL, JSON, JSON Lines, Parquet, Arrow, a folder or zip of images, or a database URL"


@contextmanager
def located(
    locator: str, *, folder: Path, query: str | None, outside: frozenset[str]
) -> Iterator[list[tuple[str, Place]]]:
    """The source and place of everything that `locator` means, in the order in which it is read.

    Files that were fetched or decompressed are gone when the context ends.

    Raises:
        SourceError: nothing is there, or nothing here reads it.
    """
    scheme = scheme_of(locator)
    with tempfile.TemporaryDirectory(prefix="modelwright-") as scratch:
        if scheme == "hf":
            yield [("hub", Place(locator, folder, folder))]
        elif scheme.partition("+")[0] in _DATABASES:
            yield [("sql", Place(locator, folder, folder, query))]
        elif scheme in outside:
            yield [(scheme, Place(locator, folder, folder, query))]
        elif scheme and scheme != "file":
            path = fetched(locator, Path(scratch))
            yield [_recognised(locator, path, folder, query, Path(scratch))]
        else:
            paths = _local(locator.removeprefix("file://"), folder)
            yield [_recognised(_name(each, folder), each, each.parent, query, Path(scratch)) for each in paths]


def scheme_of(locator: str) -> str:
    """The URL scheme of `locator`, or nothing where it is a path."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.\-]+):(?=//)", locator)
    return match[1].lower() if match else ""


def _name(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _local(locator: str, folder: Path) -> list[Path]:
    """The files that a path, glob or folder of tables means, in order; a folder of images is one."""
    path = folder / Path(locator).expanduser()
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.is_file() and not _hidden(each, path))
        tables = [each for each in files if _by_name(each) in TABLES and not each.name.lower().startswith("readme")]
        if any(map(is_picture, map(str, files))) or not tables:
            return [path]
        return tables
    if path.exists():
        return [path]
    hits = sorted(Path(hit) for hit in glob.glob(str(path), recursive=True))
    hits = [each for each in hits if each.is_file()]
    if hits:
        return hits
    if glob.has_magic(locator):
        raise SourceError(Fault(locator, "no file matches", f"files below {folder}", "check the pattern"))
    beside = [each.name for each in path.parent.iterdir() if each.name[0] != "."] if path.parent.is_dir() else []
    todo = suggestion(path.name, beside) if beside else f"there is no folder {path.parent}"
    raise SourceError(Fault(locator, "there is no such file", f"a file or folder, seen from {folder}", todo))


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.relative_to(root).parts)


def _by_name(path: Path) -> str:
    """The source that a file's name promises, or nothing."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in (".gz", ".zst"):
        suffixes.pop()
    return SUFFIXES.get(suffixes[-1], "") if suffixes else ""


def _recognised(name: str, path: Path, home: Path, query: str | None, scratch: Path) -> tuple[str, Place]:
    """The source that reads `path`, by what it holds rather than by what it is called."""
    if path.is_dir():
        return "images", Place(name, path, path)
    plain = decompressed(name, path, scratch)
    source = recognise(name, plain, promised=_by_name(path))
    return source, Place(name, plain, home, query)


def recognise(name: str, path: Path, *, promised: str) -> str:
    """The source that reads the plain file `path`, whose name promises `promised`.

    Raises:
        SourceError: its first bytes say that it is something else, or something that nothing here reads.
    """
    head = head_of(path)
    if name.lower().endswith(_OFFICE) or (head.startswith(b"PK") and b"[Content_Types].xml" in head):
        raise SourceError(Fault(name, "is a workbook or document of an office program", _READ_AS, "save it as CSV"))
    for magic, source, words in MAGIC:
        if not head.startswith(magic):
            continue
        if not source or (promised and promised != source):
            todo = f"rename it if it is meant to be {words}" if source else "save it as CSV or Parquet"
            raise SourceError(Fault(name, f"is {words}, not what its name says", _READ_AS, todo))
        return source
    if promised in ("parquet", "zip", "sql"):
        raise SourceError(Fault(name, f"is no {promised} file: its first bytes are {head[:8]!r}", _READ_AS))
    if promised in ("", "delimited") and holds_tags(path):
        return "conll"
    if promised and not (promised == "delimited" and ".txt" in name.lower()):
        return promised
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if not promised and start in (b"{", b"["):
        return "jsonlines" if start == b"{" else "json"
    refuse_binary(name, path)
    return "plain" if is_plain(path) else "delimited"
