"""A journal of trials: a line of JSON for each that is finished, so that a search that was killed goes on from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from modelwright.records import plain
from modelwright.training.checkpoint import sync

JOURNAL = "trials.jsonl"


def enter(folder: Path, trial: Any) -> None:
    """Put `trial` at the end of the journal in `folder`; it is on the disk when this returns."""
    path = folder / JOURNAL
    with path.open("a", encoding="utf-8") as journal:
        journal.write(json.dumps(plain(trial)) + "\n")
    sync(path)


def entries(folder: Path) -> list[dict[str, Any]]:
    """The trials of earlier calls, as `plain` gave them; a last line that was cut off by a kill is removed."""
    path = folder / JOURNAL
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]
