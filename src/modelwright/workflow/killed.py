"""Runs that were begun and not ended: found again where our code was upgraded in between, so that no hours are lost.

Other code would plan anew, and train in another folder. What was begun goes on instead as it was planned, and its
record says that it is not exact.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modelwright.store import RecordStore

GOES_ON = "a killed run, begun with other code, goes on as it was planned; `plan --force` plans anew"


def begin(place: Path, key: str, inputs: Mapping[str, Any]) -> None:
    """Note beside the run's folder `place` what it is made of, until `end`."""
    _note(place).write_text(json.dumps({"key": key, "inputs": _plain(inputs)}), encoding="utf-8")


def end(place: Path) -> None:
    """The run in `place` has its record."""
    _note(place).unlink(missing_ok=True)


def take_over(place: Path, inputs: Mapping[str, Any], store: RecordStore) -> None:
    """Make the folder of a killed run of the same inputs, but for the code, the one of `place`, which is not there."""
    for note, theirs in _begun(place.parent, store):
        if not place.exists() and _alike(theirs, inputs):
            note.with_suffix("").rename(place)
            note.unlink()


def keep_plan(runs: Path, key: str, inputs: Mapping[str, Any], store: RecordStore) -> bool:
    """Whether a killed run's plan was made of the same inputs but for the code; it is then stored under `key` too.

    Args:
        runs: The folder of all runs' folders.
        key: Of the plan that would be made now.
        inputs: Of that plan.
        store: Where plans are.
    """
    wanted = [theirs["plan_id"] for _, theirs in _begun(runs, store)]
    for entry in reversed(store.entries("plan")):
        if entry.record.id in wanted and _alike(entry.inputs, inputs):
            store.put("plan", key, entry.record, inputs=entry.inputs, seconds=entry.seconds)
            return True
    return False


def _begun(runs: Path, store: RecordStore) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Note and inputs of each run in `runs` that was begun and has no record."""
    for note in sorted(runs.glob("*.begun"), key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            found = json.loads(note.read_text(encoding="utf-8"))
        except ValueError:  # killed while it was written: nothing had begun
            continue
        if note.with_suffix("").is_dir() and store.entry("run", found["key"]) is None:
            yield note, found["inputs"]


def _note(place: Path) -> Path:
    return place.with_name(f"{place.name}.begun")


def _alike(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    first, second = _plain(first), _plain(second)
    return {**first, "code": ""} == {**second, "code": ""}


def _plain(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """As the store keeps them."""
    kept: dict[str, Any] = json.loads(json.dumps(dict(inputs), default=str))
    return kept
