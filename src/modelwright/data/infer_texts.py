"""What is inferred where the answer is text: the prompts and answers of a generation, the text of a language model."""

from __future__ import annotations

from typing import NoReturn

import polars as pl

from modelwright.data.hidden import asked_bytes
from modelwright.data.inferred import FEWEST_EXAMPLES, Inferred
from modelwright.errors import Fault, SourceError
from modelwright.records import POSITION, Column, ColumnKind, Schema

PAIRS = (
    ("prompt", "completion"), ("prompt", "response"), ("prompt", "answer"), ("instruction", "output"),
    ("instruction", "response"), ("question", "answer"), ("query", "response"), ("input", "output"),
    ("source", "target"), ("article", "summary"), ("article", "highlights"), ("document", "summary"),
)  # fmt: skip
"""Names of columns that hold what is asked and what is answered, the surer first."""

BYTES = "bytes"
"""The output column of language modeling: how many bytes each text, or what is hidden of it, has in UTF-8."""


def of_texts(
    frame: pl.DataFrame,
    kinds: dict[str, ColumnKind],
    reasons: dict[str, str],
    *,
    output: str | None,
    wanted: tuple[str, ...],
    task: str,
    fit: list[str],
) -> Inferred | None:
    """What is inferred where the answer is text, or the text itself is what is learnt; None where neither is so.

    Args:
        frame: Examples, typed.
        kinds: Of the columns.
        reasons: Why models may not use a column.
        output: The column to predict, where named.
        wanted: The inputs, where named.
        task: Of `records.Task`, or "auto".
        fit: Columns that could be what is to be predicted.

    Raises:
        SourceError: the task is one of texts, and these columns do not do for it.
    """
    if task == "language-modeling":
        return _language(kinds, reasons, _modelled(frame, kinds, wanted), ())
    if task not in ("auto", "generation"):
        return None
    alone = _text_alone(frame, kinds, fit) if task == "auto" and output is None and not wanted else None
    if alone is not None:
        why = f"language-modeling: {alone!r} is text, and no other column is there to be predicted"
        return _language(kinds, reasons, _modelled(frame, kinds, (alone,)), (why,))
    return _generation(frame, kinds, reasons, output, wanted, stated=task == "generation")


def _language(kinds: dict[str, ColumnKind], reasons: dict[str, str], text: str, notes: tuple[str, ...]) -> Inferred:
    excluded = {name: reasons.get(name, "is not the text") for name in kinds if name != text}
    free = BYTES if text != BYTES else f"{BYTES}_2"
    return Inferred("language-modeling", "text", (Column(text, "text"),), free, excluded, notes)


def _generation(
    frame: pl.DataFrame,
    kinds: dict[str, ColumnKind],
    reasons: dict[str, str],
    output: str | None,
    wanted: tuple[str, ...],
    *,
    stated: bool,
) -> Inferred | None:
    """Answers that are written; unless that is stated, only where the output is free text beside other text."""
    notes, named = [], _pair(frame) if output is None else None
    if output is None:
        if named is None:
            return _no_answers(kinds) if stated else None
        output = named[1]
        notes.append(f"{output!r} is taken for the output, because of its name beside {named[0]!r}")
    if not stated:
        others = [name for name in kinds if name != output and frame[name].dtype == pl.String]
        different = frame[output].n_unique()
        told = named is not None and 2 * different > len(frame)  # dates, codes: what hardly repeats is no class
        if not (kinds[output] == "text" or told) or not others:
            return None
        what = "is free text" if kinds[output] == "text" else "hardly repeats"
        notes.append(f"generation: {output!r} {what}, {different:,} different ones, so answers are written")
    columns = tuple(Column(name, "text") for name in _prompts(frame, kinds, output, wanted))
    if len(columns) > 1:
        notes.append(f"{', '.join(repr(column.name) for column in columns)} are read together, as one text")
    used = {output, *(column.name for column in columns)}
    excluded = {name: reasons.get(name, "is not among the prompts") for name in kinds if name not in used}
    return Inferred("generation", "text", columns, output, excluded, tuple(notes))


def _no_answers(kinds: dict[str, ColumnKind]) -> NoReturn:
    could = ", ".join(repr(name) for name, kind in kinds.items() if kind == "text") or "none: no column is text"
    fault = Fault("output", "it is not clear which column holds the answers", "its name", f"could be {could}")
    raise SourceError(fault)


def _pair(frame: pl.DataFrame) -> tuple[str, str] | None:
    """The columns of prompts and of answers, if their names say so."""
    by_name = {name.casefold(): name for name in reversed(frame.columns)}
    texts = {name for name, column in by_name.items() if frame[column].dtype == pl.String}
    return next(((by_name[a], by_name[b]) for a, b in PAIRS if a in texts and b in by_name), None)


def _text_alone(frame: pl.DataFrame, kinds: dict[str, ColumnKind], could_be_output: list[str]) -> str | None:
    """The one column of text, where nothing else could be what is to be predicted."""
    if list(kinds) == ["text"] and frame["text"].dtype == pl.String:  # a list of names may look like categories
        return "text"
    texts = [name for name, kind in kinds.items() if kind == "text"]
    nothing_else = not could_be_output and "image" not in kinds.values()
    return texts[0] if len(texts) == 1 and nothing_else else None


def _modelled(frame: pl.DataFrame, kinds: dict[str, ColumnKind], wanted: tuple[str, ...]) -> str:
    """The column whose texts a language model learns.

    Raises:
        SourceError: there is none, or more than one may be meant.
    """
    strings = [name for name in frame.columns if name != POSITION and frame[name].dtype == pl.String]
    texts = [name for name in strings if kinds[name] == "text"]
    alone = list(kinds) if len(kinds) == 1 and kinds[next(iter(kinds))] != "image" else []  # numbers are text too
    found = list(wanted) or texts or strings or alone
    if len(found) != 1:
        what = f"columns of text: {', '.join(found[:20])}" if found else "no column of text"
        raise SourceError(Fault("input", what, "the one column of text to learn", "name it under `input`"))
    _check_count(frame[found[0]], f"input {found[0]!r}", "texts")
    return found[0]


def _prompts(
    frame: pl.DataFrame, kinds: dict[str, ColumnKind], output: str, wanted: tuple[str, ...]
) -> tuple[str, ...]:
    """The columns that answers are written from.

    Raises:
        SourceError: none holds text, or too few examples have an answer.
    """
    answers = frame[output]
    _check_count(answers, f"output {output!r}", "answers")
    if answers.drop_nulls().n_unique() < 2:
        same = "is always the same: there is nothing to learn"
        raise SourceError(Fault(f"output {output!r}", same, "answers that differ", "name another column"))
    if wanted:
        return wanted
    named = _pair(frame)
    if named is not None and named[1] == output:
        return (named[0],)
    others = [name for name in kinds if name != output and frame[name].dtype == pl.String]
    found = [name for name in others if kinds[name] == "text"] or (others if len(others) == 1 else [])
    if not found:
        told = f"no column of text to write {output!r} from"
        raise SourceError(Fault("input", told, "a column of prompts", "name it under `input`"))
    return tuple(found)


def _check_count(column: pl.Series, where: str, what: str) -> None:
    count = len(column) - column.null_count()
    if count < FEWEST_EXAMPLES:
        todo = "collect more, or see whether the text was cut into examples as you meant it"
        raise SourceError(Fault(where, f"{count} {what}", f"at least {FEWEST_EXAMPLES}, better hundreds", todo))


def with_bytes(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """`frame` with how many bytes of each text a language model is asked for, null where there is none, as output."""
    asked = asked_bytes(schema, frame).cast(pl.Float64).alias(schema.output)
    return frame.with_columns(pl.when(pl.col(schema.names[0]).is_not_null()).then(asked).alias(schema.output))
