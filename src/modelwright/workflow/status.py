"""Where a project stands, and the next step."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from modelwright.workflow.steps import STEPS

if TYPE_CHECKING:
    from modelwright.workflow.project import Project

State = Literal["done", "changed", "open", "not needed"]


@dataclass(frozen=True, slots=True)
class Standing:
    """One step: `changed` says that its record belongs to inputs that are no more."""

    step: str
    state: State
    id: str | None = None
    made_at: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """Every step in order, the state of the seal, and the next command."""

    folder: str
    name: str
    steps: tuple[Standing, ...]
    looks_used: int | None
    looks_allowed: int | None
    next: str


def status(project: Project) -> Status:
    """Where `project` stands; makes nothing.

    Raises:
        RefusedError: a process is at work in the folder.
        SealError: the ledger of the test part does not verify.
    """
    from modelwright.data.seal import open_seal

    with project.working() as store:
        records: dict[str, Any] = {kind: project.current(kind) for kind in STEPS}
        records["report"] = project.current("report", split="test") or records["report"]
        stop = records["verdict"] is not None and records["verdict"].decision == "stop"
        standings = []
        for kind, step in STEPS.items():
            latest = store.entry(kind)
            record = records[kind]
            if record is not None:
                state: State = "done"
            elif stop and kind in ("plan", "run"):
                state = "not needed"
            else:
                state = "changed" if latest else "open"
            made_at = latest.made_at.isoformat() if latest and record is not None else None
            standings.append(Standing(step.verb, state, record.id if record else None, made_at))
        seal = open_seal(records["dataset"]) if records["dataset"] else None
        return Status(
            folder=str(project.folder),
            name=project.problem.name,
            steps=tuple(standings),
            looks_used=seal.looks_used if seal else None,
            looks_allowed=seal.looks_allowed if seal else None,
            next=_next(standings, records["package"], project.folder),
        )


def _next(standings: list[Standing], package: Any | None, folder: Path) -> str:
    """The command to give now."""
    if package is not None:
        return f"modelwright serve {os.path.relpath(package.path)}"
    waiting = next(each.step for each in standings if each.state in ("open", "changed"))
    verb = "run" if waiting == "prepare" else waiting
    here = os.path.relpath(folder)
    return f"modelwright {verb}" if here == "." else f"modelwright {verb} {here}"
