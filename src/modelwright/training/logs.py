"""What a run tells while it trains: files that a person can follow, cut back where a killed run goes on.

`log.jsonl` and `log.csv` have one line for each step and nothing in them that depends on the clock, so a run that was
killed and went on ends with the same bytes as one that was not. `speed.csv` has the seconds. `history.json` has the
validations, `remarks.jsonl` what stood out.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from modelwright.errors import ResourceError
from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.records import Remark, plain
from modelwright.training.checkpoint import write_whole, writing
from modelwright.training.loop import Step

LOG, TABLE, SPEED, HISTORY, REMARKS = "log.jsonl", "log.csv", "speed.csv", "history.json", "remarks.jsonl"
COLUMNS = ("number", "epoch", "loss", "units", "learning_rate", "gradient_norm")
_HEADS = {LOG: "", TABLE: ",".join(COLUMNS) + "\n", SPEED: "number,seconds,units_per_second\n"}


class Logs:
    """The logs in a run's folder, opened for a run that goes on after `step`, or is new where that is None.

    Args:
        folder: The run's own.
        step: What was written of later steps is cut off.

    Raises:
        ResourceError: the disk is full.
    """

    def __init__(self, folder: Path, *, step: int | None) -> None:
        self._folder = folder
        self._open = ExitStack()
        with writing(folder, "the log"):
            folder.mkdir(parents=True, exist_ok=True)
            short = [name for name, head in _HEADS.items() if not _cut(folder / name, head, step or 0)]
            files = {name: (folder / name).open("a", encoding="utf-8", buffering=1) for name in _HEADS}
        self._files: dict[str, TextIO] = {name: self._open.enter_context(file) for name, file in files.items()}
        self.history = [] if step is None else [each for each in _points(folder / HISTORY) if each.step <= step]
        self.lacking = [name for name in short if name != SPEED]
        """Logs that were removed or cut short by others, so that lines of earlier steps are missing."""

    def __enter__(self) -> Logs:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            with writing(self._folder, "the log"):
                self._open.close()
        except ResourceError:
            if kind is None:  # else a line that found no room fails once more, and why the run ends is on its way
                raise

    def step(self, step: Step) -> None:
        """Write a line of each log."""
        values = {name: getattr(step, name) for name in COLUMNS}
        with writing(self._folder, "the log"):
            self._files[LOG].write(json.dumps(plain(values)) + "\n")
            self._files[TABLE].write(",".join(map(repr, values.values())) + "\n")
            rate = step.units / max(step.seconds, 1e-9)
            self._files[SPEED].write(f"{step.number},{step.seconds:.6f},{rate:.1f}\n")

    def validation(self, point: HistoryPoint) -> None:
        """Add a validation to the history."""
        self.history.append(point)
        points = [dataclasses.asdict(each) for each in self.history]
        with writing(self._folder, "the history"):
            write_whole(self._folder / HISTORY, json.dumps(points))

    def remarks(self, remarks: Sequence[Remark]) -> None:
        """Write all that stood out so far."""
        lines = [json.dumps(dataclasses.asdict(remark), ensure_ascii=False) + "\n" for remark in remarks]
        with writing(self._folder, "the remarks"):
            write_whole(self._folder / REMARKS, "".join(lines))

    def losses(self) -> list[float]:
        """The losses of the steps that are in the log, in order; none where others altered it."""
        try:
            with (self._folder / LOG).open(encoding="utf-8") as lines:
                return [float(json.loads(line)["loss"]) for line in lines]
        except (ValueError, KeyError, TypeError):
            return []

    def sync(self) -> None:
        """Wait until all that was written is on the disk: a checkpoint must not know of steps that no log has."""
        with writing(self._folder, "the log"):
            for file in self._files.values():
                file.flush()
                os.fsync(file.fileno())


def _cut(path: Path, head: str, step: int) -> bool:
    """Cut the log at `path` back to its head and the lines of the first `step` steps; whether they all were there."""
    if not path.is_file() or step == 0:
        path.write_text(head, encoding="utf-8")
        return step == 0
    lines, end = 0, 0
    with path.open("rb") as opened:
        for line in opened:
            if lines == step + bool(head) or not line.endswith(b"\n"):
                break
            lines, end = lines + 1, end + len(line)
    os.truncate(path, end)
    return lines == step + bool(head)


def _points(path: Path) -> list[HistoryPoint]:
    """The validations in the file, none where there is none."""
    try:
        return [HistoryPoint(**point) for point in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []
