"""A language model as it is, before any training: asked, asked with examples, or reading texts.

An answer may take a second, so some are timed before all are asked for; and the weights may be more than the memory
holds, so they are counted before they are loaded.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from modelwright.errors import InputError
from modelwright.evaluation.latency import AT_LEAST, WARM_UP
from modelwright.ladder.rung import Rung, reading_seconds
from modelwright.models.encode import find_encoder
from modelwright.models.fitting.prompted import fit_base, fit_few_shot, fit_prompt
from modelwright.models.portions import by_length
from modelwright.models.predictors.few_shot import FewShot
from modelwright.models.predictors.language_model import TOGETHER, LanguageModel
from modelwright.models.room import available_bytes, weights_count
from modelwright.records import Schema, Task

USABLE = 0.8
"""Of the free memory, what the weights may take: computing takes some too. Chosen."""
WEIGHTS_PER_SECOND = 1e8
"""That are read, and saved again as float32. Chosen: a slow disk."""
PROBED_TOKENS = 1024
"""Read to know how long reading takes. Chosen: a few seconds with a hundred million weights."""
ALONE = WARM_UP + AT_LEAST
"""Answers at most that knowing the latency takes of a slow model."""


def prompt(folder: Path) -> Rung:
    """The rung that asks the model in `folder`."""
    return _rung(folder, fit_prompt, _writing_seconds)


def few_shot(folder: Path) -> Rung:
    """The rung that shows it before each prompt how the nearest known ones were answered."""
    return _rung(folder, fit_few_shot, _writing_seconds, places=True)


def base(folder: Path) -> Rung:
    """The rung that has it read texts."""
    return _rung(folder, fit_base, _reading_seconds)


def _rung(
    folder: Path, fit: Any, judging: Callable[[Any, pl.DataFrame, float], float], *, places: bool = False
) -> Rung:
    def seconds(schema: Schema, train: pl.DataFrame) -> float:
        placing = reading_seconds(schema, train) if places and find_encoder() is not None else 0.0
        return 3 + weights_count(folder) / WEIGHTS_PER_SECOND + placing

    task: Task = "language-modeling" if fit is fit_base else "generation"
    kept = partial(_applies, folder)
    return Rung("language model", partial(fit, base=folder), kept, seconds, judging_seconds=judging, tasks=(task,))


def _applies(folder: Path, schema: Schema, count: int) -> str | None:
    from modelwright.models.language import check_direction

    try:
        check_direction(folder, "causal")
    except InputError as error:
        return error.faults[0].found
    needed, free = 4 * weights_count(folder), available_bytes()
    if not needed:
        return f"{folder} holds no weights in safetensors files"
    if needed > USABLE * free:
        return f"its weights take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB of memory are free"
    return None


def _writing_seconds(predictor: LanguageModel | FewShot, examples: pl.DataFrame, left: float) -> float:
    """The beginnings of an answer alone are written, then of some from all over the examples at once."""
    few = predictor.prompts(examples.gather_every(max(1, len(examples) // TOGETHER))[:TOGETHER])
    alone = predictor.longest_seconds(few[:1])
    least = alone * (ALONE + len(examples) / TOGETHER)
    return least if least > left else alone * ALONE + predictor.longest_seconds(few) * len(examples) / len(few)


def _reading_seconds(predictor: LanguageModel, examples: pl.DataFrame, left: float) -> float:
    """Some windows of middling length are read."""
    features = predictor.prepare(examples)
    portions = list(by_length(features.lengths_W, tokens=PROBED_TOKENS))
    chosen = portions[len(portions) // 2]
    lengths_W = features.lengths_W
    share = lengths_W[chosen].sum() / lengths_W.sum()
    began = time.perf_counter()
    predictor.portion(features, chosen)
    return (time.perf_counter() - began) / float(share) * (1 + ALONE / len(examples))
