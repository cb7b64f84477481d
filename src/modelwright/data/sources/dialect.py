"""How a delimited text is written: separator, quotes, header, what stands before it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from modelwright.data.sources.careful import Record, records_in, split
from modelwright.data.sources.scan import scanned
from modelwright.data.sources.unite import unique_names

SEPARATORS = (",", "\t", ";", "|")
SAMPLE_EXAMPLES = 1_000
"""So many of the first records decide. Chosen: enough to meet most quoting, few enough for milliseconds."""

# fmt: off
USUAL_NAMES = frozenset({
    "id", "text", "label", "target", "class", "category", "sentiment", "title", "name", "date", "price", "age",
    "sex", "gender", "country", "city", "x", "y", "output", "input", "intent", "message", "comment", "review",
    "description", "value", "type", "score", "rating", "split", "image", "file", "filename", "url", "author",
})
# fmt: on
"""What columns are often called."""
_NUMBER = re.compile(r"\s*[-+]?[$€£]?(\d[\d,.]*|\.\d+)([eE][-+]?\d+)?\s*%?\s*")
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-"})
_NAME_LENGTH = 64  # a longer cell is hardly a column's name; chosen
_HEADER_LOOK = 200  # records that are compared with the first; chosen


@dataclass(frozen=True, slots=True)
class Dialect:
    r"""How a file is written.

    Args:
        separator: One character.
        names: The columns, unique.
        header: Whether the first record after `preamble` names the columns.
        preamble: Lines before the header that are no record.
        header_lines: How many lines the header takes, blank ones above it included; 0 where there is none.
        escaped: Whether a quote within quotes is written \" instead of "".
        notes: What was assumed, in words.
    """

    separator: str
    names: tuple[str, ...]
    header: bool
    preamble: int
    header_lines: int
    escaped: bool
    notes: tuple[str, ...]


def dialect_of(text: str, suffix: str, *, whole: bool) -> Dialect:
    """The dialect of the file that begins with `text`.

    Args:
        suffix: The end of the file's name; breaks ties between separators.
        whole: Whether `text` is all there is; otherwise its last line may be torn and is not looked at.
    """
    notes: list[str] = []
    lines = text.split("\n")
    if not whole and len(lines) > 1:
        lines.pop()
    preamble, separator = 0, ""
    if re.fullmatch(r"sep=.\r?", lines[0]):  # what Excel writes to name the separator
        preamble, separator = 1, lines[0][4]
    body = lines[preamble:]
    escaped = False
    tried = (separator,) if separator else _by_suffix(suffix)
    readings = _strict_readings("\n".join(body), tried, whole=whole)
    if not readings:
        escaped = _escaped(text)
        body = [line.replace('\\"', '""') for line in body] if escaped else body
        readings = {each: _records(body, each) for each in tried if _occurs(each, body)}
    separator = separator or _separator(readings, tried)
    records = readings[separator] if separator in readings else _records(body, separator)
    width = _width(records)
    skipped = _preamble(records, width)
    if skipped:
        notes.append(
            f"what stands above line {preamble + records[skipped].line} was passed over: it is no part of the table"
        )
        preamble += records[skipped].line - 1
        records = records[skipped:]
    first = records[0].fields if records else []
    header = _is_header(first, [record.fields for record in records[1 : _HEADER_LOOK + 1]], width)
    names = _names(first, records[1:], width) if header else [f"column_{n}" for n in range(1, width + 1)]
    unique = unique_names(names)
    if not header:
        notes.append("there is no header: the columns were named column_1, column_2 and so on")
    notes += [f"column {old!r} stands twice: this one is called {new!r}" for old, new in _renamed(names, unique)]
    header_lines = (0 if skipped else records[0].line - 1) + records[0].lines if header and records else 0
    return Dialect(separator, tuple(unique), header, preamble, header_lines, escaped, tuple(notes))


def _strict_readings(text: str, separators: Sequence[str], *, whole: bool) -> dict[str, list[Record]]:
    """The first records by each separator by which `text` is CSV as RFC 4180 has it, of two fields or more."""
    readings = {}
    block = text.encode("utf-8") + (b"" if whole else b"\n")
    for separator in separators:
        scan = scanned(block, separator, None, final=whole)
        if not scan.trusted or scan.wrong or not len(scan.starts_R):
            continue
        records = []
        line = 1
        end = 0
        bounds = zip(scan.starts_R.tolist(), scan.ends_R.tolist(), strict=True)
        for start, stop in islice(bounds, SAMPLE_EXAMPLES + 1):
            line += block.count(b"\n", end, start)
            record = block[start:stop].decode("utf-8")
            fields = split(record.removesuffix("\n").removesuffix("\r"), separator, literal=True)
            assert fields is not None
            records.append(Record(fields, line, max(record.count("\n"), 1)))
            line, end = line + record.count("\n"), stop
        if len(records[0].fields) > 1:
            readings[separator] = records
    return readings


def _escaped(text: str) -> bool:
    return '\\"' in text and '""' not in text and re.search(r'\\"(?!\s*[,;\t|\r\n])', text) is not None


def _occurs(separator: str, lines: list[str]) -> bool:
    return any(separator in line for line in lines[: SAMPLE_EXAMPLES + 20])


def _renamed(names: list[str], unique: list[str]) -> list[tuple[str, str]]:
    return [(old, new) for old, new in zip(names, unique, strict=True) if old.strip() and old.strip() != new][:20]


def _records(lines: list[str], separator: str, width: int = 0) -> list[Record]:
    found = []
    for record in records_in(lines, separator, width, final=True):
        found.append(record)
        if len(found) > SAMPLE_EXAMPLES:
            break
    return found


def _separator(readings: dict[str, list[Record]], order: Sequence[str]) -> str:
    """The separator by which most records have the same number of fields; the comma where there is none."""
    best, best_score = ",", 0.0
    for separator, records in readings.items():
        place = order.index(separator)
        counts = Counter(len(record.fields) for record in records)
        total = counts.total()
        counts.pop(1, None)
        if not counts:
            continue
        width, agreeing = counts.most_common(1)[0]
        share = agreeing / total
        # A point more for the suffix's own separator and for many fields: both only break ties.
        score = share - 0.02 * place + 0.02 * min(width, 20) / 20
        # Decimal commas split every record but the header alike.
        score -= 0.2 * (len(records[0].fields) not in (width, width - 1))
        if share > 0.5 and score > best_score:
            best, best_score = separator, score
    return best


def _by_suffix(suffix: str) -> tuple[str, ...]:
    own = {".tsv": "\t", ".tab": "\t", ".psv": "|"}.get(suffix)
    return (own, *(each for each in SEPARATORS if each != own)) if own else SEPARATORS


def _width(records: list[Record]) -> int:
    """The usual number of fields; where none is usual, that of the first record."""
    if not records:
        return 1
    counts = Counter(len(record.fields) for record in records[1:] or records)
    width, agreeing = counts.most_common(1)[0]
    first = len(records[0].fields)
    return width if agreeing * 2 > sum(counts.values()) or counts[first] == 0 else first


def _preamble(records: list[Record], width: int) -> int:
    """How many records at the very top have fewer fields than all others: a title, a comment."""
    top = 0
    while top < min(20, len(records) - 1) and len(records[top].fields) < width - 1:
        top += 1
    below = records[top : top + 10]
    settled = sum(len(record.fields) == width for record in below) >= 0.8 * len(below)
    return top if top and settled and width > 1 and len(records[top].fields) >= width - 1 else 0


def _names(first: list[str], rest: list[Record], width: int) -> list[str]:
    """The header's names for `width` columns.

    One name too few is R's habit of not naming the column of row names, unless the last field is always empty.
    """
    names = [name.strip().lstrip("\ufeff") for name in first]
    if len(names) == width - 1:
        trailing = all(record.fields[-1].strip() == "" for record in rest if len(record.fields) == width)
        names = [*names, ""] if trailing else ["", *names]
    return (names + [""] * width)[:width]


def _is_header(first: Sequence[str], rest: Sequence[Sequence[str]], width: int) -> bool:
    """Whether the first record names the columns: by what in each column sets it apart from those below."""
    if not rest:
        return True
    if len(first) == width - 1:
        return True
    votes = 0.0
    for place, cell in enumerate(first):
        below = [fields[place].strip() for fields in rest if len(fields) > place]
        votes += _vote(cell.strip(), [value for value in below if value.lower() not in _MISSING])
    return votes > 0 or (votes == 0 and len(set(first)) == len(first))


def _vote(cell: str, below: list[str]) -> float:
    """For (above 0) or against (below 0) `cell` being the name of a column that holds `below`."""
    if cell.lower() in USUAL_NAMES:
        return 2
    if not cell or not below:
        return 0
    numeric = sum(_NUMBER.fullmatch(value) is not None for value in below) / len(below)
    if _NUMBER.fullmatch(cell):
        return -2 if numeric > 0.9 else -1
    if numeric > 0.9:
        return 2
    if cell in below:
        return -2
    if len(cell) > _NAME_LENGTH or (cell.endswith((".", "!", "?")) and " " in cell):
        return -1
    few = len(set(below)) < 0.5 * len(below)
    words = sum(len(value.split()) for value in below) / len(below)
    return 1 if few or (words > 3 and len(cell.split()) <= 2) else 0
