"""Step 1: problem.yaml -> Problem. All faults at once, each with its path; 34 fields, 40 at most."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from modelwright.errors import Fault, ProblemError
from modelwright.records import Task
from modelwright.registry import suggestion

FILE = "problem.yaml"
Auto = Literal["auto"]

ALIASES = {
    "target": "output",
    "label": "output",
    "per_device_train_batch_size": "batch_size",
    "train_batch_size": "batch_size",
    "micro_batch_size": "batch_size",
    "num_train_epochs": "epochs",
    "num_epochs": "epochs",
    "lr": "learning_rate",
    "max_grad_norm_clip": "max_grad_norm",
    "gradient_clipping": "max_grad_norm",
    "random_seed": "seed",
    "random_state": "seed",
    "model_name_or_path": "base",
    "base_model": "base",
    "finetuning_type": "method",
    "mixed_precision": "precision",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
}
"""Spellings that other tools use for the same thing -> ours. Applied within the section they stand in."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=False)]
Share = Annotated[float, Field(ge=0, le=1, strict=False)]


class Constraints(_Section):
    """Limits that a deployed answer must keep."""

    latency_ms: Positive | None = None
    error_rate: Share | None = None
    cost_per_1000: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=False)] | None = None


class Split(_Section):
    """How the examples are divided: shares, and what must not straddle two parts."""

    train: Share = 0.8
    validation: Share = 0.1
    test: Share = 0.1
    group: str | None = None
    time: str | None = None
    column: str | None = None

    @model_validator(mode="after")
    def _shares_fill_one(self) -> Split:
        total = self.train + self.validation + self.test
        if not math.isclose(total, 1, abs_tol=1e-6) or self.train <= 0:
            raise ValueError(f"the shares add up to {total:g} with train {self.train:g}; they must add up to 1")
        return self


class Data(_Section):
    """Where the examples come from and how they are split."""

    source: str
    query: str | None = None
    split: Split = Split()
    test: str | None = None


class Model(_Section):
    """The model to start from (`auto`, a hub id, a folder, a catalogue name) and how to train it."""

    base: str = "auto"
    method: Literal["auto", "classical", "scratch", "full", "lora", "qlora"] = "auto"


class Training(_Section):
    """Settings of the loop; every `auto` is resolved by a stated rule and printed with its origin."""

    learning_rate: Positive | Auto = "auto"
    batch_size: Annotated[int, Field(ge=1, le=65536)] | Auto = "auto"
    epochs: Annotated[float, Field(gt=0, le=10000, strict=False)] | Auto = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    max_grad_norm: Positive = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    budget_minutes: Positive | None = None


class Compute(_Section):
    """Where the work runs."""

    engine: Literal["local"] = "local"


class Problem(_Section):
    """A problem as stated. Unset values are resolved by the steps, which print value and origin."""

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    statement: str = ""
    correct: str = ""
    task: Task | Auto = "auto"
    input: str | tuple[str, ...] = "*"
    output: str
    metric: str | Auto = "auto"
    goal: Annotated[float, Field(allow_inf_nan=False, strict=False)] | None = None
    constraints: Constraints = Constraints()
    data: Data
    model: Model = Model()
    training: Training = Training()
    compute: Compute = Compute()
    store: str | None = None

    @field_validator("input", mode="before")
    @classmethod
    def _list_is_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @property
    def seed(self) -> int:
        """The seed that every step draws from."""
        return self.training.seed


def load(folder: Path) -> tuple[Problem, list[str]]:
    """The problem stated in `folder`, and notes on accepted spellings that are not ours.

    Raises:
        ProblemError: with every fault in the file.
    """
    path = folder / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        todo = f"run `modelwright new {folder} --data FILE --output COLUMN` first"
        raise ProblemError(Fault(str(path), "there is no such file", "a problem file", todo)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ProblemError(Fault(str(path), f"cannot be read: {error}", "UTF-8 text")) from error
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ProblemError(Fault(str(path), f"is not YAML: {error}", "YAML")) from error
    return parse(found)


def parse(found: Any) -> tuple[Problem, list[str]]:
    """The problem that the mapping `found` states, and notes on accepted foreign spellings.

    Raises:
        ProblemError: with every fault.
    """
    if not isinstance(found, dict):
        raise ProblemError(Fault(FILE, f"holds a {type(found).__name__}", "a mapping of fields"))
    notes: list[str] = []
    renamed = _rename(found, Problem, "", notes)
    try:
        return Problem.model_validate(renamed), notes
    except ValidationError as error:
        raise ProblemError(_faults(error)) from error


def _rename(found: dict[Any, Any], model: type[BaseModel], path: str, notes: list[str]) -> dict[Any, Any]:
    """`found` with foreign spellings replaced by ours, section by section."""
    renamed = {}
    for key, value in found.items():
        ours = ALIASES.get(str(key), key)
        if key not in model.model_fields and ours in model.model_fields and ours not in found:
            notes.append(f"{path}{key} is read as {path}{ours}")
        else:
            ours = key
        section = _section(model, ours)
        inner = isinstance(value, dict) and section is not None
        renamed[ours] = _rename(value, section, f"{path}{ours}.", notes) if inner and section else value
    return renamed


def _section(model: type[BaseModel], key: Any) -> type[BaseModel] | None:
    field = model.model_fields.get(str(key))
    kind = field.annotation if field else None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _faults(error: ValidationError) -> Iterator[Fault]:
    """One fault for each field at fault (a union reports each of its members: they are merged)."""
    seen: dict[str, Fault] = {}
    for each in error.errors():
        names: list[str] = []
        model: type[BaseModel] | None = Problem
        for step in each["loc"]:
            if model is None or not (str(step) in model.model_fields or each["type"] == "extra_forbidden"):
                break
            names.append(str(step))
            if str(step) in model.model_fields:
                last, model = model, _section(model, step)
            else:
                last = model
        where = ".".join(names) or FILE
        if each["type"] == "extra_forbidden":
            fault = Fault(where, "is not a field", "", suggestion(names[-1], list(last.model_fields)))
        elif each["type"] == "missing":
            fault = Fault(where, "is missing", "a value")
        else:
            fault = Fault(where, f"{each['input']!r:.80}", each["msg"][0].lower() + each["msg"][1:])
        if where in seen and seen[where].expected != fault.expected:
            fault = Fault(where, fault.found, f"{seen[where].expected}, or {fault.expected}")
        seen[where] = fault
    yield from seen.values()
