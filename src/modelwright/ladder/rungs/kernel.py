"""A kernel on the edges of images, as a support vector machine has it."""

from __future__ import annotations

import polars as pl

from modelwright.ladder.rung import Rung
from modelwright.models.fitting.kernel import TRIED, Kernel, fit_kernel
from modelwright.records import Schema

MAX_COUNT = 20_000
"""Beyond, a network has enough to learn from. Chosen."""
FEWEST = 20


def _applies(schema: Schema, count: int) -> str | None:
    if schema.task == "multilabel":
        return "for one class or one value: the linear model takes several labels"
    if schema.kind != "image":
        return "for images only: the tuned model of a table has it as a candidate"
    if count < FEWEST:
        return f"{count} examples are too few to choose a width by"
    return f"{count:,} images: a network has enough to learn from" if count > MAX_COUNT else None


def _seconds(schema: Schema, train: pl.DataFrame) -> float:
    classes = max(1, len(schema.classes))
    return float(8 + 1.2e-2 * len(train) + 4e-3 * min(len(train), TRIED) * classes**0.5)


RUNG = Rung("classical", fit_kernel, _applies, _seconds, 0.5, Kernel.out_of_fold)
