"""Tables of names. A table maps a name to `module:attribute`, imported when it is first asked for.

Outside packages add a row through the entry-point group `modelwright.<table>`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from modelwright.errors import Fault, UnknownNameError


def nearest(name: str, names: Mapping[str, Any] | list[str] | tuple[str, ...], limit: int = 3) -> list[str]:
    """The `limit` names most like `name`, best first; empty where none is near."""
    folded = {str(each).casefold(): str(each) for each in names}
    return [folded[hit] for hit in difflib.get_close_matches(name.casefold(), list(folded), limit, 0.5)]


def suggestion(name: str, names: Mapping[str, Any] | list[str] | tuple[str, ...]) -> str:
    """A phrase that offers the nearest names, or lists them all where none is near."""
    near = nearest(name, names)
    if near:
        return "did you mean " + " or ".join(near) + "?"
    shown = sorted(map(str, names))
    more = f" and {len(shown) - 30} more" if len(shown) > 30 else ""
    return "there are: " + ", ".join(shown[:30]) + more


class Table(Mapping[str, Any]):
    """A lazily imported table of names.

    Args:
        what: What one row is, in the singular ("metric"); names the entry-point group too.
        rows: name -> "module:attribute". The attribute is imported on first use, so that a table
            costs nothing to import and a heavy library is paid for by the row that needs it.
    """

    def __init__(self, what: str, rows: Mapping[str, str]) -> None:
        self.what = what
        self._rows = dict(rows)
        self._outside: dict[str, Any] | None = None

    def _entry_points(self) -> dict[str, Any]:
        if self._outside is None:
            found = entry_points(group=f"modelwright.{self.what}")
            self._outside = {point.name: point for point in found if point.name not in self._rows}
        return self._outside

    def __getitem__(self, name: str) -> Any:
        if name in self._rows:
            module, _, attribute = self._rows[name].partition(":")
            return getattr(import_module(module), attribute)
        if name in self._entry_points():
            return self._entry_points()[name].load()
        raise UnknownNameError(Fault(self.what, repr(name), f"a {self.what}", suggestion(name, list(self))))

    def __contains__(self, name: object) -> bool:
        return name in self._rows or name in self._entry_points()

    def __iter__(self) -> Iterator[str]:
        yield from self._rows
        yield from self._entry_points()

    def __len__(self) -> int:
        return len(self._rows) + len(self._entry_points())
