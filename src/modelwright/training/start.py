"""Where a training starts: at the newest checkpoint, or with a head fitted to the frozen encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from modelwright.errors import IntegrityError
from modelwright.models.encode import frozen_features
from modelwright.models.fitting.head import set_head
from modelwright.models.fitting.tag_head import drawn, set_tag_head
from modelwright.models.text import Tokens
from modelwright.records import Progress
from modelwright.training import checkpoint as checkpoints
from modelwright.training.job import Job
from modelwright.training.parallel import Group
from modelwright.training.sharding import reshard


def newest(place: Path, group: Group) -> tuple[checkpoints.Checkpoint | None, list[str]]:
    """The newest sound checkpoint as the first worker finds it, and the names of damaged ones passed over."""
    found, damaged = checkpoints.newest(place) if group.first else (None, [])
    step = round(group.number(found.step if found else -1))
    if step >= 0 and not group.first:
        found = checkpoints.load(checkpoints.place(place, step))
        if found is None:
            raise IntegrityError(f"{place}: worker {group.rank} does not see step {step} as the first worker does")
    return found, damaged


def read_first(job: Job) -> tuple[np.ndarray, int]:
    """The positions of the examples that the head is fitted on, and how many rows of features they have."""
    if job.predictor.schema.task == "tagging":
        return drawn(*_tagged(job), seed=job.settings["seed"])
    return np.arange(len(job.train)), len(job.train)


def start_head(job: Job, group: Group, progress: Callable[[Progress], None]) -> None:
    """Fit the head on the frozen features, each worker having read its share of the examples; the first one fits."""
    import torch

    from modelwright.models.attention import use_own, use_products

    if job.predictor.schema.task == "tagging":
        tokens, targets, seed = *_tagged(job), job.settings["seed"]
        set_tag_head(job.network, tokens, targets, precision=job.settings["precision"], seed=seed)
        if group.sharded:
            reshard(job.network)
        return
    encoder = job.network.encoder
    if group.sharded:  # and so already in the shape for training: read as one worker alone would
        use_own(encoder)
    mine = group.mine(len(job.train))
    share = job.examples.features if len(mine) == len(job.train) else job.examples.features.take(mine)

    def tick(done: int) -> None:
        progress(Progress("train", "reading with the frozen encoder", done, len(mine), "examples"))

    precision = job.settings["precision"]
    remember = group.workers == 1 and not job.settings["quantised"]  # by weights, and what is rounded is not among them
    read_nD = frozen_features(job.network, share, precision=precision, remember=remember, tick=tick)
    features_ND = torch.from_numpy(group.whole(read_nD.numpy(), len(job.train)))
    if group.sharded:
        reshard(job.network)
        if job.device.type == "cpu":
            use_products(encoder)
    regression = job.predictor.schema.task == "regression"
    if group.first:
        set_head(job.network, features_ND, job.examples.targets, regression=regression, seed=job.settings["seed"])


def _tagged(job: Job) -> tuple[Tokens, np.ndarray]:
    """The windows of a tagger's texts, and the tag of each of their tokens."""
    assert isinstance(job.examples.features, Tokens)
    return job.examples.features, job.examples.targets
