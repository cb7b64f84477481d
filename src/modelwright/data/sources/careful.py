"""Delimited text read line by line, for files whose quotes cannot be trusted.

A quote that opens a field counts only if one that closes it follows, with a separator or the end of the line
behind it, in the same line or in one of the next; otherwise it is a character like any other. So a stray quote
costs nothing, where the usual readers swallow all lines up to the next one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from modelwright.data.sources.scan import STRAY_LINES

_MULTILINE_LINES = 100_000  # a quoted field of more lines than this is taken for a stray quote; chosen
_MULTILINE_BYTES = 32 << 20
_LONE_QUOTE = re.compile(r'(?<!")"(?:"")*(?!")')


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its fields, the number of its first line (from 1) and how many lines it takes."""

    fields: list[str]
    line: int
    lines: int


def records_in(lines: Sequence[str], separator: str, width: int, *, final: bool) -> Iterator[Record]:
    r"""The records in `lines`, blank lines left out.

    Args:
        lines: Lines without \n; a trailing \r is removed.
        width: How many fields a record has; 0 where that is not yet known.
        final: Whether the text ends here; otherwise a record that may go on after the last line is not given.
    """
    place = 0
    while place < len(lines):
        line = lines[place].removesuffix("\r")
        if not line.strip(" \t\r") and (width <= 1 or separator not in line):
            place += 1
            continue
        taken = 1
        if '"' not in line:
            fields = line.split(separator)
        else:
            plain = split(line, separator)
            if plain is None:
                joined = _joined(lines, place, separator, width, final=final)
                if joined is None:
                    return
                fields, taken = joined
            else:
                fields = plain
        yield Record(fields, place + 1, taken)
        place += taken


def looks_whole(line: str, separator: str, width: int) -> bool:
    """Whether `line`, quotes aside, looks like a record: prose has a space behind its commas, records have none."""
    spaced = separator != "\t" and separator + " " in line
    return line.count(separator) == width - 1 and not spaced


@cache
def _patterns(separator: str) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    sep = re.escape(separator)
    pad = "" if separator in " \t" else " *"
    strict = re.compile(rf'{pad}"((?:[^"]|"")*)"{pad}(?:{sep}|$)', re.DOTALL)
    lenient = re.compile(rf'{pad}"([^\n]*?)"{pad}(?:{sep}|$)')
    opening = re.compile(rf'{pad}"(?:[^"]|"")*$', re.DOTALL)
    return strict, lenient, opening


def split(line: str, separator: str, *, literal: bool = False) -> list[str] | None:
    """The fields of `line`, or None where its last field opens a quote that nothing closes.

    Args:
        literal: Whether such a quote is a character like any other.
    """
    strict, lenient, opening = _patterns(separator)
    fields: list[str] = []
    place = 0
    while True:
        match = strict.match(line, place)
        if match:
            fields.append(match[1].replace('""', '"'))
        elif opening.match(line, place):
            if not literal:
                return None
        else:
            match = lenient.match(line, place)
            if match:
                fields.append(match[1])
        if match is None:
            end = line.find(separator, place)
            fields.append(line[place:] if end < 0 else line[place:end])
            if end < 0:
                return fields
            place = end + len(separator)
            continue
        if match.end() == len(line) and not match[0].endswith(separator):
            return fields
        place = match.end()


def _joined(
    lines: Sequence[str], start: int, separator: str, width: int, *, final: bool
) -> tuple[list[str], int] | None:
    """The record that begins in `lines[start]` with an open quote and the number of its lines.

    None where the lines end before that is decided and more may come.
    """
    first = lines[start].removesuffix("\r")
    alone = split(first, separator, literal=True)
    assert alone is not None
    held = [lines[start]]
    size = len(first)
    whole = width > 1 and looks_whole(first, separator, width)
    for place in range(start + 1, len(lines)):
        line = lines[place]
        held.append(line)
        size += len(line)
        whole = whole and looks_whole(line, separator, width)
        if (whole and len(held) > STRAY_LINES) or len(held) > _MULTILINE_LINES or size > _MULTILINE_BYTES:
            return alone, 1
        if not _LONE_QUOTE.search(line):  # doubled quotes close nothing
            continue
        fields = split("\n".join(held).removesuffix("\r"), separator)
        if fields is not None:
            right = not whole and (width == 0 or len(fields) == width or len(alone) != width)
            return (fields, len(held)) if right else (alone, 1)
    return (alone, 1) if final else None
