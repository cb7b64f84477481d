"""What the data are: their kinds, their columns, and step 2."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Task = Literal["classification", "multilabel", "regression", "tagging", "generation", "language-modeling"]
LANGUAGE_TASKS: tuple[Task, ...] = ("generation", "language-modeling")
"""What language models are for."""
InputKind = Literal["text", "image", "table"]
ColumnKind = Literal["number", "category", "boolean", "date", "text", "messages", "image", "identifier", "constant"]
Severity = Literal["info", "warning", "error"]

POSITION = "__position__"
"""The column of every part that says where in the source an example stood, counted from 0."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the examples as the model sees it."""

    name: str
    kind: ColumnKind


@dataclass(frozen=True, slots=True)
class Schema:
    """What goes in and what comes out: all that a rung, a model or a server must know of the data.

    `inputs` holds only columns that models may use; `classes` is empty where answers are numbers or texts and
    otherwise in the order of the columns of every probability matrix. In a part, image columns hold the encoded file
    (PNG, JPEG) as bytes, and the output column holds, by task:

    - classification: the class, a string; regression: float64;
    - multilabel: the classes, a list of strings, sorted, empty where none fits;
    - tagging: a list of {start, end, label}: spans of characters of the one input text, in order, none within another;
    - generation: the right answer, a string;
    - language-modeling: how many bytes the text has in UTF-8, float64; what is answered is how many bits it takes;
    - the same with `masked`: how many bytes its hidden words have (data/hidden.py), and how many bits these take.
    """

    task: Task
    kind: InputKind
    inputs: tuple[Column, ...]
    output: str
    classes: tuple[str, ...] = ()
    positive: str | None = None  # the class that precision, recall and F1 of a two-class task are about
    masked: bool = False  # of language modeling: words are hidden and guessed from both sides

    @property
    def names(self) -> list[str]:
        """The names of the input columns, in order."""
        return [column.name for column in self.inputs]


class Span(NamedTuple):
    """Characters `start` to before `end` of a text, and what they are."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the data that a person should know, with examples and what to do next."""

    kind: str
    severity: Severity
    count: int
    examples: tuple[str, ...]
    next: str


@dataclass(frozen=True, slots=True)
class Seal:
    """The state of the sealed test part when the record was made; the ledger has the present one."""

    count: int
    looks_used: int
    looks_allowed: int


@dataclass(frozen=True, slots=True)
class Dataset:
    """Step 2: examples that can be learned from, split, with the test part sealed.

    `parts_sha256` is of the files of the open parts; empty in datasets of versions that did not keep it.
    """

    id: str
    path: str
    schema: Schema
    parts: dict[str, int]
    classes: tuple[str, ...]
    dropped: dict[str, int]
    findings: tuple[Finding, ...]
    seal: Seal
    source: str
    source_sha256: str
    split: str
    seconds: float
    excluded: dict[str, str] = field(default_factory=dict)
    label_ceiling: float | None = None
    parts_sha256: dict[str, str] = field(default_factory=dict)
