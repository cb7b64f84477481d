"""Which models and methods come into question for a dataset, and why the others do not."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from modelwright.models.catalogue import Entry, catalogue, locate, on_this_machine
from modelwright.models.precision import device
from modelwright.problem import Problem
from modelwright.records import Candidate, Dataset, Schema

CLASSICAL = "trees, linear and their blend"
ADAPTED = ("lora", "qlora")


def consider(schema: Schema, dataset: Dataset, problem: Problem, *, folder: Path) -> list[Candidate]:
    """The models that come into question, the preferred first; the first that fits is taken."""
    method, base = problem.model.method, problem.model.base
    if schema.kind == "table" or method == "classical":
        if schema.kind != "table":
            return [Candidate(CLASSICAL, "classical", False, f"the ladder already has it for {schema.kind}")]
        fits = method in ("auto", "classical")
        return [Candidate(CLASSICAL, "classical", fits, "tables: tuned within the budget" if fits else method)]
    if base != "auto":
        found = locate(base, folder=folder)
        wanted = "scratch" if isinstance(found, str) else "full"
        return [_asked(base, wanted, method)]
    listed = [_candidate(entry, schema, dataset, method) for entry in catalogue().values() if entry.kind == schema.kind]
    return sorted(listed, key=lambda each: not each.fits)


def _asked(base: str, wanted: str, method: str) -> Candidate:
    if method in ADAPTED and wanted == "full":
        missing = _missing(method)
        return Candidate(base, method, not missing, missing or "named in problem.yaml")
    return Candidate(base, wanted, method in ("auto", wanted), "named in problem.yaml")


def _missing(method: str) -> str:
    """Which package `method` needs that is not installed, or nothing."""
    needed = {"lora": ("peft",), "qlora": ("peft", "bitsandbytes")}[method]
    lacking = [name for name in needed if find_spec(name) is None]
    return f"needs {' and '.join(lacking)}: pip install 'modelwright[{method}]'" if lacking else ""


def _candidate(entry: Entry, schema: Schema, dataset: Dataset, method: str) -> Candidate:
    kind = "scratch" if entry.config else "full"
    if method in ADAPTED and kind == "full":
        if missing := _missing(method):
            return Candidate(entry.name, method, False, missing)
        kind = method
    if method not in ("auto", kind):
        return Candidate(entry.name, kind, False, f"model.method is {method}")
    if entry.hub and on_this_machine(entry) is None:
        return Candidate(entry.name, kind, False, "not on this machine; name it as model.base to download it")
    if entry.gpu_examples and (device() == "cpu" or dataset.parts["train"] < entry.gpu_examples):
        return Candidate(entry.name, kind, False, f"pays with a GPU and {entry.gpu_examples:,} examples")
    return Candidate(entry.name, kind, True, entry.about)
