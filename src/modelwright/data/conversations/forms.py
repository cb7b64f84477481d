"""Which of the usual forms an instruction or chat set has: told by the names of its columns and by what they hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count

import polars as pl

from modelwright.data.columns import column_kinds, type_columns
from modelwright.records import POSITION

LOOKED_AT = 200
"""Values of a column that are opened to see whether they hold turns. Chosen."""

_PREFERENCE = frozenset({"chosen", "rejected", "chosen.value", "rejected.value", "chosen.content"})
"""Columns of pairs of answers, one better than the other: those sets are not for learning an answer from."""

_ANSWERED, _BESIDE = ("output", "response"), ("input", "context", "system", "history")
"""What stands beside the column `instruction` in Alpaca's form and in those like it."""


@dataclass(frozen=True, slots=True)
class Form:
    """A recognised form: what it is called, which column plays which role, and why it was taken for it."""

    name: str
    columns: dict[str, str]
    why: str

    def output_in(self, columns: Iterable[str]) -> str:
        """What the right answers are called once a frame of these columns is converted: as none beside the form is."""
        if "answer" in self.columns:
            return self.columns["answer"]
        taken = set(columns) - set(self.columns.values())
        names = chain(["answer"], (f"answer_{number}" for number in count(2)))
        return next(name for name in names if name not in taken)


def form_of(frame: pl.DataFrame, *, stated: bool) -> Form | None:
    """The form of a raw frame, or None where it has none of them.

    Args:
        frame: As a source gives it: lists and objects are JSON text.
        stated: The person said that texts are to be generated; else the answers of Alpaca's form must be free text,
            because a table of texts and labels may well call its columns `instruction` and `output`.
    """
    names = {name.casefold(): name for name in reversed(frame.columns) if name != POSITION}
    if _PREFERENCE & set(names):
        return None
    lists = {name: keys for name in names.values() if (keys := _keys(frame[name]))}
    rated = "label" in names and not stated  # conversations to be told apart, or answers marked good and bad
    return (None if rated else _nested(names, lists)) or _alpaca(frame, names, lists, stated=stated)


def _nested(names: dict[str, str], lists: dict[str, frozenset[str]]) -> Form | None:
    """A column of lists of turns, or of inputs and outputs under an instruction."""
    if "instruction" in names and "instances" in names and "output" in lists.get(names["instances"], ()):
        columns = {"question": names["instruction"], "instances": names["instances"]}
        return Form("self-instruct", columns, "'instances' lists inputs and outputs of an instruction")
    turned = [name for name, keys in lists.items() if {"role", "content"} <= keys or {"from", "value"} <= keys]
    if names.get("prompt") in turned and "completion" in names:
        columns = {"turns": names["prompt"], "more": names["completion"]}
        return Form("prompt and completion", columns, "'prompt' lists turns, and 'completion' goes on with them")
    usual = [names[each] for each in ("messages", "conversations", "conversation") if names.get(each) in turned]
    if not usual and len(turned) != 1:
        return None
    column = (usual or turned)[0]
    name = "messages" if "role" in lists[column] else "sharegpt"
    keys = "role and content" if name == "messages" else "from and value"
    columns = {"turns": column, **{role: names[role] for role in ("system", "tools") if role in names}}
    return Form(name, columns, f"{column!r} lists turns with {keys}")


def _alpaca(
    frame: pl.DataFrame, names: dict[str, str], lists: dict[str, frozenset[str]], *, stated: bool
) -> Form | None:
    """A column of instructions and one of answers."""
    question, answer = names.get("instruction"), next((names[each] for each in _ANSWERED if each in names), None)
    if question is None or answer is None or {question, answer} & set(lists):
        return None
    if not stated and not _free_text(frame, answer):
        return None
    columns = {"question": question, "answer": answer, **{role: names[role] for role in _BESIDE if role in names}}
    return Form("alpaca", columns, f"{question!r} and {answer!r} are among its columns")


def _free_text(frame: pl.DataFrame, name: str) -> bool:
    typed = type_columns(frame.select(name))
    return typed[name].dtype == pl.String and column_kinds(typed, output=name)[0][name] == "text"


def _keys(column: pl.Series) -> frozenset[str]:
    """The keys of the objects that most of the column's values list; empty where they do not."""
    if column.dtype != pl.String:
        return frozenset()
    values = column.drop_nulls().head(LOOKED_AT)
    likely = values.filter(values.str.contains(r"^\s*\[\s*\{"))
    if len(values) == 0 or 2 * len(likely) < len(values):
        return frozenset()
    found = list(_firsts(likely))
    return frozenset.intersection(*found) if 2 * len(found) >= len(values) else frozenset()


def _firsts(values: pl.Series) -> Iterator[frozenset[str]]:
    """The keys of the first object of each value that is a list of objects."""
    for value in values.to_list():
        try:
            first = json.loads(value)[0]
        except (ValueError, RecursionError):
            continue  # such values are dropped with their reason when all are converted
        if isinstance(first, dict):
            yield frozenset(first)
