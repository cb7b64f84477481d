"""The end of a run: probabilities are calibrated, the predictor is saved, the record is made and kept beside it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

from pydantic import TypeAdapter
from pydantic_core import to_json

from modelwright.data.parts import read_part, targets_N
from modelwright.disk import file_sha256, sync, sync_all
from modelwright.errors import IntegrityError
from modelwright.evaluation.decision import decided
from modelwright.evaluation.intervals import all_intervals
from modelwright.models.predictors import save_predictor
from modelwright.models.predictors.out_of_sample import save_out_of_sample
from modelwright.records import POSITION, Dataset, Plan, Run, digest, identify
from modelwright.training import checkpoint as checkpoints
from modelwright.training.basis import Basis, changes
from modelwright.training.calibrate import best_temperature
from modelwright.training.course import Clock, Status
from modelwright.training.estimate import dollars_of, off_by
from modelwright.training.job import Job
from modelwright.training.memory import Peak
from modelwright.training.underway import UnderWay

RECORD = "run.json"
"""The record and what it rests on: a call that was killed after training, before its record was stored, finds it."""


def finish(
    job: Job, dataset: Dataset, plan: Plan, under: UnderWay, status: Status, *, clock: Clock, peak: Peak, folder: Path
) -> Run:
    """The record of a run whose network holds the best weights in the shape that is saved; they are saved here."""
    schema, course = dataset.schema, under.course
    validation = read_part(dataset, "validation")
    predictor = job.predictor
    outputs = predictor.outputs(job.validation.features)
    if schema.task == "classification":
        temperature = best_temperature(outputs, job.validation.truth_N)
        predictor.preparation = dataclasses.replace(predictor.preparation, temperature=temperature)
    how = {"scratch": "trained from scratch", "full": "fine-tuned"}.get(plan.method, f"{plan.method} merged in")
    predictor.preparation = dataclasses.replace(predictor.preparation, describes=f"{plan.model}, {how}")
    metric, truth_N = job.settings["metric"], targets_N(schema, validation)
    plain = predictor.predict(validation) if schema.task == "generation" else predictor.answers(outputs)
    saved, answers = decided(predictor, plain, metric, truth_N, seed=job.settings["seed"])
    save_predictor(saved, folder / "predictor")
    save_out_of_sample(folder / "predictor", validation[POSITION].to_numpy(), answers)
    weights = {p.name: file_sha256(p) for p in sorted((folder / "predictor").rglob("*.safetensors"))}
    figures = all_intervals(schema, truth_N, answers)
    seconds, most = clock.seconds, max(course.peak_memory_bytes, peak.bytes)
    disk_bytes = max(under.disk_bytes, checkpoints.folder_bytes(folder))
    share = course.step / job.settings["steps"]  # a run may stop early
    record = Run(
        id="",
        plan_id=plan.id,
        path=str(folder),
        weights_sha256=digest(weights),
        status=status,
        steps=course.step,
        best_step=course.best_step,
        train_loss=course.train_loss,
        validation=figures,
        seconds=seconds,
        peak_memory_bytes=most,
        forecast_error=off_by(
            plan.estimate,
            share=share,
            seconds=seconds,
            peak_memory_bytes=most,
            disk_bytes=disk_bytes,
            held_bytes=peak.held,
        ),
        not_exact=tuple(course.not_exact),
        remarks=tuple(under.watch.remarks),
        disk_bytes=disk_bytes,
        cost=dollars_of(plan.estimate, seconds),
    )
    identified: Run = identify(record)
    return identified


def keep(run: Run, basis: Basis, folder: Path) -> None:
    """Put the record beside what it is about; only then are the checkpoints, which are not needed any more, removed."""
    sync_all(folder / "predictor")
    sync(folder)
    kept = {"basis": dataclasses.asdict(basis), "run": json.loads(to_json(run, inf_nan_mode="strings"))}
    checkpoints.write_whole(folder / RECORD, json.dumps(kept))
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def finished(basis: Basis, folder: Path) -> Run | None:
    """The record that `keep` put there, where it is of the same plan, data and model."""
    try:
        kept = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        run = TypeAdapter(Run).validate_python(kept["run"])
        changed = changes(kept["basis"], basis, step=run.steps, folder=folder)
    except (OSError, ValueError, KeyError, TypeError, IntegrityError):
        return None
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    found = dataclasses.replace(run, path=str(folder), not_exact=(*run.not_exact, *changed))
    identified: Run = identify(found)
    return identified
