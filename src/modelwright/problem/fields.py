"""The fields of problem.yaml: 39, and 40 at most.

Each field's description is the comment in a new problem.yaml, the "expected" of its fault and its line in
the documentation.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from modelwright.records import Task

Auto = Literal["auto"]
Duplicates = Literal["auto", "drop", "group", "report"]
"""What is done about examples that are nearly the same."""
TASKS = get_args(Task)


def _text(value: Any) -> Any:
    """A number as text: a column may be called 2024, which YAML reads as a number."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _texts(value: Any) -> Any:
    return tuple(map(_text, value)) if isinstance(value, list | tuple) else _text(value)


def _names(value: Any) -> Any:
    """A list of columns as one text, which names several columns of noughts and ones."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) and value else _text(value)


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"{value}|a number")
    return value


Text = Annotated[str, BeforeValidator(_text)]
Filled = Annotated[str, BeforeValidator(_text), Field(min_length=1)]
Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False, strict=False)]
Positive = Annotated[Number, Field(gt=0)]
Share = Annotated[Number, Field(ge=0, le=1)]


def _says(description: str, default: Any = ...) -> Any:
    return Field(default, description=description)


class Section(BaseModel):
    """Fields that belong together: frozen, and an unknown one is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Constraints(Section):
    """Limits that a deployed answer must keep."""

    latency_ms: Positive | None = _says("milliseconds that one answer may take", None)
    error_rate: Share | None = _says("share of answers that may be wrong, 0 to 1", None)
    cost_per_1000: Annotated[Number, Field(ge=0)] | None = _says("dollars that 1,000 answers may cost", None)


class Split(Section):
    """How the examples are divided: shares that add up to 1, and what must not straddle two parts."""

    train: Share = _says("share to learn from", 0.8)
    validation: Share = _says("share to choose by", 0.1)
    test: Share = _says("share that is sealed for the final figure", 0.1)
    group: Filled | None = _says("column whose equal values stay in one part (a customer, a document)", None)
    time: Filled | None = _says("column of dates or times: the newest examples become the test part", None)
    column: Filled | None = _says("column that names the part of each example (an official split)", None)

    @model_validator(mode="after")
    def _shares_fill_one(self) -> Split:
        total = self.train + self.validation + self.test
        if not math.isclose(total, 1, abs_tol=1e-6) or self.train <= 0:
            shares = f"train {self.train:g}, validation {self.validation:g}, test {self.test:g}"
            raise ValueError(f"{shares} add up to {total:g}|three shares that add up to 1, with some train")
        return self


class Data(Section):
    """Where the examples come from and how they are split."""

    source: Filled = _says("file, glob, folder of images by class, zip, database URL, or hf://owner/name")
    query: Filled | None = _says("SQL that gives the examples, where the source is a database", None)
    split: Split = _says("shares and what must not straddle two parts", Split())
    test: Filled | None = _says("file with the official test examples", None)
    duplicates: Duplicates = _says(
        "near-duplicates: drop the later one, group: keep both in one part, report, or auto: drop, in tables group",
        "auto",
    )


class Model(Section):
    """The model to start from and how to train it."""

    base: Filled = _says("auto, a name of the catalogue, a hub id, or a folder", "auto")
    method: Literal["auto", "classical", "scratch", "full", "lora", "qlora"] = _says(
        "auto, classical, scratch, full, lora or qlora", "auto"
    )


class Training(Section):
    """Settings of the loop; every `auto` is resolved by a stated rule and printed with its origin."""

    learning_rate: Positive | Auto = _says("auto, or a number above 0", "auto")
    batch_size: Annotated[int, Field(ge=1, le=65536)] | Auto = _says("auto, or examples per step, 1 to 65536", "auto")
    epochs: Annotated[Number, Field(gt=0, le=10000)] | Auto = _says(
        "auto, or passes over the examples, above 0 and at most 10000", "auto"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = _says("auto, fp32, bf16 or fp16", "auto")
    compile: bool | Auto = _says("auto: where it pays back within the run; true or false", "auto")
    max_grad_norm: Positive = _says("length at which gradients are clipped, above 0", 1.0)
    seed: Annotated[int, Field(ge=0, lt=2**31)] = _says("whole number from 0 on; the same one repeats all", 0)
    trials: Annotated[int, Field(ge=1, le=1000)] = _says(
        "trainings of a network that are compared within the one budget; 1: the plan's own alone", 1
    )
    budget_minutes: Positive | None = _says("minutes that a whole run may take, above 0", None)
    budget_dollars: Positive | None = _says("dollars that a whole run may cost, at compute.dollars_per_hour", None)


class Compute(Section):
    """Where the work runs."""

    engine: Literal["local", "ray"] = _says("local: this machine; ray: a cluster, for training", "local")
    workers: Annotated[int, Field(ge=1, le=4096)] = _says("processes that train together, one for each GPU", 1)
    sharding: Literal["auto", "replicate", "shard"] = _says(
        "auto, replicate: each worker holds all weights; shard: each a part", "auto"
    )
    address: Text = _says("auto, or where the Ray cluster is: host:port, ray://host:port", "auto")
    dollars_per_hour: Annotated[Number, Field(ge=0)] | None = _says("what an hour of this machine costs", None)


class Problem(Section):
    """A problem as stated. Unset values are resolved by the steps, which print value and origin."""

    name: Annotated[
        str,
        BeforeValidator(_text),
        Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"),
    ] = _says("letters, digits, dots, dashes and underscores; at most 100")
    statement: Text = _says("what the model is for, in a sentence or two", "")
    correct: Text = _says("what a correct answer looks like, also in unclear cases", "")
    task: Task | Auto = _says(f"auto, {', '.join(TASKS[:-1])} or {TASKS[-1]}", "auto")
    input: Annotated[str | tuple[Filled, ...], BeforeValidator(_texts)] = _says(
        'a column, a list of columns, or "*" for every column but the output', "*"
    )
    output: Annotated[str, BeforeValidator(_names), Field(min_length=1)] | None = Field(
        None,
        description="column with the right answers, or columns of 0 and 1, one a label; language-modeling has none",
        validate_default=True,
    )
    metric: Filled = _says("auto, or the figure that decides: macro_f1, accuracy, r2...", "auto")
    goal: Number | None = _says("value of the metric that is good enough; unset: the best that the budget buys", None)
    constraints: Constraints = _says("limits that a deployed answer must keep", Constraints())
    data: Data = _says("where the examples come from and how they are split")
    model: Model = _says("the model to start from and how to train it", Model())
    training: Training = _says("settings of training", Training())
    compute: Compute = _says("where the work runs", Compute())
    store: Filled | None = _says("null: a file in this folder; or postgresql://user@host/database", None)

    @field_validator("output")
    @classmethod
    def _output_suits_task(cls, output: str | None, info: ValidationInfo) -> str | None:
        task = info.data.get("task")  # None where the task itself is at fault
        if output is None and task != "language-modeling":
            raise ValueError("is missing|column that holds the right answers; only task: language-modeling has none")
        if output is not None and task == "language-modeling":
            raise ValueError(f"{output!r}|no output: a language model learns its input, text after text")
        return output

    @model_validator(mode="after")
    def _input_is_not_output(self) -> Problem:
        inputs = (self.input,) if isinstance(self.input, str) else self.input
        if self.output in inputs:
            raise ValueError(f"{self.output!r} is both input and output|an output that is no input")
        if len(set(inputs)) < len(inputs) or not inputs:
            found = "names a column twice" if inputs else "is empty"
            raise ValueError(f'input {found}|each input column once, or "*" for all')
        return self

    @model_validator(mode="after")
    def _dollars_have_a_price(self) -> Problem:
        if self.training.budget_dollars is not None and not self.compute.dollars_per_hour:
            raise ValueError("training.budget_dollars has no price to count by|compute.dollars_per_hour beside it")
        return self

    @model_validator(mode="after")
    def _trials_have_one_worker(self) -> Problem:
        if self.training.trials > 1 and self.compute.workers > 1:
            found = f"training.trials {self.training.trials} with compute.workers {self.compute.workers}"
            raise ValueError(f"{found}|one of the two: 1 trial, or trials that one worker makes in turn")
        return self

    @property
    def seed(self) -> int:
        """The seed that every step draws from."""
        return self.training.seed
