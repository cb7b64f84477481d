"""CoNLL and its kin: a token and its tag on each line, a blank line between sentences.

A sentence is an example: its tokens and its tags become two columns of JSON lists, of which `data.tokens` makes a text
and spans, as it does of such columns in JSON.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from modelwright.data.sources.chunks import CHUNK_EXAMPLES, Chunk, Dropped, Place
from modelwright.data.sources.encoding import encoding_of, refuse_binary, utf8_blocks
from modelwright.errors import Fault, SourceError
from modelwright.records import POSITION

TAG = re.compile(r"O|[BIESLUM][-_]\S.*")
"""Outside of any span, or the place in a span and the span's label: IOB, IOBES, BILOU, BMES."""
TOKENS, TAGS = "text", "tags"
"""The two columns."""
LOOK_BYTES = 1 << 16  # of a file's head, to tell its form; chosen
_SURE = 0.95  # of the lines looked at must have the form: a few may be broken; chosen


@dataclass(frozen=True, slots=True)
class Form:
    """How a line is cut (None: at any space), and which field is the token and which the tag."""

    separator: str | None
    width: int
    token: int
    tag: int

    def read(self, line: str) -> tuple[str, str] | None:
        """The token and the tag of a line, or None where it does not have this form."""
        fields = [field.strip() for field in line.split(self.separator)]
        if len(fields) != self.width or not fields[self.token] or not TAG.fullmatch(fields[self.tag]):
            return None
        return fields[self.token], fields[self.tag]


def form_of(text: str) -> Form | None:
    """The form of the tagged tokens in `text`, or None where it holds something else."""
    lines = [line for line in text.split("\n")[:-1] or [text] if line.strip() and not _aside(line)]
    if not lines:
        return None
    separator = "\t" if sum("\t" in line for line in lines) >= _SURE * len(lines) else None
    rows = [[field.strip() for field in line.split(separator)] for line in lines]
    width, count = Counter(map(len, rows)).most_common(1)[0]
    rows = [row for row in rows if len(row) == width]
    if width < 2 or count < _SURE * len(lines):
        return None
    numbered = width > 2 and all(row[0].isdecimal() for row in rows)
    for tag, token in ((width - 1, 1 if numbered else 0), (0, 1)):
        tags = [row[tag] for row in rows]
        tagged = sum(TAG.fullmatch(each) is not None for each in tags)
        if tagged >= _SURE * len(rows) and any(each != "O" and TAG.fullmatch(each) for each in tags):
            return Form(separator, width, token, tag)
    return None


def holds_tags(path: Path) -> bool:
    """Whether the head of a text file is tagged tokens with blank lines between sentences."""
    with path.open("rb") as opened:
        head = opened.read(LOOK_BYTES).decode("utf-8", "replace").replace("\r\n", "\n")
    return any(not line.strip() for line in head.split("\n")[1:-1]) and form_of(head) is not None


def read(place: Place) -> Iterator[Chunk]:
    """The sentences of a file; one with a line that cannot be read is dropped, with the line.

    Raises:
        SourceError: the file holds no tagged tokens.
    """
    refuse_binary(place.name, place.path)
    lines = _lines(place.path)
    head: list[str] = []
    for line in lines:
        head.append(line)
        if sum(map(len, head)) > LOOK_BYTES:
            break
    form = form_of("\n".join([*head, ""]))
    if form is None:
        found = "does not hold a token and its tag on each line"
        todo = "tags are O, or B-, I- and a label, in the last column or the first"
        raise SourceError(Fault(place.name, found, "a line such as: London<tab>B-place", todo))
    yield from _chunks(_chained(head, lines), form, place.name)


def _chained(head: list[str], rest: Iterator[str]) -> Iterator[str]:
    yield from head
    yield from rest


def _lines(path: Path) -> Iterator[str]:
    for block in utf8_blocks(path, encoding_of(path)):
        yield from block.decode("utf-8").removesuffix("\n").split("\n")


def _aside(line: str) -> bool:
    """Whether a line says something of the sentence, or of the file, instead of a token."""
    return line.startswith(("-DOCSTART-", "# ")) and not TAG.fullmatch(line.rsplit(None, 1)[-1].strip())


def _chunks(lines: Iterable[str], form: Form, name: str) -> Iterator[Chunk]:
    kept: list[tuple[int, str, str]] = []
    dropped: list[Dropped] = []
    for position, sentence in enumerate(_sentences(lines)):
        pairs = [form.read(line) for _, line in sentence]
        tokens = [pair[0] for pair in pairs if pair]
        if len(tokens) < len(pairs):
            number = next(number for (number, _), pair in zip(sentence, pairs, strict=True) if pair is None)
            where = f"{name}, line {number}: not a token and its tag"
            dropped.append(Dropped(position, "unreadable", where))
        else:
            tags = [pair[1] for pair in pairs if pair]
            kept.append((position, json.dumps(tokens, ensure_ascii=False), json.dumps(tags, ensure_ascii=False)))
        if len(kept) + len(dropped) >= CHUNK_EXAMPLES:
            yield _chunk(kept, dropped)
            kept, dropped = [], []
    if kept or dropped:
        yield _chunk(kept, dropped)


def _sentences(lines: Iterable[str]) -> Iterator[list[tuple[int, str]]]:
    """The numbered lines of each sentence."""
    sentence: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        if line.strip() and not _aside(line) and not line.startswith("-DOCSTART-"):
            sentence.append((number, line))
        elif sentence and not line.strip():
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _chunk(kept: list[tuple[int, str, str]], dropped: list[Dropped]) -> Chunk:
    schema = {POSITION: pl.Int64, TOKENS: pl.String, TAGS: pl.String}
    return Chunk(pl.DataFrame(kept, schema=schema, orient="row").select(TOKENS, TAGS, POSITION), tuple(dropped))
