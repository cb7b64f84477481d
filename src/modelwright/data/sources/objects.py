"""JSON Lines and JSON: objects become examples, one level of nesting becomes dotted columns.

Where the values of a column are not all of one type they become text, as in CSV; the typing pass in `columns.py`
finds the numbers again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl

from modelwright.data.sources.chunks import (
    CHUNK_BYTES,
    CHUNK_EXAMPLES,
    MAX_COLUMNS,
    Chunk,
    Dropped,
    Place,
    with_positions,
)
from modelwright.data.sources.encoding import decoded_text, encoding_of, refuse_binary, utf8_blocks
from modelwright.data.sources.unite import unique_names, united
from modelwright.errors import Fault, SourceError
from modelwright.records import POSITION

MAX_JSON_BYTES = 1 << 30
"""A larger JSON document is refused, because it must be held whole. Chosen: it takes some ten times that."""

_FLAT = frozenset({pl.String(), pl.Int64(), pl.Float64(), pl.Boolean(), pl.Null()})
_Object = dict[str, Any]


def read_lines(place: Place) -> Iterator[Chunk]:
    """The objects of a JSON Lines file; a line that is none is dropped."""
    refuse_binary(place.name, place.path)
    yield from united(_line_chunks(place))


def _line_chunks(place: Place) -> Iterator[Chunk]:
    """A chunk or more for each block of lines, by Polars where the block is flat and clean."""
    position, above = 0, 0
    for block in utf8_blocks(place.path, encoding_of(place.path)):
        frame = _flat_frame(block)
        if frame is not None:
            chunks = iter([Chunk(with_positions(frame, position))])
        else:
            lines = enumerate(block.decode("utf-8").split("\n"), start=above + 1)
            objects = (_parsed(line, f"{place.name}, line {number}") for number, line in lines if line.strip())
            chunks = _chunks(objects, place.name, position)
        for chunk in chunks:
            position += chunk.count
            yield chunk
        above += block.count(b"\n")


def _flat_frame(block: bytes) -> pl.DataFrame | None:
    """The objects in `block` by Polars, or None where that would lose something.

    Polars reads flat objects four times as fast as Python's json and refuses a torn line, but it takes some
    liberties with nested ones, with numbers beyond 64 bits and with half a surrogate pair.
    """
    if b"\\ud" in block.lower() or b"\0" in block:
        return None
    try:
        frame = pl.read_ndjson(block, infer_schema_length=None)
    except pl.exceptions.PolarsError:
        return None
    count = sum(1 for line in block.splitlines() if line.strip())
    if frame.height != count or not set(frame.dtypes) <= _FLAT or frame.width > MAX_COLUMNS:
        return None
    empty = pl.col(pl.String)
    frame = frame.with_columns(pl.when(empty != "").then(empty))
    return frame.rename(dict(zip(frame.columns, unique_names(frame.columns), strict=True)))


def read(place: Place) -> Iterator[Chunk]:
    """The objects of a JSON document: a list of objects, an object that holds one, or one of columns.

    Raises:
        SourceError: it is not JSON, or of none of these shapes.
    """
    refuse_binary(place.name, place.path)
    size = place.path.stat().st_size
    if size > MAX_JSON_BYTES:
        found = f"is one JSON document of {size / 1e9:.1f} GB"
        raise SourceError(Fault(place.name, found, "at most 1 GB", "save it as JSON Lines, one object a line"))
    text = decoded_text(place.path)
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # several documents in one file: JSON Lines under another name
            yield from read_lines(place)
            return
        found = f"is not JSON: {error.msg} in line {error.lineno}"
        raise SourceError(Fault(place.name, found, "a JSON document")) from error
    except (RecursionError, ValueError) as error:
        raise SourceError(Fault(place.name, f"is JSON that cannot be read: {error}", "a plainer document")) from error
    objects = _objects(document, place.name)
    yield from united(
        _chunks((_checked(each, f"{place.name}, element {n}") for n, each in enumerate(objects)), place.name)
    )


def _parsed(line: str, where: str) -> _Object | str:
    """The object in `line`, or why there is none and where."""
    try:
        return _checked(json.loads(line), where)
    except (ValueError, RecursionError) as error:
        return f"{where}: not JSON ({error})"


def _checked(value: Any, where: str) -> _Object | str:
    return value if isinstance(value, dict) else f"{where}: a {type(value).__name__}, not an object"


def _objects(document: Any, name: str) -> Iterable[Any]:
    """The examples of a JSON document."""
    if isinstance(document, list):
        return document
    if isinstance(document, dict):
        lists = [value for value in document.values() if isinstance(value, list)]
        of_objects = [value for value in lists if value and isinstance(value[0], dict)]
        if len(of_objects) == 1:
            return list(of_objects[0])
        if lists and len(lists) == len(document) and len({len(value) for value in lists}) == 1:
            return [dict(zip(document, values, strict=True)) for values in zip(*lists, strict=True)]
        inner = [value for value in document.values() if isinstance(value, dict)]
        if inner and len(inner) == len(document) and all(each.keys() == inner[0].keys() for each in inner):
            # What pandas writes by default: column -> index -> value.
            return [{column: document[column][index] for column in document} for index in inner[0]]
    found = f"holds a {type(document).__name__} that is no list of objects"
    raise SourceError(Fault(name, found, "a list of objects, an object that holds one list, or lists by column"))


def _chunks(objects: Iterable[_Object | str], name: str, start: int = 0) -> Iterator[Chunk]:
    """Chunks of flattened objects from position `start`; a text in place of an object says why it was dropped."""
    kept: list[dict[str, str | None]] = []
    positions: list[int] = []
    dropped: list[Dropped] = []
    size = 0
    names: dict[str, None] = {}
    for position, each in enumerate(objects, start):
        if isinstance(each, str):
            dropped.append(Dropped(position, "unreadable", each))
        else:
            kept.append(_flat(each))
            positions.append(position)
            names.update(dict.fromkeys(kept[-1]))
            size += sum(len(value) for value in kept[-1].values() if value)
        if len(names) > MAX_COLUMNS:
            found = f"has more than {MAX_COLUMNS:,} different keys"
            raise SourceError(Fault(name, found, f"at most {MAX_COLUMNS:,} columns", "keep the keys that matter"))
        if len(kept) + len(dropped) >= CHUNK_EXAMPLES or size >= CHUNK_BYTES:
            yield _chunk(kept, positions, dropped)
            kept, positions, dropped, size = [], [], [], 0
    if kept or dropped:
        yield _chunk(kept, positions, dropped)


def _chunk(kept: list[dict[str, str | None]], positions: list[int], dropped: list[Dropped]) -> Chunk:
    keys = list(dict.fromkeys(key for each in kept for key in each))
    columns = [pl.Series(key, [each.get(key) for each in kept], pl.String) for key in keys]
    names = dict(zip(keys, unique_names(keys), strict=True))
    frame = pl.DataFrame([column.alias(names[column.name]) for column in columns])
    return Chunk(frame.with_columns(pl.Series(POSITION, positions, pl.Int64)), tuple(dropped))


def _flat(found: _Object) -> dict[str, str | None]:
    """`found` as text by column, the objects in it flattened one level with dots."""
    flat: dict[str, str | None] = {}
    for key, value in found.items():
        if isinstance(value, dict) and value:
            flat.update({f"{key}.{inner}": _text(each) for inner, each in value.items()})
        else:
            flat[key] = _text(value)
    return flat


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str):
        # A lone surrogate (\ud800 without its half) is no text; polars would refuse the whole chunk.
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
