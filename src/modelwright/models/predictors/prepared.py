"""How a network's inputs are prepared, kept beside its weights."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from modelwright.errors import IntegrityError

T = TypeVar("T")
FILE = "preparation.json"


def save_preparation(preparation: Any, folder: Path) -> None:
    """Write `preparation`, a dataclass of plain values and tuples of them."""
    found = {field.name: getattr(preparation, field.name) for field in fields(preparation)}
    (folder / FILE).write_text(json.dumps(found), encoding="utf-8")


def load_preparation(kind: type[T], folder: Path) -> T:
    """The `kind` that `save_preparation` wrote.

    Raises:
        IntegrityError: it is not one.
    """
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        tuples = [field.name for field in fields(kind) if isinstance(field.default, tuple)]  # type: ignore[arg-type]
        return kind(**(found | {name: tuple(found[name]) for name in tuples}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{folder / FILE}: {error}") from error
