"""Records curves.json: losses and validations of real small trainings, healthy ones and others that were provoked.

    python tests/training/record_curves.py SHARED_DATA

Run it again only where the curves are wanted anew (ten minutes on two cores); the tests read what it wrote.
"""

from __future__ import annotations

import csv
import json
import runpy
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

from modelwright.data.parts import read_part, targets_N
from modelwright.errors import RefusedError
from modelwright.models.encode import find_encoder
from modelwright.problem import parse
from modelwright.records import POSITION, Column, Dataset, Schema, Seal, Setting
from modelwright.training.plan import plan
from modelwright.training.train import train

HERE = Path(__file__).resolve().parent
FAULTS = runpy.run_path(str(HERE.parent / "faults/kinds.py"))
TEXTS = runpy.run_path(str(HERE / "conftest.py"))["texts"]
Case = tuple[str, pl.DataFrame | None, Any, dict[str, Any], dict[str, Any]]


def written(folder: Path, frame: pl.DataFrame, *, task: Any = "classification") -> Dataset:
    folder.mkdir()
    frame = frame.with_columns(pl.Series(POSITION, np.arange(len(frame))))
    cut = len(frame) * 3 // 4
    frame[:cut].write_parquet(folder / "train.parquet")
    frame[cut:].write_parquet(folder / "validation.parquet")
    classes = tuple(sorted(frame["label"].unique())) if task == "classification" else ()
    kind: Any = "text" if "text" in frame.columns else "image"
    schema = Schema(task, kind, (Column(kind, kind),), "label", classes)
    parts = {"train": cut, "validation": len(frame) - cut, "test": 0}
    return Dataset("d", str(folder), schema, parts, classes, {}, (), Seal(0, 0, 20), "", "", "", 0.0)


def noisy(frame: pl.DataFrame, share: float) -> pl.DataFrame:
    """`frame` with that share of its labels drawn anew."""
    generator, classes = np.random.default_rng(2), sorted(frame["label"].unique())
    drawn = [
        str(generator.choice(classes)) if generator.random() < share else label for label in frame["label"].to_list()
    ]
    return frame.with_columns(pl.Series("label", drawn))


def valued(frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with a heavy-tailed number in the place of its label."""
    generator = np.random.default_rng(3)
    number = frame["label"].str.slice(-1).cast(pl.Float64) + 0.3 * generator.standard_t(2.5, size=len(frame))
    return frame.with_columns(number.alias("label"))


def shared(data: Path, name: str, count: int) -> pl.DataFrame:
    if name == "banking":
        frame = pl.read_csv(data / "text/banking77_train.csv").rename({"category": "label"})
        kept = frame["label"].value_counts(sort=True)["label"].to_list()[:12]
        frame = frame.filter(pl.col("label").is_in(kept))
    else:
        rows = list(csv.reader((data / "text/sms_spam.tsv").open(encoding="utf-8"), delimiter="\t", quoting=3))
        frame = pl.DataFrame({"text": [row[1] for row in rows], "label": [row[0] for row in rows]})
    return frame.sample(min(count, len(frame)), seed=0, shuffle=True).select("text", "label")


def cases(data: Path, tiny: Path) -> Iterator[Case]:
    """Name, examples (None: images), task, training and model settings; a name says what is expected after a `:`."""
    many, fit, long = TEXTS(1600, seed=1), {"epochs": 5, "batch_size": 16}, {"epochs": 30, "batch_size": 16}
    own, encoder = {"base": str(tiny)}, {"base": str(find_encoder())}
    for rate in (3e-4, 1e-3, 3e-3):
        yield f"words at {rate:g}", many, "classification", {**fit, "learning_rate": rate}, own
    yield "words, small batches", many, "classification", {"epochs": 3, "batch_size": 4, "learning_rate": 5e-4}, own
    yield "words, 30% of labels drawn", noisy(many, 0.3), "classification", {**fit, "learning_rate": 1e-3}, own
    yield "words, numbers with tails", valued(many), "regression", {**fit, "learning_rate": 1e-3}, own
    yield "words, adapters", many, "classification", {**fit, "learning_rate": 5e-3}, {**own, "method": "lora"}
    yield "images from scratch", None, "classification", {**long, "learning_rate": 2e-3}, {}
    for name in ("banking", "spam"):
        yield name, shared(data, name, 900), "classification", {"epochs": 3, "batch_size": 8}, encoder
    yield "banking: lost", shared(data, "banking", 900), "classification", {**fit, "learning_rate": 5e-3}, encoder
    yield "words: lost", many, "classification", {**fit, "learning_rate": 1e-1}, own
    yield "numbers: lost", valued(many), "regression", {**fit, "learning_rate": 1e-1}, own
    yield (
        "images, a rough beginning",
        None,
        "classification",
        {**long, "learning_rate": 2e-1},
        {},
    )
    random_labels = noisy(TEXTS(200, seed=1), 1.0)
    yield (
        "words: overfitting",
        random_labels,
        "classification",
        {**long, "batch_size": 8, "learning_rate": 2e-3},
        own,
    )
    yield "words: slow", many, "classification", {**fit, "learning_rate": 1e-7}, {**own, "head": "random"}


def recorded(folder: Path, case: Case) -> dict[str, Any]:
    """The curve of one training, which no patience ends; one that is refused has what it came to."""
    name, frame, task, training, model = case
    dataset = FAULTS["images"](folder / "data") if frame is None else written(folder / "data", frame, task=task)
    stated = {"name": "x", "output": "label", "data": {"source": "none"}}
    named = {key: value for key, value in model.items() if key != "head"}
    problem, _ = parse({**stated, "model": named, "training": {"precision": "fp32", **training}})
    metric = "r2" if task == "regression" else "accuracy"
    made = plan(dataset, problem, folder=folder, metric=metric, budget_seconds=3600)
    made.settings["patience"] = Setting(99, "never")
    if "head" in model:
        made.settings["head"] = Setting(model["head"], "asked")
    with suppress(RefusedError):
        train(dataset, made, metric=metric, folder=folder / "run", project=folder, budget_seconds=3600)
    lines = [json.loads(line) for line in (folder / "run/log.jsonl").read_text().splitlines()]
    points = json.loads((folder / "run/history.json").read_text())
    targets = targets_N(dataset.schema, read_part(dataset, "train"))
    told = ("train_loss", "validation_loss", "validation_score")
    return {
        "name": name,
        "steps": made.settings["steps"].value,
        "smoothing": made.settings["smoothing"].value,
        "counts": np.bincount(targets).tolist() if task == "classification" else [],
        "losses": [rounded(line["loss"]) for line in lines],
        "points": [[point["step"], *(rounded(point[key]) for key in told)] for point in points],
    }


def rounded(value: float) -> float:
    return float(f"{value:.4g}")


if __name__ == "__main__":
    curves = []
    with TemporaryDirectory() as tiny:
        runpy.run_path(str(HERE.parent / "conftest.py"))["write_tiny_encoder"](Path(tiny))
        for case in cases(Path(sys.argv[1]), Path(tiny)):
            with TemporaryDirectory() as place:
                curves.append(recorded(Path(place), case))
    (HERE / "curves.json").write_text(json.dumps(curves, separators=(",", ":")) + "\n")
