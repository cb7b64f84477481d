"""Says what a command found, and turns what went wrong into one message and an exit code.

0 done; 1 the work says no; 2 the user's input is at fault; 70 a fault of ours, with the log to send;
130 interrupted.
"""

from __future__ import annotations

import io
import json
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from modelwright.cli.progress import Display
from modelwright.cli.quiet import Streams, quiet
from modelwright.cli.words import place
from modelwright.errors import InputError, IntegrityError, ModelwrightError, RefusedError, ResourceError

if TYPE_CHECKING:
    from modelwright.cli.story import Line

REFUSED, INPUT, OURS, INTERRUPTED, PIPE = 1, 2, 70, 130, 141
"""Exit codes; 70 is EX_SOFTWARE of sysexits.h, 130 and 141 are 128 + SIGINT and SIGPIPE, as shells say."""

LABEL_WIDTH = 10


class Speaker:
    """Standard output for the record, standard error for the rest.

    Args:
        streams: Where to speak.
        display: The progress line, which must make way when something is said.
        as_json: One JSON object on standard output and nothing else.
    """

    def __init__(self, streams: Streams, display: Display, *, as_json: bool) -> None:
        self.streams, self.display, self.as_json = streams, display, as_json
        self.exit_code = 0

    def tell(self, lines: Iterable[Line]) -> None:
        """Say lines of the story, unless JSON was asked for."""
        if not self.as_json:
            self.display.clear()
            for label, text in lines:
                _write_line(self.streams.out, label, text)

    def answer(self, record: Any) -> None:
        """Say the one JSON object, if JSON was asked for."""
        if self.as_json:
            self._json(record)

    def note(self, text: str) -> None:
        """Say something by the way, on standard error."""
        self.display.clear()
        print(text, file=self.streams.err, flush=True)

    def fail(self, error: BaseException) -> int:
        """Say what went wrong; the exit code that goes with it."""
        self.display.clear()
        if isinstance(error, InputError):
            for fault in error.faults:
                self.note(str(fault))
            self.answer({"faults": error.faults})
            return INPUT
        if isinstance(error, KeyboardInterrupt):
            self.note("interrupted: run the same command again to go on")
            return INTERRUPTED
        if isinstance(error, ModelwrightError):
            kind = {RefusedError: "refused", IntegrityError: "damaged", ResourceError: "too little"}
            name = next((said for each, said in kind.items() if isinstance(error, each)), "refused")
            self.note(str(error))
            self.answer({name: str(error)})
            return REFUSED
        return self._ours(error)

    def _ours(self, error: BaseException) -> int:
        self.streams.keep_log = True
        with self.streams.log.open("a", encoding="utf-8") as log:
            log.write(f"\n{datetime.now().astimezone().isoformat(' ', 'seconds')} {' '.join(sys.argv)}\n")
            log.writelines(traceback.format_exception(error))
        said = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        self.note(
            f"something went wrong that is not your fault: {said}\n"
            f"what happened is in {place(self.streams.log)}; what was finished is kept"
        )
        self.answer({"error": said, "log": str(self.streams.log)})
        return OURS

    def _json(self, record: Any) -> None:
        from modelwright.records import plain

        print(json.dumps(plain(record), ensure_ascii=False), file=self.streams.out, flush=True)


@contextmanager
def speaking(folder: Path | None, *, as_json: bool) -> Iterator[Speaker]:
    """A speaker for one command in the project at `folder`; leaves by `typer.Exit` with the exit code."""
    import typer

    from modelwright.problem import FILE, WORK

    code = 0
    log = folder / WORK / "log" if folder is not None and (folder / FILE).is_file() else None
    with quiet(log) as streams, Display(streams.err) as display:
        speaker = Speaker(streams, display, as_json=as_json)
        try:
            yield speaker
            code = speaker.exit_code
        except BrokenPipeError:
            code = PIPE
        except (Exception, KeyboardInterrupt) as error:
            try:
                code = speaker.fail(error)
            except BrokenPipeError:
                code = PIPE
    raise typer.Exit(code)


def _write_line(stream: TextIO, label: str, text: str) -> None:
    """A label and what is said, wrapped beside the label where the terminal is narrow."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = stream.isatty()
    width = None if terminal or "COLUMNS" in os.environ else 100_000  # a pipe gets whole lines
    written = io.StringIO()  # rich would answer a broken pipe by ending the process
    console = Console(file=written, width=width, highlight=False, force_terminal=terminal)
    grid = Table.grid(padding=0)
    grid.add_column(width=LABEL_WIDTH, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(label, style="bold"), Text(text))
    console.print(grid)
    stream.writelines(f"{line.rstrip()}\n" for line in written.getvalue().splitlines())
    stream.flush()
