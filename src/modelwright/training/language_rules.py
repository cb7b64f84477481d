"""The rules that resolve the sizes of a language model's training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from modelwright.models.precision import device
from modelwright.models.windows import ANSWERING, CONTEXT
from modelwright.problem import Problem
from modelwright.records import Schema, Setting
from modelwright.training.activations import checkpointing
from modelwright.training.consider import adapter_sizes

STEP_TOKENS = {"cpu": 4096, "cuda": 32_768}
"""Tokens of a step. Chosen: large enough that a step is products and not overhead, small enough that there are many."""
FEWEST_STEPS = 50
"""Of an epoch: where texts are few, batches are smaller. Chosen."""
LEAST_BATCH = 4
"""Texts, or blocks, of a batch."""
BYTES_PER_PIECE = 512
"""Of text, for each piece of a vocabulary that is learnt from it, between 512 and 16,384 pieces. Chosen."""
BYTES_PER_TOKEN = 4
"""Of an English text in pieces of a vocabulary, about; for sizes that are chosen before there is one."""


def language_sizes(
    schema: Schema, train: pl.DataFrame, problem: Problem, base: Path | str, method: str
) -> dict[str, Setting]:
    """The settings that must be known before the network is built."""
    asked, scratch, place = problem.training, isinstance(base, str), device()
    place = "cpu" if place == "cpu" else "cuda"
    bytes_N = text_bytes(schema, train)
    length = _length(schema, bytes_N, base, place)
    long = schema.task == "language-modeling" and float(bytes_N.mean()) / BYTES_PER_TOKEN > length.value / 2
    stream = long and not schema.masked
    tokens = length.value if long else min(length.value, 1 + float(bytes_N.mean()) / BYTES_PER_TOKEN)
    pieces = bytes_N.sum() / BYTES_PER_TOKEN / tokens if long else len(bytes_N)
    batch = _batch(pieces, tokens, place)
    if asked.batch_size != "auto":
        batch = Setting(asked.batch_size, "problem.yaml")
    return {
        "batch_size": batch,
        "max_length": length,
        "checkpointing": checkpointing(base, examples=batch.value, tokens=length.value),
        "stream": Setting(stream, "rule: texts longer than half of what is read at once are one stream"),
        "vocabulary": fresh_vocabulary(bytes_N) if scratch else Setting(0, "the model's own"),
        "optimizer": Setting("muon" if scratch else "adamw", "rule: Muon from scratch, else AdamW"),
        "seed": Setting(problem.seed, "problem.yaml"),
        "max_grad_norm": Setting(asked.max_grad_norm, "problem.yaml"),
        **adapter_sizes(method),
    }


def text_bytes(schema: Schema, train: pl.DataFrame) -> np.ndarray:
    """How long the text of each example is in bytes, its answer included where one is written: float64 (N,)."""
    names = [*schema.names, *([schema.output] if schema.task == "generation" else [])]
    columns = (train[name].cast(pl.String).str.len_bytes().fill_null(0).to_numpy() for name in names)
    return np.asarray(sum(columns, np.zeros(1)))


def fresh_vocabulary(bytes_N: np.ndarray) -> Setting:
    """How many pieces are learnt from texts so long."""
    learnt = int(np.clip(2 ** round(np.log2(max(1.0, bytes_N.sum() / BYTES_PER_PIECE))), 512, 16_384))
    return Setting(learnt, f"rule: {BYTES_PER_PIECE} bytes of text a piece, 512 to 16,384")


def fitting_length(bytes_N: np.ndarray, *, most: int, around: int = 0) -> Setting:
    """What is read at once: what 99 of 100 texts so long need, at most `most` tokens.

    Args:
        bytes_N: How long they are.
        most: Tokens that the model may read at once.
        around: Tokens that a chat template puts around a text, where that is known.
    """
    longest = float(np.quantile(bytes_N, 0.99)) / 2  # pieces of a small vocabulary hold about two bytes
    needed = longest + max(32, around)
    fitting = 2 ** int(np.ceil(np.log2(max(32.0, needed))))
    return Setting(min(most, fitting), f"rule: what 99 of 100 texts need, at most {most} tokens")


def _length(schema: Schema, bytes_N: np.ndarray, base: Path | str, place: str) -> Setting:
    """The same, within what the model reads."""
    from modelwright.models.text import longest_tokens

    most = (ANSWERING if schema.task == "generation" else CONTEXT)[place]
    if isinstance(base, str):
        return fitting_length(bytes_N, most=most)
    around = _around(schema, base) if schema.task == "generation" else 0
    return fitting_length(bytes_N, most=min(most, longest_tokens(base)), around=around)


def _around(schema: Schema, base: Path) -> int:
    """The tokens that the model's chat template puts around a question and its answer."""
    from modelwright.models.asking import asking
    from modelwright.models.endings import settle_ends
    from modelwright.models.text import tokenizer_in

    tokenizer = tokenizer_in(base)
    settle_ends(tokenizer, (), model=base.name)
    return asking(schema, tokenizer, plain=not tokenizer.chat_template, model=base.name).around_tokens()


def _batch(pieces: float, tokens: float, place: str) -> Setting:
    """How many texts, or blocks, of so many tokens a step takes."""
    size = min(STEP_TOKENS[place] / tokens, pieces / FEWEST_STEPS)
    rounded = 2 ** round(np.log2(max(LEAST_BATCH, size)))
    return Setting(int(rounded), f"rule: {STEP_TOKENS[place]:,} tokens a step, and {FEWEST_STEPS} steps an epoch")
