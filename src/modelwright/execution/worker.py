"""One of several local workers: `python -m modelwright.execution.worker DESCRIPTOR`, that of the line to the caller."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from multiprocessing.connection import Connection

from modelwright.errors import ModelwrightError
from modelwright.records import Progress


def main(descriptor: int) -> None:
    """Take work from the line, do it, and send back what came of it."""
    line = Connection(descriptor)
    work, arguments = line.recv()
    threading.Thread(target=_end_with_the_caller, args=[line], daemon=True).start()

    def tell(progress: Progress) -> None:
        if arguments["place"].rank == 0:
            line.send(("told", progress))

    try:
        outcome = ("done", work(progress=tell, **arguments))
    except ModelwrightError as error:
        outcome = ("raised", error)
    except Exception:  # of any library, perhaps one that cannot be sent
        outcome = ("raised", RuntimeError(f"a worker failed:\n{traceback.format_exc()}"))
    line.send(outcome)


def _end_with_the_caller(line: Connection) -> None:
    """Nothing more is sent here, so this returns when the caller is gone: then nobody wants the work."""
    try:
        line.recv()
    except (EOFError, OSError):
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
