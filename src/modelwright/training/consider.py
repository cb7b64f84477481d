"""Which models and methods come into question for a dataset, and why the others do not."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import polars as pl

from modelwright.data.parts import read_part
from modelwright.models.catalogue import FRESH_TEXT, Entry, catalogue, locate, on_this_machine
from modelwright.models.merging import about_merged
from modelwright.models.precision import device
from modelwright.models.room import weight_shapes
from modelwright.problem import Problem
from modelwright.records import LANGUAGE_TASKS, Candidate, Dataset, Schema, Setting

CLASSICAL = "trees, linear and their blend"
ADAPTED = ("lora", "qlora")
RANK = 16
"""Of adapters: on small data a classifier gains nothing from more (Hu et al. 2021, table 6, find 8 enough)."""


def consider(schema: Schema, dataset: Dataset, problem: Problem, *, folder: Path) -> list[Candidate]:
    """The models that come into question, the preferred first; the first that fits is taken."""
    method, base = problem.model.method, problem.model.base
    if schema.kind == "table" or method == "classical":
        if schema.kind != "table":
            return [Candidate(CLASSICAL, "classical", False, f"the ladder already has it for {schema.kind}")]
        if schema.task == "multilabel":
            return [Candidate(CLASSICAL, "classical", False, "of several labels a table has what the ladder has")]
        fits = method in ("auto", "classical")
        return [Candidate(CLASSICAL, "classical", fits, "tables: tuned within the budget" if fits else method)]
    if base != "auto":
        return [_asked(base, locate(base, folder=folder), method)]
    if schema.task in LANGUAGE_TASKS:
        return _languages(dataset, method)
    listed = [_candidate(entry, schema, dataset, method) for entry in catalogue().values() if entry.kind == schema.kind]
    if schema.kind == "text":
        size = text_bytes(dataset)
        own = [_fresh(entry, method, size) for entry in catalogue().values() if entry.kind == FRESH_TEXT]
        listed += reversed(own)  # the largest that the texts are enough for
    return sorted(listed, key=lambda each: not each.fits)


def _languages(dataset: Dataset, method: str) -> list[Candidate]:
    """Language models: one that is on this machine, else from scratch the largest that the texts are enough for."""
    size = text_bytes(dataset)
    listed = [
        _enough(_candidate(entry, dataset.schema, dataset, method), entry, size)
        for entry in catalogue().values()
        if entry.kind == "language"
    ]
    fitting = [each for each in listed if each.fits]
    ready = [each for each in fitting if each.method != "scratch"]
    own = [each for each in reversed(fitting) if each.method == "scratch"]
    return [*ready, *own, *(each for each in listed if not each.fits)]


def _fresh(entry: Entry, method: str, size: int) -> Candidate:
    """An encoder of text from scratch: it knows no language yet, and so is taken only where the user says so."""
    if method != "scratch":
        return Candidate(entry.name, "scratch", False, "knows nothing yet; name it, or set model.method to scratch")
    return _enough(Candidate(entry.name, "scratch", True, entry.about), entry, size)


def _enough(found: Candidate, entry: Entry, size: int) -> Candidate:
    """The same, or why not where there are too few texts, `size` bytes, for it to be chosen by itself."""
    if not found.fits or size >= entry.least_bytes:
        return found
    reason = f"for {entry.least_bytes / 1e6:g} MB of text or more, and there are {size / 1e6:.2g} MB"
    return Candidate(found.model, found.method, False, reason)


def text_bytes(dataset: Dataset) -> int:
    """Bytes of the texts that a language model would learn from."""
    train = read_part(dataset, "train")
    columns = [*dataset.schema.names, *([dataset.schema.output] if dataset.schema.task == "generation" else [])]
    return sum(int(train[name].cast(pl.String).str.len_bytes().sum() or 0) for name in columns)


def _asked(base: str, found: Path | str, method: str) -> Candidate:
    why = "named in problem.yaml" + (": adapters, merged into their base" if about_merged(found) else "")
    if method in ADAPTED and isinstance(found, Path):
        lacking = missing(method) or _nothing_to_adapt(found)
        return Candidate(base, method, not lacking, lacking or why)
    wanted = "scratch" if isinstance(found, str) else "full"
    if method in ("auto", wanted):
        return Candidate(base, wanted, True, why)
    is_ = "starts from fresh weights" if wanted == "scratch" else "is pre-trained"
    return Candidate(base, wanted, False, f"it {is_}: set model.method to {wanted}, and not to {method}")


def missing(method: str) -> str:
    """Which package `method` needs that is not installed, or nothing."""
    needed = {"lora": ("peft",), "qlora": ("peft", "bitsandbytes")}[method]
    lacking = [name for name in needed if find_spec(name) is None]
    return f"needs {' and '.join(lacking)}: pip install 'modelwright[{method}]'" if lacking else ""


def _nothing_to_adapt(folder: Path) -> str:
    """Why adapters have no place in the model in `folder`, or nothing."""
    shapes = weight_shapes(folder)
    inside = [shape for name, shape in shapes.items() if not name.startswith("classifier")]
    if not inside or any(len(shape) == 2 for shape in inside):
        return ""
    return "it is made of convolutions, and adapters stand beside linear layers: set model.method to full"


def _candidate(entry: Entry, schema: Schema, dataset: Dataset, method: str) -> Candidate:
    kind = "scratch" if entry.config else "full"
    if method in ADAPTED and kind == "full":
        if lacking := missing(method):
            return Candidate(entry.name, method, False, lacking)
        kind = method
    if method not in ("auto", kind):
        return Candidate(entry.name, kind, False, f"model.method is {method}")
    here = on_this_machine(entry) if entry.hub else None
    if entry.hub and here is None:
        return Candidate(entry.name, kind, False, "not on this machine; name it as model.base to download it")
    if here and kind in ADAPTED and (lacking := _nothing_to_adapt(here)):
        return Candidate(entry.name, kind, False, lacking)
    if entry.gpu_examples and (device() == "cpu" or dataset.parts["train"] < entry.gpu_examples):
        return Candidate(entry.name, kind, False, f"pays with a GPU and {entry.gpu_examples:,} examples")
    return Candidate(entry.name, kind, True, entry.about)


def adapter_sizes(method: str) -> dict[str, Setting]:
    """What adapters are like; nothing of them for other methods."""
    return {
        "rank": Setting(RANK if method in ADAPTED else 0, f"rule: {RANK} for adapters, none otherwise"),
        "alpha": Setting(2 * RANK if method in ADAPTED else 0, "rule: twice the rank"),
        "quantised": Setting(method == "qlora", "the method"),
    }
