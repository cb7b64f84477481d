"""Draws how far a step is, on standard error: one live line on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from modelwright.cli.words import duration

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from modelwright.records import Progress

BETWEEN_SECONDS = 5.0
"""Between two lines of a step where there is no terminal: a log that can be read."""

NARROW = 60
"""Columns below which there is no room for a bar."""


class Display:
    """A callable that draws each Progress; leaves nothing behind on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live: RichProgress | None = None
        self._task: TaskID | None = None
        self._doing = ("", "")
        self._said = 0.0
        self._narrow = False

    def __enter__(self) -> Display:
        if self._stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as RichProgress

            console = Console(file=self._stream)
            self._narrow = console.width < NARROW
            bar = [] if self._narrow else [BarColumn(bar_width=20)]
            columns = [TextColumn("{task.description}", markup=False), *bar]
            columns.append(TextColumn("{task.fields[tail]}", markup=False))
            self._live = RichProgress(*columns, console=console, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()
        if self._live is not None:
            self._live.stop()

    def __call__(self, progress: Progress) -> None:
        """Show `progress`; what is to last is said on a line of its own."""
        if progress.lasting:
            self._keep(f"{progress.step}: {progress.lasting}")
        if self._live is None:
            self._say(progress)
            return
        doing = (progress.step, progress.what)
        if self._task is None or doing != self._doing:
            self.clear()
            self._task = self._live.add_task("", total=progress.total, tail="")
            self._doing = doing
        description = progress.step if self._narrow else f"{progress.step:<9} {progress.what}"
        self._live.update(
            self._task,
            description=description,
            completed=progress.done,
            total=progress.total,
            tail=tail(progress, short=self._narrow),
        )

    def clear(self) -> None:
        """Take the live line away: something else is about to be said."""
        if self._live is not None and self._task is not None:
            self._live.remove_task(self._task)
            self._live.refresh()
            self._task = None

    def _keep(self, text: str) -> None:
        if self._live is None:
            print(text, file=self._stream, flush=True)
        else:
            self._live.console.print(text, markup=False, highlight=False)

    def _say(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.step == self._doing[0] and now - self._said < BETWEEN_SECONDS:
            return
        self._doing, self._said = (progress.step, progress.what), now
        print(f"{progress.step}: {progress.what} {tail(progress)}".rstrip(), file=self._stream, flush=True)


def tail(progress: Progress, *, short: bool = False) -> str:
    """How far, how much is left, and the step's own remark."""
    parts = []
    if progress.total:
        of = f"{progress.done:,.0f}/{progress.total:,.0f} {progress.unit}".rstrip()
        parts.append(f"{min(1.0, progress.done / progress.total):.0%}" if short else of)
    elif progress.done:
        parts.append(f"{progress.done:,.0f} {progress.unit}".rstrip())
    if progress.seconds_left is not None:
        parts.append(f"{duration(progress.seconds_left)} left")
    if progress.note and not short:
        parts.append(progress.note)
    return " · ".join(parts)
