"""Which code made a record: part of its key, so that a record of other code is not taken for a new one."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

_HOME = Path(__file__).parent
_SOURCES = frozenset({".py", ".yaml", ".html", ".css", ".json"})


@cache
def code_version(*rooms: str) -> str:
    """The version of Modelwright and the first 12 digits of the SHA-256 of the sources of `rooms`.

    Only the rooms that a step works in, so that a change of the command line makes nothing again.
    """
    hashed = hashlib.sha256()
    for room in rooms:
        for path in sorted((_HOME / room).rglob("*")):
            if path.suffix in _SOURCES:
                hashed.update(path.relative_to(_HOME).as_posix().encode() + b"\0")
                hashed.update(hashlib.sha256(path.read_bytes()).digest())
    return f"{version('modelwright')}+{hashed.hexdigest()[:12]}"
