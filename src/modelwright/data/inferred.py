"""What inference comes to."""

from __future__ import annotations

from dataclasses import dataclass

from modelwright.records import Column, InputKind, Task

FEWEST_EXAMPLES = 20
"""Examples with an output below which nothing is learned. Chosen: two of each of two classes in every part."""


@dataclass(frozen=True, slots=True)
class Inferred:
    """What was inferred. `notes` says, in sentences, what was assumed and why.

    `output` is a column of the data, but for language modeling: there it names the one that is yet to be counted.
    """

    task: Task
    kind: InputKind
    inputs: tuple[Column, ...]
    output: str
    excluded: dict[str, str]
    notes: tuple[str, ...]
    separator: str = ""  # between the labels of an answer, where it is a text that holds several
