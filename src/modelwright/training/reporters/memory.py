"""The reporter that only remembers: for tests, here and in what builds on this."""

from __future__ import annotations

from typing import ClassVar

from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.training.loop import Step
from modelwright.training.reporters import Subject


class Memory:
    """Keeps all that it is told; `opened` has every one that was made, the newest last."""

    package: ClassVar[str] = "modelwright"
    opened: ClassVar[list[Memory]] = []

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.known_as = subject.id_with("memory") or f"run {len(Memory.opened)}"
        subject.keep_id("memory", self.known_as)
        self.steps: list[Step] = []
        self.validations: list[HistoryPoint] = []
        self.status: str | None = None
        Memory.opened.append(self)

    def step(self, step: Step) -> None:
        """See Reporter."""
        self.steps.append(step)

    def validation(self, point: HistoryPoint) -> None:
        """See Reporter."""
        self.validations.append(point)

    def end(self, status: str) -> None:
        """See Reporter."""
        self.status = status
