"""Whether a training fits into memory, into how many pieces its batches must be cut, and what would fit otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from modelwright.errors import RefusedError
from modelwright.models.catalogue import catalogue
from modelwright.models.image import pixel_bytes
from modelwright.models.room import USABLE, available_bytes, free_bytes, processor_bytes
from modelwright.models.text import texts_of, tokenizer_in
from modelwright.records import LANGUAGE_TASKS, Estimate, Schema, Setting
from modelwright.training.consider import ADAPTED, RANK
from modelwright.training.job import watched_among
from modelwright.training.rules import image_size
from modelwright.training.work import Footprint, footprint_of_files

LONGEST = 50
"""Texts, by characters, among which the one of most tokens is looked for."""


def micro_batches(
    schema: Schema,
    train: pl.DataFrame,
    base: Path,
    settings: dict[str, Any],
    *,
    held: int,
    free: int | None = None,
    beside: int | None = None,
) -> Setting:
    """Into how many pieces a batch of texts is cut so that the training fits; nothing is loaded for that.

    Args:
        schema: Of texts.
        train: The training part.
        base: The model's folder.
        settings: Of the training: `batch_size`, `max_length`, `rank`, `quantised`.
        held: Bytes that the process holds already.
        free: Bytes that it may hold; what the machine or its container has where None.
        beside: The same of the processor's memory, where a GPU trains.

    Raises:
        RefusedError: it does not fit even one example at a time; the message says what would.
    """
    if beside is None:
        beside = processor_bytes() if free is None else free
    free = available_bytes() if free is None else free
    length = _longest_tokens(schema, train, base, settings["max_length"])
    footprint = _footprint(base, settings, length=length)
    if footprint.whole > USABLE * beside:
        raise RefusedError(
            f"{base.name} takes {_gigabytes(footprint.whole)} of the processor's memory in float32, in which it is read"
            f" and adapters are merged into it, and {_gigabytes(beside)} are free. Name a smaller model as model.base,"
            " or take a larger machine"
        )
    pieces = _pieces(footprint, held=held, free=free)
    if pieces == 1:
        return Setting(1, "a batch fits in memory")
    whole = f"a whole batch needs {_gigabytes(held + footprint.total())}, and {_gigabytes(free)} are free"
    if pieces is not None:
        return Setting(pieces, f"memory: {whole}")
    single = _gigabytes(held + footprint.total(micro_batches=footprint.examples))
    others = "; ".join(_others(base, settings, length=length, held=held, free=free))
    raise RefusedError(
        f"training {base.name} needs about {single} even one example at a time, and {_gigabytes(free)} are free."
        f" {'What would fit: ' + others if others else 'Name a smaller model as model.base, or take a larger machine'}"
    )


def still_fits(estimate: Estimate, *, free: int | None = None) -> None:
    """Nothing, where the run that was planned fits into the memory that is free now.

    Raises:
        RefusedError: not even the least of what it is expected to take is there.
    """
    free = available_bytes() if free is None else free
    least = estimate.peak_memory_bytes.low or estimate.peak_memory_bytes.value
    if least > free:
        raise RefusedError(
            f"the run needs about {_gigabytes(estimate.peak_memory_bytes.value)} of memory, and {_gigabytes(free)} are"
            " free now: end what else takes memory, or make the plan again with a smaller training.batch_size"
        )


def images_fit(
    schema: Schema,
    train: pl.DataFrame,
    validation: pl.DataFrame,
    *,
    base: Path | str,
    size: int,
    free: int | None = None,
) -> None:
    """Nothing, where all images fit into memory as pixels; none is decoded for that.

    Args:
        schema: Of images.
        train: The training part.
        validation: The validation part.
        base: The model's folder, or its name where it starts from scratch.
        size: The side in pixels at which the model reads them.
        free: Bytes that are free; what the machine or its container has where None.

    Raises:
        RefusedError: they do not fit; the message says what would.
    """
    free = free_bytes() if free is None else free
    watched = watched_among(len(train), len(validation))
    examples = len(train) + len(validation)
    count = examples + len(watched)
    needed = pixel_bytes(count, size=size)
    if needed <= USABLE * free:
        return
    fitting = [f"about {int(USABLE * free / needed * examples):,} images"]
    if not isinstance(base, str):
        small = next(each.name for each in catalogue().values() if each.kind == "image" and each.config)
        side = image_size(schema, train, small).value
        if pixel_bytes(count, size=side) <= USABLE * free:
            fitting.append(f"model.base: {small}, which reads them at {side} x {side} pixels")
    raise RefusedError(
        f"data.source: {examples:,} images of {size} x {size} pixels need about {_gigabytes(needed)} of"
        f" memory, and {_gigabytes(free)} are free. What would fit: {'; '.join(fitting)}"
    )


def _footprint(base: Path, settings: dict[str, Any], *, length: int) -> Footprint:
    rank, quantised = settings["rank"], settings["quantised"]
    return footprint_of_files(base, rank=rank, quantised=quantised, examples=settings["batch_size"], length=length)


def _pieces(footprint: Footprint, *, held: int, free: int) -> int | None:
    """The fewest pieces, a power of two, in which it fits; None where it does not."""
    pieces = 1
    while held + footprint.total(micro_batches=pieces) > USABLE * free:
        if pieces >= footprint.examples:
            return None
        pieces *= 2
    return min(pieces, footprint.examples)


def _others(base: Path, settings: dict[str, Any], *, length: int, held: int, free: int) -> Iterator[str]:
    """What else would fit, the smallest change first."""
    shorter = length // 2
    while shorter >= 16:
        if _pieces(_footprint(base, settings, length=shorter), held=held, free=free):
            yield f"texts of at most {shorter} tokens (the longest has {length})"
            break
        shorter //= 2
    for method in ADAPTED:
        changed = {**settings, "rank": RANK, "quantised": method == "qlora"}
        if (changed["rank"], changed["quantised"]) == (settings["rank"], settings["quantised"]):
            continue
        if _pieces(_footprint(base, changed, length=length), held=held, free=free):
            yield f"model.method: {method}"


def _longest_tokens(schema: Schema, train: pl.DataFrame, base: Path, most: int) -> int:
    """The tokens of the longest text as the network sees it."""
    if schema.task in LANGUAGE_TASKS:  # answers count too, and long texts are read in windows
        return most
    texts = sorted(texts_of(schema, train), key=len)[-LONGEST:]
    found = tokenizer_in(base)(texts, truncation=True, max_length=most, return_attention_mask=False)
    return int(np.max([len(ids) for ids in found["input_ids"]], initial=1))


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
