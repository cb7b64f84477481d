"""Trackio: a local dashboard, or a Space, as TRACKIO_SPACE_ID has it."""

from __future__ import annotations

from typing import ClassVar

from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.training.loop import Step
from modelwright.training.reporters import Subject, of_step, of_validation


class Trackio:
    """A run in the project of that name; a run that goes on is gone on with there."""

    package: ClassVar[str] = "trackio"

    def __init__(self, subject: Subject) -> None:
        import trackio

        self._settings = subject.settings
        goes_on = subject.id_with("trackio") is not None
        subject.keep_id("trackio", subject.folder.name)
        self._run = trackio.init(
            project=subject.project,
            name=subject.folder.name,
            config=subject.settings,
            resume="allow" if goes_on else "never",
        )

    def step(self, step: Step) -> None:
        """See Reporter."""
        self._run.log(of_step(step), step=step.number)

    def validation(self, point: HistoryPoint) -> None:
        """See Reporter."""
        self._run.log(of_validation(point, self._settings), step=point.step)

    def end(self, status: str) -> None:
        """See Reporter."""
        self._run.finish()
