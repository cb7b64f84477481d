"""TensorBoard: event files in the run's folder."""

from __future__ import annotations

from typing import ClassVar

from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.training.loop import Step
from modelwright.training.reporters import Subject, of_step, of_validation


class TensorBoard:
    """Writes `tensorboard/` in the run's folder; what a killed run wrote after its checkpoint is purged."""

    package: ClassVar[str] = "tensorboard"

    def __init__(self, subject: Subject) -> None:
        from torch.utils.tensorboard import SummaryWriter

        again = None if subject.after is None else subject.after + 1
        self._settings = subject.settings
        self._writer = SummaryWriter(str(subject.folder / "tensorboard"), purge_step=again)
        if again is None:
            rows = "\n".join(f"| {name} | {value} |" for name, value in subject.settings.items())
            self._writer.add_text("settings", f"| setting | value |\n|---|---|\n{rows}", 0)

    def step(self, step: Step) -> None:
        """See Reporter."""
        for name, value in of_step(step).items():
            self._writer.add_scalar(name, value, step.number)

    def validation(self, point: HistoryPoint) -> None:
        """See Reporter."""
        for name, value in of_validation(point, self._settings).items():
            self._writer.add_scalar(name, value, point.step)
        self._writer.flush()

    def end(self, status: str) -> None:
        """See Reporter."""
        self._writer.add_text("ended", status)
        self._writer.close()
