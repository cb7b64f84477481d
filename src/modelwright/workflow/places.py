"""Records say where their files are, and a project's folder may be moved or given to a colleague.

So a path in the folder is stored relative to it, and made absolute again when the record is read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PLACES = frozenset({"path", "html"})
_HERE = "./"


def portable(record: Any, folder: Path) -> Any:
    """`record` with its places relative to `folder` where they are inside it."""

    def change(place: str) -> str:
        inside = Path(place).is_relative_to(folder)
        return _HERE + Path(place).relative_to(folder).as_posix() if inside else place

    return _changed(record, change)


def located(record: Any, folder: Path) -> Any:
    """`record` with its relative places made absolute again, in `folder`."""
    return _changed(record, lambda place: str(folder / place) if place.startswith(_HERE) else place)


def present(record: Any) -> bool:
    """Whether everything that `record` names is still there."""
    missing: list[str] = []

    def check(place: str) -> str:
        if not Path(place).exists():
            missing.append(place)
        return place

    _changed(record, check)
    return not missing


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    """`value` with `change` applied to every place in it, and in the records that it holds."""
    if isinstance(value, tuple):
        return tuple(_changed(each, change) for each in value)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    changed = {}
    for field in dataclasses.fields(value):
        held = getattr(value, field.name)
        is_place = field.name in _PLACES and isinstance(held, str)
        changed[field.name] = change(held) if is_place else _changed(held, change)
    return dataclasses.replace(value, **changed)
