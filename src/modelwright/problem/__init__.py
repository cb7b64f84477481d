"""Step 1: the problem as stated. `fields` are its nouns, `read` and `write` the file."""

from __future__ import annotations

from modelwright.problem.fields import Compute, Constraints, Data, Duplicates, Model, Problem, Split, Training
from modelwright.problem.read import FILE, WORK, load, parse, survey

__all__ = [
    "FILE",
    "WORK",
    "Compute",
    "Constraints",
    "Data",
    "Duplicates",
    "Model",
    "Problem",
    "Split",
    "Training",
    "load",
    "parse",
    "survey",
]
