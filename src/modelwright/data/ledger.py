"""An append-only ledger: lines of JSON, each with the hash of the line before it and its own.

`ledger.head` beside it repeats the number and hash of the last line, so that a ledger which was cut short is
noticed too. A crash while writing leaves either a torn line, which is cut off (what it would have said was
never acted upon), or a line that the head does not know yet, which is taken up.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelwright.disk import sync
from modelwright.errors import SealError
from modelwright.records import canonical

Entry = dict[str, Any]

LEDGER, HEAD, LOCK = "ledger.jsonl", "ledger.head", "ledger.lock"
RESTORE = "restore the dataset's folder from a copy, or prepare a new dataset from new examples"
_START = "0" * 64


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[list[Entry]]:
    """The entries of the ledger in `folder`, checked; nobody else reads or writes it meanwhile.

    Raises:
        SealError: it is missing or does not verify.
    """
    try:
        file = (folder / LOCK).open("w")
    except OSError as error:
        raise SealError(f"the ledger of the sealed test part cannot be opened: {error}; {RESTORE}") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the operating system frees it when its holder dies
        yield _read(folder)


def append(folder: Path, entries: list[Entry], content: dict[str, Any]) -> None:
    """Add `content` to the ledger in `folder` and to `entries`; it is on the disk when this returns."""
    entry = {
        **json.loads(canonical(content)),
        "number": len(entries),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "previous": entries[-1]["hash"] if entries else _START,
    }
    entry["hash"] = _hash(entry)
    with (folder / LEDGER).open("a", encoding="utf-8") as file:
        file.write(canonical(entry) + "\n")
        file.flush()
        os.fsync(file.fileno())
    _write_head(folder, entry)
    entries.append(entry)


def _write_head(folder: Path, entry: Entry) -> None:
    head = folder / f"{HEAD}.new"
    head.write_text(f"{entry['number']} {entry['hash']}\n", encoding="utf-8")
    sync(head)
    head.replace(folder / HEAD)
    sync(folder)


def _read(folder: Path) -> list[Entry]:
    path = folder / LEDGER
    try:
        *whole, torn = path.read_text(encoding="utf-8").split("\n")
        number, _, last = (folder / HEAD).read_text(encoding="utf-8").strip().partition(" ")
        expected = int(number) + 1
    except (OSError, ValueError) as error:
        raise SealError(f"the ledger of the sealed test part cannot be read: {error}; {RESTORE}") from error
    entries: list[Entry] = []
    for line in whole:
        entries.append(_entry(line, entries, path))
    if not entries or len(entries) < expected or entries[expected - 1]["hash"] != last:
        raise SealError(f"{path} holds {len(entries)} entries, {expected} were written; {RESTORE}")
    if torn:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - len(torn.encode("utf-8")))
            os.fsync(file.fileno())
    if len(entries) > expected:
        _write_head(folder, entries[-1])
    return entries


def _entry(line: str, before: list[Entry], path: Path) -> Entry:
    where = f"{path}, line {len(before) + 1}"
    try:
        entry = json.loads(line)
        said = entry.pop("hash")
        linked = entry["previous"] == (before[-1]["hash"] if before else _START)
    except (ValueError, KeyError, AttributeError) as error:
        raise SealError(f"{where}: is not an entry ({error}); {RESTORE}") from error
    if said != _hash(entry) or not linked:
        raise SealError(f"{where}: was changed after it was written; {RESTORE}")
    return {**entry, "hash": said}


def _hash(entry: Entry) -> str:
    return hashlib.sha256(canonical(entry).encode("utf-8", "surrogatepass")).hexdigest()
