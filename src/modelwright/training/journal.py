"""A journal of trials: a line of JSON for each that is finished, so that a search that was killed goes on from it.

Each line ends in a checksum of what it says: a digit that was altered still is JSON.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from modelwright.disk import sync
from modelwright.errors import IntegrityError
from modelwright.records import plain

T = TypeVar("T")

JOURNAL = "trials.jsonl"
_SUM = "crc32"


def enter(folder: Path, trial: Any) -> None:
    """Put `trial` at the end of the journal in `folder`; it is on the disk when this returns."""
    path, found = folder / JOURNAL, plain(trial)
    with path.open("a", encoding="utf-8") as journal:
        journal.write(json.dumps({**found, _SUM: _checksum(found)}) + "\n")
    sync(path)


def entries(folder: Path, kind: Callable[..., T]) -> list[T]:
    """The trials of earlier calls; a last line that was cut off by a kill is removed.

    Args:
        folder: Where the journal is, if there is one.
        kind: A record of a trial; it gets the fields as `plain` gave them.

    Raises:
        IntegrityError: a line was altered.
    """
    path = folder / JOURNAL
    if not path.is_file():
        return []
    written = path.read_bytes()
    whole = written[: written.rfind(b"\n") + 1]
    if whole != written:
        os.truncate(path, len(whole))  # in place: a kill, or a full disk, must not cost the lines before
    found = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            found.append(kind(**_checked(line)))
        except (ValueError, TypeError, AttributeError) as error:
            raise IntegrityError(
                f"{path}: line {number} was altered since it was written ({error}); put the file back as it was,"
                " or begin anew: modelwright train --force"
            ) from error
    return found


def _checked(line: bytes) -> dict[str, Any]:
    """What a line says, where its checksum agrees; a line without one is of an earlier version."""
    found: dict[str, Any] = json.loads(line)
    if found.pop(_SUM, None) not in (None, _checksum(found)):
        raise ValueError("its checksum is another")
    return found


def _checksum(found: dict[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(found).encode()):08x}"
