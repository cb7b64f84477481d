"""The kinds of run that are killed: each writes a dataset and says how to train on it. A new kind is a row of KINDS."""

from __future__ import annotations

import io
import runpy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from modelwright.data.hidden import asked_bytes
from modelwright.data.spans import SPANS
from modelwright.records import POSITION, Column, Dataset, Schema, Seal

TESTS = Path(__file__).resolve().parent.parent
TAGS = ("card", "cash", "lost")
LOGS = ("log.jsonl", "log.csv", "history.json", "remarks.jsonl")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of run.

    Args:
        dataset: Writes the parts into a folder.
        model: The problem's section `model`.
        training: The problem's section `training`.
        stated: What else the problem states.
        metric: By which a checkpoint is the best.
        logs: Files of the run's folder that must end with the same bytes.
        journal: A file of JSON lines that must end with the same lines but for `seconds` and the checksum.
        encoder: Whether `model.base` is the tiny encoder.
    """

    dataset: Callable[[Path], Dataset]
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    stated: dict[str, Any] = field(default_factory=lambda: {"output": "label"})
    metric: str = "accuracy"
    logs: tuple[str, ...] = LOGS
    journal: str | None = None
    encoder: bool = False

    def problem(self, root: Path) -> dict[str, Any]:
        """The problem of this kind, whose files are in `root`."""
        model = dict(self.model)
        if self.encoder:
            runpy.run_path(str(TESTS / "conftest.py"))["write_tiny_encoder"](root / "encoder")
            model["base"] = str(root / "encoder")
        return {
            "name": "killed",
            **self.stated,
            "data": {"source": "none"},
            "model": model,
            "training": self.training,
        }


def texts(folder: Path) -> Dataset:
    frame = runpy.run_path(str(TESTS / "training/conftest.py"))["texts"](240, seed=1)
    return _written(folder, frame, Schema("classification", "text", (Column("text", "text"),), "label"))


def tagged(folder: Path) -> Dataset:
    """Each of three words is a span."""
    frame, cells = runpy.run_path(str(TESTS / "training/conftest.py"))["texts"](160, seed=1), []
    for text in frame["text"]:
        starts = np.cumsum([0, *(len(word) + 1 for word in text.split())]).tolist()
        found = [(start, word) for start, word in zip(starts, text.split(), strict=False) if word in TAGS]
        cells.append([{"start": start, "end": start + len(word), "label": word} for start, word in found])
    schema = Schema("tagging", "text", (Column("text", "text"),), "label", TAGS)
    return _written(folder, frame.with_columns(pl.Series("label", cells, dtype=SPANS)), schema)


def images(folder: Path) -> Dataset:
    from PIL import Image

    generator = np.random.default_rng(0)
    rows = []
    for _ in range(160):
        label = int(generator.integers(3))
        pixels = generator.integers(0, 60, size=(12, 12), dtype=np.uint8)
        pixels[:, label * 4 : label * 4 + 4] += 120
        opened = io.BytesIO()
        Image.fromarray(pixels).save(opened, "PNG")
        rows.append({"image": opened.getvalue(), "label": f"class {label}"})
    return _written(folder, pl.DataFrame(rows), Schema("classification", "image", (Column("image", "image"),), "label"))


def table(folder: Path) -> Dataset:
    generator = np.random.default_rng(0)
    size, other = generator.normal(size=120), generator.normal(size=120)
    label = np.where(size + 0.3 * other + 0.2 * generator.normal(size=120) > 0, "class 1", "class 0")
    frame = pl.DataFrame({"size": size, "other": other, "label": label})
    columns = (Column("size", "number"), Column("other", "number"))
    return _written(folder, frame, Schema("classification", "table", columns, "label"))


def sentences(folder: Path) -> Dataset:
    found = _sentences()
    frame = pl.DataFrame({"text": found, "bytes": [float(len(text)) for text in found]})
    return _written(folder, frame, Schema("language-modeling", "text", (Column("text", "text"),), "bytes"))


def chapters(folder: Path) -> Dataset:
    """So long that they are one stream."""
    said = _sentences()
    found = [". ".join(said[start : start + 80]) for start in range(0, 80, 8)]
    frame = pl.DataFrame({"text": found, "bytes": [float(len(text)) for text in found]})
    return _written(folder, frame, Schema("language-modeling", "text", (Column("text", "text"),), "bytes"))


def questions(folder: Path) -> Dataset:
    """The answer is the question's first colour."""
    generator = np.random.default_rng(0)
    colours = [str(each) for each in generator.choice(["red", "blue", "green"], 120)]
    asked = [f"a {colour} {generator.choice(['cat', 'dog', 'hat'])}: which colour" for colour in colours]
    frame = pl.DataFrame({"prompt": asked, "answer": colours})
    return _written(folder, frame, Schema("generation", "text", (Column("prompt", "text"),), "answer"))


def hidden(folder: Path) -> Dataset:
    frame = pl.DataFrame({"text": _sentences()})
    schema = Schema("language-modeling", "text", (Column("text", "text"),), "bytes", masked=True)
    return _written(folder, frame.with_columns(bytes=asked_bytes(schema, frame).cast(pl.Float64)), schema)


def _sentences() -> list[str]:
    generator = np.random.default_rng(0)
    return [" ".join(generator.choice(["the", "red", "cat", "sees", "a", "dog"], 6)) for _ in range(160)]


KINDS = {
    "encoder": Kind(texts, training={"epochs": 4, "learning_rate": 1e-3, "batch_size": 16}, encoder=True),
    "lora": Kind(texts, {"method": "lora"}, {"epochs": 3, "learning_rate": 5e-3, "batch_size": 16}, encoder=True),
    "tagging": Kind(
        tagged,
        training={"epochs": 3, "learning_rate": 1e-3, "batch_size": 16},
        stated={"task": "tagging", "output": "label"},
        metric="micro_f1",
        encoder=True,
    ),
    "image": Kind(images, training={"epochs": 2, "learning_rate": 1e-3, "batch_size": 16}),
    "language": Kind(
        sentences,
        {"base": "llama-2x128"},
        {"epochs": 2, "batch_size": 8},
        stated={"task": "language-modeling"},
        metric="bits_per_byte",
    ),
    "stream": Kind(
        chapters,
        {"base": "llama-2x128"},
        {"epochs": 2, "batch_size": 2},
        stated={"task": "language-modeling"},
        metric="bits_per_byte",
    ),
    "generation": Kind(
        questions,
        {"base": "llama-2x128"},
        {"epochs": 2, "batch_size": 8},
        stated={"task": "generation", "output": "answer"},
        metric="exact_match",
    ),
    "masked": Kind(
        hidden,
        {"base": "bert-2x128"},
        {"epochs": 3, "batch_size": 8},
        stated={"task": "language-modeling"},
        metric="bits_per_byte",
    ),
    "trials": Kind(
        texts,
        {"method": "full"},
        {"epochs": 2, "batch_size": 16, "trials": 4},
        journal="trials.jsonl",
        encoder=True,
    ),
    "trees": Kind(table, logs=("history.json", "blend.json"), journal="trials.jsonl"),
}


def _written(folder: Path, frame: pl.DataFrame, schema: Schema) -> Dataset:
    """The first three quarters of `frame` to train on, the rest to validate on."""
    folder.mkdir()
    frame = frame.with_columns(pl.Series(POSITION, np.arange(len(frame))))
    cut, classes = len(frame) * 3 // 4, schema.classes
    if schema.task == "classification":
        classes = tuple(sorted(frame["label"].unique()))
    frame[:cut].write_parquet(folder / "train.parquet")
    frame[cut:].write_parquet(folder / "validation.parquet")
    parts = {"train": cut, "validation": len(frame) - cut, "test": 0}
    whole = replace(schema, classes=classes, positive=classes[1] if len(classes) == 2 else None)
    seal = Seal(0, 0, 20)
    return Dataset("d", str(folder), whole, parts, classes, {}, (), seal, "", "", "75/25, stratified, seed 0", 0.0)
