"""Trains once undisturbed and once under kill -9; prints the hashes of both as JSON. Run by test_kill.py.

Libraries are imported once; every training is a fork, so a kill costs tenths of a second, not six. The parent
only imports: Polars and torch must not have started threads in a process that forks.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # a forked child must not meet the threads of its parent

import numpy as np
import polars as pl
import torch  # noqa: F401 - imported here so that no child has to
import transformers  # noqa: F401 - as above
from pydantic import TypeAdapter

from modelwright.problem import parse
from modelwright.records import POSITION, Column, Dataset, Plan, Schema, Seal
from modelwright.training import train as training
from modelwright.training.plan import plan

CLASSES = ("a", "b", "c")


def dataset_in(folder: Path) -> Dataset:
    import io

    from PIL import Image

    generator = np.random.default_rng(0)
    images, labels = [], []
    for _ in range(200):
        label = int(generator.integers(3))
        pixels = generator.integers(0, 60, size=(12, 12), dtype=np.uint8)
        pixels[:, label * 4 : label * 4 + 4] += 120
        opened = io.BytesIO()
        Image.fromarray(pixels).save(opened, "PNG")
        images.append(opened.getvalue())
        labels.append(CLASSES[label])
    frame = pl.DataFrame({POSITION: np.arange(200), "image": images, "label": labels})
    folder.mkdir()
    frame[:150].write_parquet(folder / "train.parquet")
    frame[150:].write_parquet(folder / "validation.parquet")
    schema = Schema("classification", "image", (Column("image", "image"),), "label", CLASSES)
    parts = {"train": 150, "validation": 50, "test": 0}
    return Dataset("d", str(folder), schema, parts, CLASSES, {}, (), Seal(0, 0, 20), "", "", "", 0.0)


def prepared(root: Path) -> None:
    """Write the dataset and the plan, in a child of its own."""
    dataset = dataset_in(root / "dataset")
    problem, _ = parse(
        {
            "name": "killed",
            "output": "label",
            "data": {"source": "none"},
            "training": {"epochs": 4, "batch_size": 16, "learning_rate": 0.001, "precision": "fp32"},
        }
    )
    made = plan(dataset, problem, folder=root, metric="accuracy", budget_seconds=600)
    (root / "dataset.json").write_bytes(TypeAdapter(Dataset).dump_json(dataset))
    (root / "plan.json").write_bytes(TypeAdapter(Plan).dump_json(made))


def trained(root: Path, name: str) -> None:
    """The training in `root/name`, from the written dataset and plan."""
    training.CHECKPOINT_SECONDS = 0.05
    training.train(
        TypeAdapter(Dataset).validate_json((root / "dataset.json").read_bytes()),
        TypeAdapter(Plan).validate_json((root / "plan.json").read_bytes()),
        metric="accuracy",
        folder=root / name,
        project=root,
        budget_seconds=600,
    )


def fork(work: Callable[[], None]) -> int:
    """The process number of a child that does `work` and ends with 0, or with 1 and its trace."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return child


def ended(child: int) -> None:
    _, status = os.waitpid(child, 0)
    assert status == 0, f"a child ended with {status}"


def main(root: Path, kills: int) -> None:
    ended(fork(lambda: prepared(root)))
    began = time.monotonic()
    ended(fork(lambda: trained(root, "whole")))
    whole_seconds = time.monotonic() - began

    chance, killed = random.Random(0), 0
    while killed < kills:
        child = fork(lambda: trained(root, "killed"))
        time.sleep(chance.uniform(0.02, 0.8) * whole_seconds)
        if os.waitpid(child, os.WNOHANG) == (0, 0):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            killed += 1
        else:  # it ended before the kill: the next kills hit a fresh run
            (root / "killed").rename(root / f"ended-{killed}")
    ended(fork(lambda: trained(root, "killed")))
    found: dict[str, object] = {"kills": killed}
    for name in ("whole", "killed"):
        for what, file in (("weights", "predictor/model.safetensors"), ("log", "log.jsonl")):
            found[f"{name}_{what}"] = hashlib.sha256((root / name / file).read_bytes()).hexdigest()
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
