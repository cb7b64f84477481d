"""The end of a run: probabilities are calibrated, the predictor is saved, the record is made and kept beside it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter
from pydantic_core import to_json

from modelwright.data.parts import read_part, targets_N
from modelwright.errors import IntegrityError
from modelwright.evaluation.decision import decided
from modelwright.evaluation.intervals import all_intervals
from modelwright.models.predictors import save_predictor
from modelwright.models.predictors.out_of_sample import save_out_of_sample
from modelwright.models.predictors.transformer import outputs_NK
from modelwright.records import POSITION, Dataset, Plan, Remark, Run, digest, identify
from modelwright.training import checkpoint as checkpoints
from modelwright.training.basis import Basis, not_exact
from modelwright.training.calibrate import best_temperature
from modelwright.training.course import Course, Status
from modelwright.training.job import Job

RECORD = "run.json"
"""The record and what it rests on: a call that was killed after training, before its record was stored, finds it."""


def finish(
    job: Job, dataset: Dataset, plan: Plan, course: Course, status: Status, remarks: Sequence[Remark], *, folder: Path
) -> Run:
    """The record of a run whose network holds the best weights in the shape that is saved; they are saved here."""
    schema = dataset.schema
    validation = read_part(dataset, "validation")
    outputs = outputs_NK(job.network, job.validation.features)
    predictor = job.predictor
    if schema.task == "classification":
        temperature = best_temperature(outputs, job.validation.targets_N)
        predictor.preparation = dataclasses.replace(predictor.preparation, temperature=temperature)
    how = {"scratch": "trained from scratch", "full": "fine-tuned"}.get(plan.method, f"{plan.method} merged in")
    predictor.preparation = dataclasses.replace(predictor.preparation, describes=f"{plan.model}, {how}")
    metric, truth_N = job.settings["metric"], targets_N(schema, validation)
    saved, answers = decided(predictor, predictor.answers(outputs), metric, truth_N, seed=job.settings["seed"])
    save_predictor(saved, folder / "predictor")
    save_out_of_sample(folder / "predictor", validation[POSITION].to_numpy(), answers)
    weights = {p.name: checkpoints.file_sha256(p) for p in sorted((folder / "predictor").rglob("*.safetensors"))}
    expected, share = plan.estimate, course.step / job.settings["steps"]  # a run may stop early
    record = Run(
        id="",
        plan_id=plan.id,
        path=str(folder),
        weights_sha256=digest(weights),
        status=status,
        steps=course.step,
        best_step=course.best_step,
        train_loss=course.train_loss,
        validation=all_intervals(schema, truth_N, answers),
        seconds=course.seconds,
        peak_memory_bytes=course.peak_memory_bytes,
        forecast_error={
            "seconds": course.seconds / (expected.seconds.value * share) - 1,
            "peak_memory_bytes": course.peak_memory_bytes / expected.peak_memory_bytes.value - 1,
        },
        not_exact=tuple(course.not_exact),
        remarks=tuple(remarks),
    )
    identified: Run = identify(record)
    return identified


def keep(run: Run, basis: Basis, folder: Path) -> None:
    """Put the record beside what it is about; only then are the checkpoints, which are not needed any more, removed."""
    for path in (*(folder / "predictor").rglob("*"), folder):
        checkpoints.sync(path)
    kept = {"basis": dataclasses.asdict(basis), "run": json.loads(to_json(run, inf_nan_mode="strings"))}
    checkpoints.write_whole(folder / RECORD, json.dumps(kept))
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def finished(basis: Basis, folder: Path) -> Run | None:
    """The record that `keep` put there, where it is of the same plan, data and model."""
    try:
        kept = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        run = TypeAdapter(Run).validate_python(kept["run"])
        changed = not_exact(kept["basis"], basis, step=run.steps, folder=folder)
    except (OSError, ValueError, KeyError, TypeError, IntegrityError):
        return None
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    found = dataclasses.replace(run, path=str(folder), not_exact=(*run.not_exact, *changed))
    identified: Run = identify(found)
    return identified
