"""Several labels, and spans, through plan and train on the tiny encoder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelwright.data.parts import read_part, targets_N
from modelwright.data.spans import SPANS
from modelwright.evaluation.metrics import score
from modelwright.models.predictors import load_predictor
from modelwright.models.predictors.out_of_sample import load_out_of_sample
from modelwright.problem import Problem
from modelwright.records import Dataset, Run, Schema
from modelwright.training.job import Job, build
from modelwright.training.plan import plan
from modelwright.training.train import train

LABELS = ("card", "cash", "lost")


def sets(frame: pl.DataFrame) -> pl.Series:
    """Which of three words stand in each text."""
    return pl.Series("label", [sorted(set(text.split()) & set(LABELS)) for text in frame["text"]])


def spans(frame: pl.DataFrame) -> pl.Series:
    """Each of these words."""
    cells = []
    for text in frame["text"]:
        found, place = [], 0
        for word in text.split():
            if word in LABELS:
                found.append({"start": place, "end": place + len(word), "label": word})
            place += len(word) + 1
        cells.append(found)
    return pl.Series("label", cells, dtype=SPANS)


@pytest.fixture(params=["multilabel", "tagging"])
def several(request: pytest.FixtureRequest, text_dataset: Dataset) -> Dataset:
    output = sets if request.param == "multilabel" else spans
    for part in ("train", "validation"):
        path = Path(text_dataset.path) / f"{part}.parquet"
        frame = pl.read_parquet(path)
        frame.with_columns(output(frame)).write_parquet(path)
    schema = dataclasses.replace(text_dataset.schema, task=request.param, classes=LABELS)
    return dataclasses.replace(text_dataset, schema=schema, classes=LABELS)


def run_of(dataset: Dataset, problem: Problem, folder: Path) -> Run:
    made = plan(dataset, problem, folder=folder, metric="micro_f1", budget_seconds=600)
    where = {"folder": folder / "run", "project": folder}
    return train(dataset, made, metric="micro_f1", budget_seconds=600, **where)


def test_a_run_learns_and_its_predictor_answers_alike(several: Dataset, problem: Problem, tmp_path: Path) -> None:
    run = run_of(several, problem, tmp_path)
    assert run.validation["micro_f1"].value > 0.8
    predictor, validation = load_predictor(tmp_path / "run/predictor"), read_part(several, "validation")
    again, (_, kept) = predictor.predict(validation), load_out_of_sample(tmp_path / "run/predictor")
    if several.schema.task == "tagging":
        assert again.array.tolist() == kept.array.tolist()
    else:
        np.testing.assert_allclose(again.array, kept.array, atol=1e-6)
        again = kept
    found = score("micro_f1", several.schema, targets_N(several.schema, validation), again)
    assert found == pytest.approx(run.validation["micro_f1"].value)


def job_of(schema: Schema, dataset: Dataset, base: Path) -> Job:
    settings = {"max_length": 8, "batch_size": 16, "seed": 0, "rank": 0, "smoothing": 0.0, "vary": False}
    parts = (read_part(dataset, "train"), read_part(dataset, "validation"))
    return build(schema, *parts, base=base, settings={**settings, "image_size": 0})


@pytest.mark.parametrize("several", ["tagging"], indirect=True)
def test_long_texts_are_learned_from_in_windows_and_judged_whole(several: Dataset, tiny_encoder: Path) -> None:
    """Windows of 8 tokens hold 6 words; texts of up to 12 need several, and each word has one target in all."""
    job = job_of(several.schema, several, tiny_encoder)
    assert len(job.examples) > 180 and len(job.validation) == 60
    words = sum(len(text.split()) for text in read_part(several, "train")["text"])
    assert (job.examples.targets >= 0).sum() == words
    batch = job.fetch(np.arange(4))
    assert batch.targets.shape == batch.inputs["input_ids"].shape
    assert len(job.predictor.answers(job.predictor.outputs(job.validation.features))) == 60


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_adapters_and_lean_rows_work_for_tokens_too(several: Dataset, problem: Problem, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    model = problem.model.model_copy(update={"method": "lora"})
    run = run_of(several, problem.model_copy(update={"model": model}), tmp_path)
    assert run.validation["micro_f1"].value > 0.2 and (tmp_path / "run/adapters/adapter_config.json").exists()
