"""Training only the rows of an embedding table that the data uses.

A vocabulary of 30,000 pieces is half of a small encoder's weights, and a few thousand texts use a tenth of it. The
other rows never get a gradient and are not decayed, so leaving them out moves no weight otherwise; it saves the
optimizer's pass over them, their gradients, and their place in every checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from modelwright.models.pieces import Pieces
from modelwright.models.text import Tokens
from modelwright.training.job import Inputs, Job

if TYPE_CHECKING:
    from torch import Tensor

LOW = 1000
"""A padding id below this keeps its number."""
WORTH = 0.7
"""Where the data uses more than this share of the rows, all stay: little is saved. Chosen."""


@dataclass(slots=True)
class Lean:
    """A job whose embedding table holds only the rows that its tokens use, until `restore` is called."""

    job: Job
    rows: Tensor | None = None
    full_VD: Tensor | None = None

    def restore(self) -> None:
        """Give the network its whole table back, with the trained rows in it."""
        if self.rows is None or self.full_VD is None:
            return
        import torch

        table = self.job.network.table
        with torch.no_grad():
            self.full_VD[self.rows] = table.weight
        table.weight = torch.nn.Parameter(self.full_VD, requires_grad=table.weight.requires_grad)
        table.num_embeddings = len(self.full_VD)
        self.rows = self.full_VD = None


def lean(job: Job) -> Lean:
    """`job` with the rows that its training and validation texts use; as it is where that saves little."""
    import torch

    first, second = job.train, job.validation
    if not isinstance(first, Inputs) or not isinstance(first.features, Tokens):
        return Lean(job)
    train = first.features
    validation = second.features.tokens if isinstance(second.features, Pieces) else second.features
    if not isinstance(validation, Tokens):
        return Lean(job)
    table = job.network.table
    low = np.arange(train.pad + 1 if train.pad < LOW else 0)  # RoBERTa's kin count positions by the pad's own id
    used = np.unique(np.concatenate([train.flat, validation.flat, low, [train.pad]]))
    if len(used) > WORTH * table.num_embeddings:
        return Lean(job)
    places = np.zeros(table.num_embeddings, dtype=np.int32)
    places[used] = np.arange(len(used))
    rows, full_VD = torch.from_numpy(used).to(table.weight.device), table.weight.detach()
    table.weight = torch.nn.Parameter(full_VD[rows].clone(), requires_grad=table.weight.requires_grad)
    table.num_embeddings = len(used)
    if table.padding_idx is not None:
        table.padding_idx = int(places[table.padding_idx])
    leaner = replace(
        job,
        train=_renumbered(job.examples, places),
        watched=_renumbered(job.watched, places),
        validation=_renumbered(job.validation, places),
    )
    return Lean(leaner, rows, full_VD)


def _renumbered(inputs: Inputs, places: np.ndarray) -> Inputs:
    part = inputs.features
    assert isinstance(part, Tokens | Pieces)
    return replace(inputs, features=part.renumbered(places))
