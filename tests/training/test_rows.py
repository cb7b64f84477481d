"""Training only the rows that the data uses moves the same weights to the same places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelwright.data.parts import read_part
from modelwright.records import Dataset
from modelwright.training.job import Job, build
from modelwright.training.loop import Recipe, steps
from modelwright.training.optim import adamw
from modelwright.training.rows import lean

SETTINGS: dict[str, Any] = {
    "batch_size": 16,
    "seed": 0,
    "max_length": 32,
    "image_size": 0,
    "smoothing": 0.0,
    "vary": False,
    "rank": 0,
    "checkpointing": 0,
    "micro_batches": 1,
}


def job(dataset: Dataset, base: Path) -> Job:
    return build(
        dataset.schema, read_part(dataset, "train"), read_part(dataset, "validation"), base=base, settings=SETTINGS
    )


def follow(made: Job) -> list[float]:
    loop = steps(
        made.network,
        made.objective,
        adamw(made.network, learning_rate=1e-3),
        Recipe(steps=8),
        order=made.order,
        fetch=made.fetch,
    )
    return [step.loss for step in loop]


def test_the_same_weights_with_and_without_unused_rows(text_dataset: Dataset, tiny_encoder: Path) -> None:
    whole, made = job(text_dataset, tiny_encoder), job(text_dataset, tiny_encoder)
    before = made.network.encoder.get_input_embeddings().weight.detach().clone()
    held = lean(made)
    table = held.job.network.encoder.get_input_embeddings()
    assert len(table.weight) == table.num_embeddings < len(before)
    np.testing.assert_allclose(follow(held.job), follow(whole), rtol=1e-5)
    held.restore()
    for (name, a), b in zip(made.network.state_dict().items(), whole.network.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=name)
    after = made.network.encoder.get_input_embeddings().weight
    used = np.unique(np.concatenate([made.train.features.flat, made.validation.features.flat]))
    unused = np.setdiff1d(np.arange(len(before)), used)
    assert len(unused) > 20 and torch.equal(after[unused], before[unused])
    assert not torch.equal(after[used], before[used])
    held.restore()  # twice does nothing
    assert len(made.network.encoder.get_input_embeddings().weight) == len(before)


def test_a_table_that_is_mostly_used_stays_whole(text_dataset: Dataset, tiny_encoder: Path) -> None:
    made = job(text_dataset, tiny_encoder)
    made.train.features.flat[: len(made.network.encoder.get_input_embeddings().weight)] = np.arange(
        len(made.network.encoder.get_input_embeddings().weight)
    )
    assert lean(made).job is made
