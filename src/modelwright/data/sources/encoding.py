"""Text files in any encoding -> blocks of UTF-8 that end at the end of a line.

Bytes that no encoding explains become a NUL, and so do NULs that stand in the file: a line that holds one is
dropped by whoever reads the lines, who knows its position.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from modelwright.errors import Fault, SourceError

BLOCK_BYTES = 8 << 20
"""Bytes read at a time. Measured: 8 MB is some 100,000 examples of ten columns; larger is no faster."""

_LONGEST_LINE_BYTES = 256 << 20  # a longer line is no text; chosen: 25 times a cell of 10 MB
_HEAD_BYTES = 1 << 16
_EVIDENCE_BYTES = 1 << 18  # lines that are not ASCII are collected up to here to tell their encoding; chosen
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\f\v\x1a\x1b\x1c\x1d\x1e\x1f")) + b"\x7f"
_CONTROL_SHARE = 0.05  # chosen: 11% of random bytes are control characters, of text hardly any
_RUN = 2  # this many bytes above 127 in a row are hardly Latin script; chosen
_LATIN = ("cp1252", "cp1250", "iso8859_2", "cp1254", "mac_roman", "cp850")
"""Code pages of Latin script, the more usual first."""

_SIGN_IN_WORD = re.compile(
    r"(?<=[^\W\d_])(?:[^\x00-\x7f\w\s\u2018\u2019\u00b4\u00b7\u2013\u00ad]|[\u00aa\u00ba\u00b2\u00b3\u00b9\u00bc-\u00be])(?=[^\W\d_])"
)  # a sign between two letters, other than an apostrophe, a dash or a middle dot
_LETTER_IN_WORD = re.compile(r"(?<=[a-z])[^\W\d_\x00-\x7f](?=[a-z])")


def _marked(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\0", error.end


codecs.register_error("modelwright.mark", _marked)


def refuse_binary(name: str, path: Path) -> None:
    """Nothing, where the first bytes of `path` look like text.

    Raises:
        SourceError: the file is empty or binary.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if not head.strip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n"):
        found = "is empty" if not head else "holds nothing but blank space"
        raise SourceError(Fault(name, found, "a header and examples below it", "check that the export finished"))
    if _wide(head):
        return
    control = len(head) - len(head.translate(None, _CONTROL))
    if control > _CONTROL_SHARE * len(head):
        share = f"{control / len(head):.0%} of its first bytes are control characters"
        raise SourceError(Fault(name, f"is a binary file: {share}", "text", "save it as CSV, JSON Lines or Parquet"))


def _wide(head: bytes) -> str | None:
    """The encoding of two or four bytes a character that `head` is in, if any."""
    for bom, encoding in _BOMS[1:]:
        if head.startswith(bom):
            return encoding
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = max(len(head) // 2, 1)
    if odd > 0.3 * half and even < 0.05 * half:
        return "utf-16-le"
    if even > 0.3 * half and odd < 0.05 * half:
        return "utf-16-be"
    return None


def encoding_of(path: Path) -> str:
    """The name of the encoding of the text in `path`: UTF-8 wherever most lines that are not ASCII are in it."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
        wide = _wide(head)
        if wide or head.startswith(codecs.BOM_UTF8):
            return wide or "utf-8"
        stream.seek(0)
        evidence = _evidence(stream)
    valid = sum(_decodes(line, "utf-8") for line in evidence)
    if valid * 2 >= len(evidence):
        return "utf-8"
    return _guess(b"\n".join(line for line in evidence if not _decodes(line, "utf-8")))


def _evidence(stream: BinaryIO) -> list[bytes]:
    """The first lines that are not ASCII."""
    lines: list[bytes] = []
    size = 0
    for block in _line_blocks(stream):
        if block.isascii():
            continue
        for line in block.split(b"\n"):
            if not line.isascii():
                lines.append(line)
                size += len(line)
                if size > _EVIDENCE_BYTES:
                    return lines
    return lines


def _decodes(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _guess(sample: bytes) -> str:
    """The likeliest encoding of `sample`, which is not UTF-8.

    Where bytes above 127 come in runs the script is hardly Latin, and charset-normalizer tells which it is. Where
    they stand alone among ASCII letters, the code page is chosen in which the fewest of them look out of place
    inside a word. Measured on the 190 Latin-1 files of the UDHR corpus: 187 right, charset-normalizer alone 108.
    """
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", sample)]
    if 2 * sum(run for run in runs if run >= _RUN) > sum(runs):
        from charset_normalizer import from_bytes

        best = from_bytes(sample).best()
        if best is not None:
            return best.encoding
    misfits = {page: round(_misfits(sample, page) / len(runs), 2) for page in _LATIN}
    return min(_LATIN, key=lambda page: (misfits[page], _LATIN.index(page)))


def _misfits(sample: bytes, page: str) -> int:
    """How many bytes above 127 become something that does not stand where it stands in a word."""
    text = sample.decode(page, "replace")
    signs = len(_SIGN_IN_WORD.findall(text))
    capitals = len([letter for letter in _LETTER_IN_WORD.findall(text) if str(letter).isupper()])
    nothing = 2 * text.count("\ufffd") + sum("\x80" <= each <= "\x9f" for each in text)
    return signs + capitals + nothing


def utf8_blocks(path: Path, encoding: str) -> Iterator[bytes]:
    r"""The text in `path` as UTF-8 in blocks that end at the end of a line, without byte-order mark.

    Line ends are \n or \r\n; the lone \r of old files becomes \n.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
        bom = next((len(mark) for mark, name in _BOMS if head.startswith(mark) and name == encoding), 0)
        stream.seek(bom)
        old = b"\r" in head and b"\n" not in head
        wide = encoding.startswith(("utf-16", "utf-32"))
        blocks = _wide_blocks(stream, encoding) if wide else _line_blocks(stream, b"\r" if old else b"\n")
        for block in blocks:
            text = block if wide or block.isascii() else _to_utf8(block, encoding)
            yield text.replace(b"\r", b"\n") if old else text


def _wide_blocks(stream: BinaryIO, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("modelwright.mark")
    rest = b""
    while block := stream.read(BLOCK_BYTES):
        text = rest + decoder.decode(block).encode("utf-8", "replace")
        end = text.rfind(b"\n") + 1
        rest = text[end:]
        if end:
            yield text[:end]
    rest += decoder.decode(b"", True).encode("utf-8", "replace")
    if rest:
        yield rest


def _line_blocks(stream: BinaryIO, end: bytes = b"\n") -> Iterator[bytes]:
    """Blocks of whole lines.

    Raises:
        SourceError: a line is too long to be one.
    """
    rest: list[bytes] = []
    size = 0
    while block := stream.read(BLOCK_BYTES):
        cut = block.rfind(end) + 1
        if cut:
            yield b"".join([*rest, block[:cut]])
            rest, size = [], 0
        rest.append(block[cut:])
        size += len(rest[-1])
        if size > _LONGEST_LINE_BYTES:
            found = f"has a line of more than {_LONGEST_LINE_BYTES >> 20} MB"
            raise SourceError(Fault(str(stream.name), found, "text with one example a line"))
    if size:
        yield b"".join(rest)


def _to_utf8(block: bytes, encoding: str) -> bytes:
    """`block` as UTF-8; a line that is not in `encoding` is tried in UTF-8 and Windows-1252, then marked."""
    try:
        text = block.decode(encoding)
    except UnicodeDecodeError:
        return b"\n".join(_line_to_utf8(line, encoding) for line in block.split(b"\n"))
    return block if encoding == "utf-8" else text.encode("utf-8", "replace")


def _line_to_utf8(line: bytes, encoding: str) -> bytes:
    for each in dict.fromkeys((encoding, "utf-8", "cp1252")):
        try:
            text = line.decode(each)
        except UnicodeDecodeError:
            continue
        return text.encode("utf-8", "replace")
    return line.decode(encoding, "modelwright.mark").encode("utf-8", "replace")


def decoded_text(path: Path) -> str:
    """All of the text in `path`."""
    return b"".join(utf8_blocks(path, encoding_of(path))).decode("utf-8")
