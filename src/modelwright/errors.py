"""The error tree. Each kind also is the builtin that it refines, so either can be caught.

ModelwrightError
├── InputError (ValueError)          the user's input is at fault; carries every Fault found; exit 2
│   ├── ProblemError                 problem.yaml
│   ├── SourceError                  the data: missing, empty, unreadable, of an unusable shape
│   └── UnknownNameError (KeyError)  a name that is in no table; offers the nearest
├── RefusedError (RuntimeError)      the work says no; exit 1
│   └── SealError                    the sealed test part may not be read, or its ledger is broken
├── IntegrityError (OSError)         a stored file is not what its manifest says
└── ResourceError (MemoryError)      this machine cannot hold what was asked for
    └── LostWorkerError              a process or machine that shared the work is gone
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the user's input: where, what was found, what was expected, what to do."""

    where: str
    found: str
    expected: str = ""
    todo: str = ""

    def __str__(self) -> str:
        parts = [f"{self.where}: {self.found}"]
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.todo:
            parts.append(self.todo)
        return "; ".join(parts)


class ModelwrightError(Exception):
    """The root of every error that Modelwright raises on purpose."""


class InputError(ModelwrightError, ValueError):
    """The user's input is at fault: holds all faults at once, in `faults`."""

    def __init__(self, faults: Fault | Iterable[Fault]) -> None:
        self.faults: tuple[Fault, ...] = (faults,) if isinstance(faults, Fault) else tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))

    def __reduce__(self) -> tuple[type[InputError], tuple[tuple[Fault, ...]]]:
        return type(self), (self.faults,)  # an error of another process is made again from its faults


class ProblemError(InputError):
    """problem.yaml is missing, malformed or contradicts itself."""


class SourceError(InputError):
    """The data cannot be read or cannot be learned from."""


class UnknownNameError(InputError, KeyError):
    """A name that is in no table; the fault's `todo` offers the nearest."""

    def __str__(self) -> str:  # KeyError would show the repr
        return "\n".join(map(str, self.faults))


class RefusedError(ModelwrightError, RuntimeError):
    """The work says no: nothing is wrong with the input, the answer is no."""


class SealError(RefusedError):
    """The sealed test part may not be read (no looks left), or its ledger does not verify."""


class IntegrityError(ModelwrightError, OSError):
    """A stored file is missing, truncated or altered: its SHA-256 is not the one in its manifest."""


class ResourceError(ModelwrightError, MemoryError):
    """This machine cannot hold what was asked for; the message says what would fit."""


class LostWorkerError(ResourceError):
    """One of several workers is gone (killed, out of memory, its machine lost); the work can be gone on with."""
