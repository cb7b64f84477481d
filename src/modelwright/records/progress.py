"""How far a step is while it is taken; kept nowhere."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a step is; steps hand it to a callback, the command line draws it."""

    step: str  # "prepare", "ladder", "train"...
    what: str  # what is being done now, a short phrase
    done: float
    total: float | None = None
    unit: str = ""
    seconds_left: float | None = None
    note: str = ""
    lasting: str = ""  # to be shown on a line that stays
