"""MLflow: the tracking server in MLFLOW_TRACKING_URI, else MLflow's own default on this machine."""

from __future__ import annotations

from typing import ClassVar

from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.training.loop import Step
from modelwright.training.reporters import Subject, of_step, of_validation


class MLflow:
    """A run in the experiment that is called as the project; a run that goes on is gone on with there."""

    package: ClassVar[str] = "mlflow"

    def __init__(self, subject: Subject) -> None:
        from mlflow import MlflowClient

        self._settings = subject.settings
        self._client = MlflowClient()
        known_as = subject.id_with("mlflow")
        if known_as is None:
            experiment = self._client.get_experiment_by_name(subject.project)
            of = experiment.experiment_id if experiment else self._client.create_experiment(subject.project)
            known_as = str(self._client.create_run(of, run_name=subject.folder.name).info.run_id)
            for name, value in subject.settings.items():
                self._client.log_param(known_as, name, value)
            subject.keep_id("mlflow", known_as)
        else:
            self._client.update_run(known_as, status="RUNNING")
        self._run = known_as

    def step(self, step: Step) -> None:
        """See Reporter."""
        self._log(of_step(step), step.number)

    def validation(self, point: HistoryPoint) -> None:
        """See Reporter."""
        self._log(of_validation(point, self._settings), point.step)

    def end(self, status: str) -> None:
        """See Reporter."""
        self._client.set_tag(self._run, "status", status)
        self._client.set_terminated(self._run, "FAILED" if status == "failed" else "FINISHED")

    def _log(self, figures: dict[str, float], step: int) -> None:
        for name, value in figures.items():  # not waited for: a server may be far
            self._client.log_metric(self._run, name, value, step=step, synchronous=False)
