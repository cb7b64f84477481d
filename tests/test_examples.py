"""The flat twins: one page each, and the same losses as the house's loop."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from modelwright.models.dropout import Dropout
from modelwright.records import Column, Schema
from modelwright.training.job import build
from modelwright.training.loop import steps
from modelwright.training.optim import adamw
from modelwright.training.trained import begin

EXAMPLES = Path(__file__).parents[1] / "examples"
SETTINGS: dict[str, Any] = {
    "batch_size": 16,
    "max_length": 64,
    "image_size": 0,
    "smoothing": 0.0,
    "vary": False,
    "rank": 0,
    "quantised": False,
    "checkpointing": False,
    "seed": 0,
    "warmup": 0.06,
    "precision": "fp32",
    "max_grad_norm": 1.0,
    "micro_batches": 1,
}


def printed(name: str, *words: object) -> str:
    found = subprocess.run(
        [sys.executable, EXAMPLES / name, *map(str, words)], capture_output=True, text=True, check=False, timeout=200
    )
    assert found.returncode == 0, found.stderr[-2000:]
    return found.stdout


def texts(count: int, seed: int) -> pl.DataFrame:
    """Texts in which one of three words says the class."""
    generator, words = np.random.default_rng(seed), ["rate", "fee", "top", "up", "late", "help", "please", "my", "the"]
    rows = []
    for _ in range(count):
        label = int(generator.integers(3))
        said = [*generator.choice(words, size=int(generator.integers(2, 12))), ["card", "cash", "lost"][label]]
        rows.append({"text": " ".join(generator.permutation(said)), "label": f"class {label}"})
    return pl.DataFrame(rows)


def test_classification_is_what_the_loop_does(tiny_encoder: Path, tmp_path: Path) -> None:
    train, validation = texts(800, 1), texts(60, 2)
    train.write_csv(tmp_path / "train.csv"), validation.write_csv(tmp_path / "validation.csv")
    told = printed("classification.py", tiny_encoder, tmp_path / "train.csv", tmp_path / "validation.csv")
    losses, norms = (
        [float(each) for each in re.findall(pattern, told)] for pattern in (r"loss ([\d.]+)", r"norm ([\d.]+)")
    )
    schema = Schema("classification", "text", (Column("text", "text"),), "label", ("class 0", "class 1", "class 2"))
    assert len(losses) == 150
    settings = {**SETTINGS, "steps": len(losses)}
    job = begin(build(schema, train, validation, base=tiny_encoder, settings=settings)).job
    for each in job.network.modules():
        if isinstance(each, Dropout):
            each.p = 0.0
    optimizer = adamw(job.network, learning_rate=1e-3)
    loop = steps(job.network, job.objective, optimizer, job.recipe(), order=job.order, fetch=job.fetch)
    ours = list(islice(loop, 30))
    np.testing.assert_allclose([step.loss for step in ours], losses[:30], rtol=1e-3)
    np.testing.assert_allclose([step.gradient_norm for step in ours], norms[:30], rtol=1e-2)
    assert float(re.findall(r"accuracy ([\d.]+)", told)[0]) > 0.8


def test_each_page_is_short_and_flat() -> None:
    for page in EXAMPLES.glob("*.py"):
        lines = page.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 120, page
        assert not any(line.startswith("class ") or "modelwright." in line for line in lines), page
