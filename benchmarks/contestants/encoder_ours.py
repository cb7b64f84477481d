"""MiniLM on banking77 by Modelwright's own job, head and loop; takes and prints what encoder_hf.py does.

python encoder_ours.py MODEL_FOLDER TRAIN.csv TEST.csv --seed 0 --epochs 3 [--steps 60] [--precision bf16]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=Path)
parser.add_argument("train")
parser.add_argument("test")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=float, default=3.0)
parser.add_argument("--steps", type=int, default=-1)
parser.add_argument("--precision", default="auto")
asked = parser.parse_args()

import polars as pl  # noqa: E402

from modelwright.models.precision import best_precision  # noqa: E402
from modelwright.models.predictors.transformer import outputs_NK  # noqa: E402
from modelwright.records import Column, Schema  # noqa: E402
from modelwright.training.job import build  # noqa: E402
from modelwright.training.loop import steps  # noqa: E402
from modelwright.training.memory import pages_kept  # noqa: E402
from modelwright.training.optim import adamw  # noqa: E402
from modelwright.training.parallel import ALONE  # noqa: E402
from modelwright.training.start import start_head  # noqa: E402
from modelwright.training.trained import begin  # noqa: E402

train, test = pl.read_csv(asked.train), pl.read_csv(asked.test)
classes = tuple(sorted(train["category"].unique()))
schema = Schema("classification", "text", (Column("text", "text"),), "category", classes)
began, paused = time.perf_counter(), 0.0
settings: dict[str, Any] = {
    "batch_size": 32,
    "max_length": 256,
    "image_size": 0,
    "smoothing": 0.0,
    "vary": False,
    "rank": 0,
    "quantised": False,
    "checkpointing": 0,
    "seed": asked.seed,
    "warmup": 0.06,
    "precision": best_precision() if asked.precision == "auto" else asked.precision,
    "max_grad_norm": 1.0,
    "micro_batches": 1,
}
# The test file stands where validation would: it is answered, and nothing is chosen by the answers.
job = build(schema, train, test, base=asked.folder, settings=settings)
batches = len(job.order(0))
settings["steps"] = asked.steps if asked.steps > 0 else round(asked.epochs * batches)
if asked.steps < 0:
    start_head(job, ALONE, lambda progress: None)
held = begin(job)
job = held.job
curve: list[dict[str, float]] = []


def note(step: int) -> None:
    global paused
    stopped = time.perf_counter()
    answers = outputs_NK(job.network, job.validation.features).argmax(1)
    accuracy = float((answers == job.validation.targets).mean())
    curve.append({"seconds": stopped - began - paused, "step": step, "accuracy": accuracy})
    paused += time.perf_counter() - stopped


if asked.steps < 0:
    note(0)
optimizer = adamw(job.network, learning_rate=5e-5)
loop = steps(job.network, job.objective, optimizer, job.recipe(), order=job.order, fetch=job.fetch)
started, before, units = time.perf_counter(), paused, 0
with pages_kept():
    for step in loop:
        units += step.units
        if asked.steps < 0 and (step.number % max(1, batches // 10) == 0 or step.number == settings["steps"]):
            note(step.number)
seconds = time.perf_counter() - started - (paused - before)
print(
    json.dumps({"samples_per_second": units / seconds, "seconds": time.perf_counter() - began - paused, "curve": curve})
)
