"""What callers send -> the frame that the predictor is given; all faults at once, each with its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from modelwright.deployment.cells import PIXELS, cell, shown
from modelwright.deployment.signature import Signature
from modelwright.errors import Fault, InputError
from modelwright.registry import suggestion

FAULTS_SHOWN = 50  # of one request; chosen, not measured
NAMES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Read:
    """Inputs as a frame with the columns of the signature, and what the caller should know."""

    frame: pl.DataFrame
    warnings: tuple[str, ...]


def unwrap(body: Any, signature: Signature, most: int) -> list[Any]:
    """The list of inputs in a request's JSON.

    Accepted: `{"inputs": [...]}`, a bare list, one object of columns, and, where the model takes one
    column, just its value.

    Raises:
        InputError: there is none, or there are more than `most`.
    """
    inputs = body if isinstance(body, list) else [body]
    if isinstance(body, dict) and "inputs" in body and not _is_column(body, signature):
        others = [str(name) for name in body if name != "inputs"]
        if others:
            todo = "send only `inputs`, or only the columns of one input"
            raise InputError(Fault(shown(name), "stands beside `inputs`", "", todo) for name in others[:FAULTS_SHOWN])
        inputs = body["inputs"] if isinstance(body["inputs"], list) else [body["inputs"]]
    if not inputs:
        raise InputError(Fault("inputs", "holds nothing", f"1 to {most} inputs"))
    if len(inputs) > most:
        todo = "send them in several requests"
        raise InputError(Fault("inputs", f"holds {len(inputs):,} inputs", f"at most {most:,} in one request", todo))
    return inputs


def _is_column(body: dict[str, Any], signature: Signature) -> bool:
    """True where `inputs` is itself a column, and `body` one input."""
    return "inputs" in signature.names and (len(body) > 1 or not isinstance(body["inputs"], list))


def read(inputs: list[Any], signature: Signature) -> Read:
    """`inputs` as a frame.

    Args:
        inputs: One object (column -> value) per input or, where the model takes one column, its bare value.
        signature: What the model takes.

    Raises:
        InputError: with every fault of every input.
    """
    faults: list[Fault] = []
    notes: Counter[str] = Counter()
    columns: dict[str, list[Any]] = {field.name: [] for field in signature.fields}
    pixels = [PIXELS]
    for index, given in enumerate(inputs):
        before = len(faults)
        found = _columns_of(given, signature, f"inputs[{index}]", faults, notes)
        if found is None:
            continue
        for field in signature.fields:
            where, as_is = f"inputs[{index}].{field.name}", signature.task == "tagging"
            value = cell(found.get(field.name), field, where, faults, pixels, as_is=as_is)
            columns[field.name].append(value)
        if len(faults) == before and all(column[-1] is None for column in columns.values()):
            names = ", ".join(signature.names[:NAMES_SHOWN])
            faults.append(Fault(f"inputs[{index}]", "has a value in no column", f"at least one of: {names}"))
    if faults:
        more = len(faults) - FAULTS_SHOWN
        rest = [Fault("inputs", f"{more:,} more faults")] if more > 0 else []
        raise InputError(faults[:FAULTS_SHOWN] + rest)
    for name, column in columns.items():
        missing = sum(value is None for value in column)
        if missing:
            notes[f"{name!r} is missing: answered as the model does without it"] = missing
    frame = pl.DataFrame([pl.Series(field.name, columns[field.name], dtype=field.dtype) for field in signature.fields])
    return Read(frame, tuple(_sentences(notes, len(inputs))))


def _columns_of(
    given: Any, signature: Signature, where: str, faults: list[Fault], notes: Counter[str]
) -> dict[str, Any] | None:
    """Each column's value as sent; what is no column of the model is a fault, or a note where the data has it."""
    names = signature.names
    if not isinstance(given, dict):
        if len(names) == 1 and given is not None and not isinstance(given, list):
            return {names[0]: given}
        expected = "an object of columns" + (f" or just the {names[0]}" if len(names) == 1 else "")
        faults.append(Fault(where, shown(given), expected))
        return None
    if len(names) == 1 and set(given) == {signature.kind} and signature.kind not in signature.ignored:
        return {names[0]: given[signature.kind]}  # {"text": ...} whatever the column is called
    for name in sorted(given.keys() - set(names)):
        if name in signature.ignored:
            notes[f"{name!r} is not used: {signature.ignored[name]}"] += 1
        else:  # looking for the nearest name is slow: not for names that nobody will be shown
            todo = suggestion(name, names) if len(faults) < FAULTS_SHOWN and len(name) < 200 else ""
            faults.append(Fault(f"{where}.{shown(name)}", "is not a column of the model", "", todo))
    return given


def _sentences(notes: Counter[str], count: int) -> Iterator[str]:
    for note, times in notes.items():
        yield note if times == count == 1 else f"{note} (in {times} of {count} inputs)"
