"""Where a run is reported besides its own logs: to a service that the person uses already. Optional, each by name.

A reporter hears of the settings, every step, every validation and the end. One that fails while training is let go
and named: no service may cost a run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from modelwright.errors import Fault, InputError
from modelwright.registry import Table
from modelwright.training.checkpoint import write_whole

if TYPE_CHECKING:
    from modelwright.evaluation.diagnose import HistoryPoint
    from modelwright.training.loop import Step

REPORTERS = Table(
    "reporter",
    {
        "tensorboard": "modelwright.training.reporters.tensorboard:TensorBoard",
        "mlflow": "modelwright.training.reporters.mlflow:MLflow",
        "wandb": "modelwright.training.reporters.wandb:WeightsAndBiases",
        "trackio": "modelwright.training.reporters.trackio:Trackio",
        "memory": "modelwright.training.reporters.memory:Memory",
    },
)
IDS = "reports.json"
"""In the run's folder: under which id each service knows the run, so that it goes on there."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is reported.

    Args:
        project: What the person calls it.
        folder: The run's own; its name is the run's.
        settings: The plan's, by name.
        after: Steps that were done before; None for a new run.
    """

    project: str
    folder: Path
    settings: dict[str, Any]
    after: int | None = None

    def id_with(self, service: str) -> str | None:
        """The id under which `service` knows the run, if it was told of it before and the run goes on."""
        return None if self.after is None else _ids(self.folder).get(service)

    def keep_id(self, service: str, known_as: str) -> None:
        """Remember the id under which `service` knows the run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ids = {**_ids(self.folder), service: known_as}
        write_whole(self.folder / IDS, json.dumps(ids))


class Reporter(Protocol):
    """A service that hears of one run; made with its Subject."""

    package: ClassVar[str]  # that must be installed

    def __init__(self, subject: Subject) -> None: ...

    def step(self, step: Step) -> None:
        """A step was done."""

    def validation(self, point: HistoryPoint) -> None:
        """A validation was made."""

    def end(self, status: str) -> None:
        """The run has ended: completed, stopped_early, budget, pruned or failed."""


class Reports:
    """All reporters of a run.

    Args:
        names: Of REPORTERS.
        subject: What is reported.
        tell: Given a sentence where a reporter had to be let go.

    Raises:
        InputError: a reporter is unknown, not installed, or cannot be opened.
    """

    def __init__(self, names: Sequence[str], subject: Subject, *, tell: Callable[[str], None]) -> None:
        check(names)
        self._tell = tell
        self._open: dict[str, Reporter] = {}
        for name in names:
            try:
                self._open[name] = REPORTERS[name](subject)
            except Exception as error:  # whatever the service raises: it is said, and nothing has been trained yet
                todo = f"see to {name}, or train without it"
                raise InputError(Fault("--report-to", f"{name} cannot be opened: {error}", "", todo)) from error

    def step(self, step: Step) -> None:
        """Tell all of a step."""
        self._each(lambda reporter: reporter.step(step))

    def validation(self, point: HistoryPoint) -> None:
        """Tell all of a validation."""
        self._each(lambda reporter: reporter.validation(point))

    def end(self, status: str) -> None:
        """Tell all that it has ended."""
        self._each(lambda reporter: reporter.end(status))

    def _each(self, call: Callable[[Reporter], None]) -> None:
        for name, reporter in list(self._open.items()):
            try:
                call(reporter)
            except Exception as error:  # whatever the service raises must not cost the run
                del self._open[name]
                self._tell(f"{name} is not told any more: {type(error).__name__}: {error}; the logs here are whole")


def check(names: Sequence[str]) -> None:
    """See that all are known and installed.

    Raises:
        InputError: with each that is not.
    """
    missing = [name for name in names if not find_spec(REPORTERS[name].package)]
    if missing:
        raise InputError(
            Fault("--report-to", f"{name} is not installed", "", f"run: pip install {REPORTERS[name].package}")
            for name in missing
        )


def of_step(step: Step) -> dict[str, float]:
    """The figures of a step under the names that such services group by."""
    return {
        "train/loss": step.loss,
        "train/learning_rate": step.learning_rate,
        "train/gradient_norm": step.gradient_norm,
        "train/epoch": step.epoch,
        "train/units_per_second": step.units / max(step.seconds, 1e-9),
    }


def of_validation(point: HistoryPoint, settings: dict[str, Any]) -> dict[str, float]:
    """The figures of a validation under such names; those that were not measured are left out."""
    metric = settings.get("metric", "score")
    found = {
        "validation/loss": point.validation_loss,
        f"validation/{metric}": point.validation_score,
        "validation/loss_on_training_examples": point.train_loss,
        f"validation/{metric}_on_training_examples": point.train_score,
    }
    return {name: value for name, value in found.items() if value is not None}


def _ids(folder: Path) -> dict[str, str]:
    """The ids that were kept; none where the file was damaged: a report that begins anew costs less than the run."""
    try:
        return dict(json.loads((folder / IDS).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return {}
