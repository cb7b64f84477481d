"""The share of a step's wall time that is spent outside the model: MiniLM on banking77, with all that training does.

    python benchmarks/overhead.py [--quick] [--steps 60]

A step is from one progress message to the next: data, forward, backward, optimizer, logs, the watch over the losses,
progress as the command line draws it. Inside the model is what is spent in the objective, the backward pass and the
optimizer (its reading of the gradient's norm included); the rest is outside. Data is looked for as in training.py.
"""

from __future__ import annotations

import argparse
import io
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from table import merge, row, show

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("MODELWRIGHT_SHARED_DATA", HERE.parent.parent / "shared/data"))
RESULTS = HERE / "results" / "training.json"
WARM = 5
TARGET = 0.03
Row = dict[str, Any]


def measure(folder: Path, steps: int) -> list[Row]:
    """The median shares of the steps after the first few."""
    import numpy as np
    import polars as pl

    from modelwright.cli.progress import Display
    from modelwright.problem import parse
    from modelwright.records import POSITION, Column, Dataset, Progress, Schema, Seal
    from modelwright.training import job as jobs
    from modelwright.training.objectives.classification import Classification
    from modelwright.training.optim import Optimizer
    from modelwright.training.plan import plan
    from modelwright.training.train import train

    frame = pl.read_csv(DATA / "text/banking77_train.csv").sample(4000, seed=0, shuffle=True)
    frame = frame.with_columns(pl.Series(POSITION, np.arange(len(frame))))
    classes = tuple(sorted(frame["category"].unique()))
    frame[:3800].write_parquet(folder / "train.parquet")
    frame[3800:].write_parquet(folder / "validation.parquet")
    schema = Schema("classification", "text", (Column("text", "text"),), "category", classes)
    parts = {"train": 3800, "validation": 200, "test": 0}
    dataset = Dataset("d", str(folder), schema, parts, classes, {}, (), Seal(0, 0, 20), "", "", "", 0.0)
    stated = {"name": "overhead", "output": "category", "data": {"source": "none"}, "training": {"batch_size": 32}}
    problem, _ = parse(stated)
    made = plan(dataset, problem, folder=folder, metric="accuracy", budget_seconds=3600)
    for name, value in (("steps", steps), ("validate_every", steps), ("head", "random")):
        made.settings[name] = replace(made.settings[name], value=value)

    spent = {"model": 0.0, "data": 0.0}

    def timed(owner: Any, name: str, what: str) -> None:
        inner: Callable[..., Any] = getattr(owner, name)

        def outer(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return inner(*arguments, **named)
            finally:
                spent[what] += time.perf_counter() - began

        setattr(owner, name, outer)

    timed(Classification, "loss", "model")
    for name in ("backward", "norm", "step"):
        timed(Optimizer, name, "model")
    timed(jobs.Job, "fetch", "data")

    marks: list[tuple[float, float, float]] = []
    with Display(io.StringIO()) as display:

        def progress(told: Progress) -> None:
            display(told)
            if told.what == "training":
                marks.append((time.perf_counter(), spent["model"], spent["data"]))

        options = {"metric": "accuracy", "project": folder, "budget_seconds": 3600.0, "progress": progress}
        train(dataset, made, folder=folder / "run", **options)
    taken = np.diff(np.array(marks[WARM:-1]), axis=0)  # the last step is validated
    outside, data = 1 - taken[:, 1] / taken[:, 0], taken[:, 2] / taken[:, 0]
    seconds = median(taken[:, 0])
    return [
        row("encoder: share of a step outside the model", median(outside), None, "of a step", target=TARGET),
        row("encoder: share of a step for its data", median(data), None, "of a step"),
        row("encoder: seconds of a step", seconds, None, "s", threads=os.environ.get("OMP_NUM_THREADS", "all")),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="half the steps; all of it takes a minute")
    asked = parser.parse_args()
    with TemporaryDirectory() as place:
        merge(RESULTS, show(measure(Path(place), asked.steps // (2 if asked.quick else 1))))
