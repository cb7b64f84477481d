"""The flat twins: one page each, and the same losses as the house's loop."""

from __future__ import annotations

import io
import re
import runpy
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from modelwright.models.dropout import Dropout
from modelwright.models.language import language_from_scratch
from modelwright.models.vocabulary import learn_masking_tokenizer, learn_tokenizer
from modelwright.records import Column, Schema
from modelwright.training.job import Job, build
from modelwright.training.loop import steps
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
    "checkpointing": 0,
    "seed": 0,
    "warmup": 0.06,
    "precision": "fp32",
    "max_grad_norm": 1.0,
    "micro_batches": 1,
}


@dataclass(frozen=True, slots=True)
class Told:
    """What a page printed: of each step the loss and the gradient's norm, and all of it as text."""

    losses: list[float]
    norms: list[float]
    text: str

    def figure(self, name: str) -> float:
        """What it says at its end."""
        return float(re.findall(rf"{name} ([\d.]+)", self.text)[-1])


def told(page: Path, *words: object) -> Told:
    """What `page` prints when it is called with these words; in this process, where torch is imported already."""
    out = io.StringIO()
    with mock.patch.object(sys, "argv", [str(page), *map(str, words)]), redirect_stdout(out):
        runpy.run_path(str(page), run_name="__main__")
    said = out.getvalue()
    losses, norms = (list(map(float, re.findall(rf"{name} ([\d.]+)", said))) for name in ("loss", "norm"))
    return Told(losses, norms, said)


def check_losses(page: Told, job: Job, *, learning_rate: float, count: int = 30) -> None:
    """Return if the loop's first steps have the page's losses and norms; nothing is dropped on either side."""
    began = begin(replace(job, settings={**job.settings, "steps": len(page.losses)}))
    for each in began.job.network.modules():
        if isinstance(each, Dropout):
            each.p = 0.0
    job, optimizer = began.job, began.optimizer(learning_rate=learning_rate)
    loop = steps(job.network, job.objective, optimizer, job.recipe(), order=job.order, fetch=job.fetch)
    ours = list(islice(loop, count))
    np.testing.assert_allclose([step.loss for step in ours], page.losses[:count], rtol=1e-3)
    np.testing.assert_allclose([step.gradient_norm for step in ours], page.norms[:count], rtol=1e-2)


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
    page = told(EXAMPLES / "classification.py", tiny_encoder, tmp_path / "train.csv", tmp_path / "validation.csv")
    schema = Schema("classification", "text", (Column("text", "text"),), "label", ("class 0", "class 1", "class 2"))
    assert len(page.losses) == 150
    job = build(schema, train, validation, base=tiny_encoder, settings=SETTINGS)
    check_losses(page, job, learning_rate=1e-3)
    assert page.figure("accuracy") > 0.8


def with_several(row: dict[str, str]) -> list[str]:
    return [name for name in ("class 0", "class 1", "class 2", "fee") if name in (row["label"], *row["text"].split())]


def check_labels(task: str, encoder: Path, folder: Path, labels: list[Any], classes: tuple[str, ...]) -> Told:
    """What the page of `task` tells of 500 texts to learn from and 60 others, its losses being the loop's."""
    drawn = texts(560, 1)
    written = ["|".join(each) if task == "multilabel" else str(each) for each in labels]
    files = [folder / "train.csv", folder / "validation.csv"]
    cells = drawn.with_columns(label=pl.Series(written))
    cells[:500].write_csv(files[0]), cells[500:].write_csv(files[1])
    page = told(EXAMPLES / f"{task}.py", encoder, *files)
    frame = drawn.with_columns(label=pl.Series(labels))
    schema = Schema(task, "text", (Column("text", "text"),), "label", classes)
    job = build(schema, frame[:500], frame[500:], base=encoder, settings=SETTINGS)
    check_losses(page, job, learning_rate=1e-3)
    return page


def test_several_labels_are_learnt_as_the_loop_does(tiny_encoder: Path, tmp_path: Path) -> None:
    labels = [with_several(row) for row in texts(560, 1).to_dicts()]
    page = check_labels("multilabel", tiny_encoder, tmp_path, labels, ("class 0", "class 1", "class 2", "fee"))
    assert page.figure("micro F1") > 0.8


def test_numbers_are_learnt_as_the_loop_does(tiny_encoder: Path, tmp_path: Path) -> None:
    """How many of three words that cost something a text has."""
    labels = [
        float(sum(row["text"].count(word) for word in ("fee", "rate", "top"))) for row in texts(560, 1).to_dicts()
    ]
    page = check_labels("regression", tiny_encoder, tmp_path, labels, ())
    assert page.figure("R2") > 0.3


def test_a_masked_language_model_is_what_the_loop_does(tmp_path: Path) -> None:
    """A thing has always the same colour, so that what is hidden of one stands in the other."""
    generator, pairs = np.random.default_rng(0), ["red cat", "blue dog", "green hat", "grey kite"]
    rows = [f"the {generator.choice(pairs)} sees the {generator.choice(pairs)}" for _ in range(360)]
    parts = [rows[:320], rows[320:]]
    files = [tmp_path / name for name in ("train.txt", "validation.txt")]
    for name, part in zip(files, parts, strict=True):
        name.write_text("\n".join(part), encoding="utf-8")
    tokenizer = learn_masking_tokenizer(rows, size=300)
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    config = {**sizes, "vocab_size": len(tokenizer), "max_position_embeddings": 64, "initializer_range": 0.1}
    language_from_scratch("bert", "masked", config).model.bert.save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    page = told(EXAMPLES / "masked_language_model.py", tmp_path / "bert", *files)
    schema = Schema("language-modeling", "text", (Column("text", "text"),), "bytes", masked=True)
    frames = [pl.DataFrame({"text": part}).with_columns(bytes=pl.lit(1.0)) for part in parts]
    job = build(schema, *frames, base=tmp_path / "bert", settings=SETTINGS)
    check_losses(page, job, learning_rate=2e-3, count=50)
    assert page.figure("guessed rightly") > 0.6


def marked(count: int, seed: int) -> pl.DataFrame:
    """Texts in which "top up" is an action and what follows "lost" is a thing; a thing may have two words."""
    generator, rows = np.random.default_rng(seed), []
    for _ in range(count):
        text, spans = "", []
        for _ in range(int(generator.integers(1, 5))):
            said, label = [("top up", "action"), ("card", "thing"), ("cash", "thing"), ("the rate", "thing")][
                int(generator.integers(4))
            ]
            text += str(generator.choice(["please", "help my", "late fee,"])) + (" lost " if label == "thing" else " ")
            spans.append({"start": len(text), "end": len(text) + len(said), "label": label})
            text += said + " "
        rows.append({"text": text + "my card", "spans": spans})
    return pl.DataFrame(rows)


def test_tagging_is_what_the_loop_does(tiny_encoder: Path, tmp_path: Path) -> None:
    train, validation = marked(480, 1), marked(60, 2)
    train.write_ndjson(tmp_path / "train.jsonl"), validation.write_ndjson(tmp_path / "validation.jsonl")
    page = told(EXAMPLES / "tagging.py", tiny_encoder, tmp_path / "train.jsonl", tmp_path / "validation.jsonl")
    schema = Schema("tagging", "text", (Column("text", "text"),), "spans", ("action", "thing"))
    job = build(schema, train, validation, base=tiny_encoder, settings=SETTINGS)
    check_losses(page, job, learning_rate=1e-3)
    assert page.figure("entity F1") > 0.8


def pictures(folder: Path, count: int, seed: int) -> pl.DataFrame:
    """Noise with a lying or a standing bar, as PNG files in a folder for each class, and the same as a table."""
    generator, rows = np.random.default_rng(seed), []
    for number in range(count):
        label = ["lying", "standing"][number % 2]
        values = generator.integers(0, 120, (32, 32, 3), dtype=np.uint8)
        values[int(generator.integers(4, 28)) :][:3] += np.uint8(100)
        if label == "standing":
            values = values.transpose(1, 0, 2).copy()
        (folder / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(folder / label / f"{number:04}.png")
    for path in sorted(folder.glob("*/*")):
        rows.append({"image": path.read_bytes(), "label": path.parent.name})
    return pl.DataFrame(rows)


def test_images_are_learnt_as_the_loop_does(tmp_path: Path) -> None:
    train, validation = pictures(tmp_path / "train", 200, 1), pictures(tmp_path / "validation", 60, 2)
    page = told(EXAMPLES / "images.py", tmp_path / "train", tmp_path / "validation")
    schema = Schema("classification", "image", (Column("image", "image"),), "label", ("lying", "standing"))
    settings = {**SETTINGS, "image_size": 32, "smoothing": 0.1}
    job = build(schema, train, validation, base="resnet-small", settings=settings)
    check_losses(page, job, learning_rate=2e-3, count=10)  # rounding grows quickly where batches are normalised
    assert page.figure("accuracy") > 0.9


def sentences(count: int, seed: int) -> str:
    generator, colours, things = np.random.default_rng(seed), ["red", "blue", "green", "grey"], ["cat", "dog", "hat"]
    drawn = [(generator.choice(colours), generator.choice(things)) for _ in range(count)]
    return "\n".join(f"the {colour} {thing} sees everything" for colour, thing in drawn)


def test_a_language_model_is_what_the_loop_does(tmp_path: Path) -> None:
    """A sentence is one of 4 x 3, log2(12) = 3.585 bits; it has 25 bytes and those of its colour, (3 + 4 + 5 + 4) / 4.

    So 3.585 / 29 = .1236 bits a byte are the least.
    """
    parts = sentences(900, 1), sentences(100, 2)
    names = [tmp_path / name for name in ("train.txt", "validation.txt")]
    for name, part in zip(names, parts, strict=True):
        name.write_text(part, encoding="utf-8")
    page = told(EXAMPLES / "language_model.py", *names)
    schema = Schema("language-modeling", "text", (Column("text", "text"),), "bytes")
    train, validation = (pl.DataFrame({"text": [part], "bytes": [float(len(part))]}) for part in parts)
    settings = {**SETTINGS, "batch_size": 8, "max_length": 64, "stream": True, "vocabulary": 512, "optimizer": "muon"}
    job = build(schema, train, validation, base="llama-2x128", settings=settings)
    check_losses(page, job, learning_rate=2e-3)
    assert 0.1236 < page.figure("bits per byte") < 0.16


TEMPLATE = """\
{%- for message in messages %}{{ message.role + ':\n' + message.content }}
{%- if message.role == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}{% endfor -%}
{%- if add_generation_prompt %}{{ 'assistant:\n' }}{% endif -%}
"""


def questions(count: int, seed: int) -> pl.DataFrame:
    """What colour is a thing? The answer stands in the question."""
    generator, colours = np.random.default_rng(seed), ["red", "blue"]
    drawn = [str(generator.choice(colours)) for _ in range(count)]
    asked = [f"a {colour} {generator.choice(['cat', 'hat', 'small kite'])}" for colour in drawn]
    return pl.DataFrame({"prompt": asked, "answer": drawn})


@pytest.fixture(params=[TEMPLATE, None], ids=["template", "plain"])
def tiny_chat(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A Llama with fresh weights, with a chat template and without, in hub layout."""
    folder, texts = tmp_path / "chat", questions(50, 3)["prompt"].to_list()
    tokenizer = learn_tokenizer([*texts, "user assistant"], size=300)
    tokenizer.chat_template = request.param
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "initializer_range": 0.2}
    config = {**sizes, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": 128}
    language_from_scratch("llama", "causal", config).model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")  # PEFT's
def test_learning_to_answer_is_what_the_loop_does(tiny_chat: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    train, validation = questions(400, 1), questions(60, 2)
    train.write_csv(tmp_path / "train.csv"), validation.write_csv(tmp_path / "validation.csv")
    page = told(EXAMPLES / "instructions.py", tiny_chat, tmp_path / "train.csv", tmp_path / "validation.csv")
    schema = Schema("generation", "text", (Column("prompt", "text"),), "answer")
    settings = {**SETTINGS, "max_length": 128, "stream": False, "rank": 16, "alpha": 32}
    job = build(schema, train, validation, base=tiny_chat, settings=settings)
    check_losses(page, job, learning_rate=2e-3)
    assert page.figure("answered to the letter") > 0.9  # of two colours


def test_each_page_is_short_and_flat() -> None:
    for page in EXAMPLES.glob("*.py"):
        lines = page.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 120, page
        assert not any(line.startswith("class ") or "modelwright." in line for line in lines), page
