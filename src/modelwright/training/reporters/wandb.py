"""Weights & Biases, as WANDB_MODE, WANDB_PROJECT and their kin have it."""

from __future__ import annotations

import os
import uuid
from typing import ClassVar

from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.training.loop import Step
from modelwright.training.reporters import Subject, of_step, of_validation


class WeightsAndBiases:
    """A run in the project of that name; a run that goes on keeps its id; known steps are not sent twice."""

    package: ClassVar[str] = "wandb"

    def __init__(self, subject: Subject) -> None:
        import wandb

        self._settings = subject.settings
        known_as = subject.id_with("wandb") or uuid.uuid4().hex[:8]
        subject.keep_id("wandb", known_as)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", subject.project),
            name=subject.folder.name,
            id=known_as,
            resume="allow",
            config=subject.settings,
            dir=str(subject.folder),
        )

    def step(self, step: Step) -> None:
        """See Reporter."""
        self._run.log(of_step(step), step=step.number)

    def validation(self, point: HistoryPoint) -> None:
        """See Reporter."""
        self._run.log(of_validation(point, self._settings), step=point.step)

    def end(self, status: str) -> None:
        """See Reporter."""
        self._run.summary["status"] = status
        self._run.finish(exit_code=int(status == "failed"))
