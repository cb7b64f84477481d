"""From the problem to examples in one form: read, typed, with inputs, an output, and the official parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from modelwright.data import sources
from modelwright.data.clean import SHOWN, drop, dropped_frame, missing_input
from modelwright.data.columns import column_kinds, strays, type_columns
from modelwright.data.conversations import Conversations, conversations, inferred_from
from modelwright.data.findings import about_columns, about_texts
from modelwright.data.infer import infer
from modelwright.data.infer_texts import with_bytes
from modelwright.data.inferred import Inferred
from modelwright.data.labels import with_label_columns
from modelwright.data.official import like_source, parts_of, same_labels, split_column
from modelwright.data.outputs import classes_of, outputs_of
from modelwright.data.splits import FREE, TEST
from modelwright.data.tokens import with_texts
from modelwright.errors import Fault, SourceError
from modelwright.problem import Problem
from modelwright.records import LANGUAGE_TASKS, POSITION, Finding, Progress, Schema
from modelwright.registry import suggestion

Told = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Gathered:
    """All examples that have an output, before cleaning; `schema` does not list the classes yet.

    `examples` has the inputs, the output, and `others`; `official_N` says which part an official split puts
    each in, `FREE` where there is none. `test` holds the official test part, inputs and output only.
    """

    examples: pl.DataFrame
    official_N: np.ndarray
    test: pl.DataFrame | None
    schema: Schema
    others: list[str]
    excluded: dict[str, str]
    dropped: pl.DataFrame
    findings: tuple[Finding, ...]
    count: int
    column: str | None  # the column that states the official split
    running: bool = False  # the examples follow one another as paragraphs do


@dataclass(frozen=True, slots=True)
class _Read:
    frame: pl.DataFrame
    dropped: pl.DataFrame
    notes: tuple[str, ...]
    count: int
    talk: Conversations | None
    running: bool
    findings: tuple[Finding, ...]


def gather(problem: Problem, *, folder: Path, progress: Told | None, masked: bool = False) -> Gathered:
    """The examples that `problem` names; `masked` as in `prepare`.

    Raises:
        SourceError: they cannot be read, or do not have the columns or the kind of output that it needs.
    """
    source = _read(problem, problem.data.source, folder, problem.data.query, progress)
    check_names(problem, [name for name in source.frame.columns if name != POSITION])
    typed = type_columns(source.frame)
    column, hidden = _official_column(problem, typed)
    if source.talk:
        inferred = inferred_from(source.talk)
    else:
        inferred = infer(typed.drop(hidden), output=problem.output, inputs=problem.input, task=problem.task)
    schema = _schema(inferred, masked)
    raw, typed = _as_texts(source.frame, source.frame, schema), _as_texts(source.frame, typed, schema)
    others = [name for name in typed.columns if name not in {POSITION, schema.output, *schema.names}]
    official_N = parts_of(typed[column]) if column else np.full(len(typed), FREE, np.int8)
    marked = typed.with_columns(pl.Series("__part__", official_N))
    examples, lines, mended = _present(marked, raw, schema, inferred.separator)
    dropped, findings = [source.dropped, lines], [*source.findings, *mended]
    official_N = examples["__part__"].to_numpy()
    examples = examples.select(POSITION, *schema.names, schema.output, *others)
    test = None
    count = source.count
    if problem.data.test is not None:
        test, lines, found, more = _official_test(problem, folder, typed, examples, inferred, schema, count, progress)
        dropped.append(lines)
        findings += found
        count += more
    elif column and (official_N == TEST).any():
        test = examples.filter(official_N == TEST).select(POSITION, *schema.names, schema.output)
        examples, official_N = examples.filter(official_N != TEST), official_N[official_N != TEST]
    excluded = {**inferred.excluded, **{name: _HIDDEN for name in hidden}}
    kinds = column_kinds(typed.select(list(inferred.excluded)), output=schema.output)[0]
    findings += [*_assumed(source, typed, inferred), *about_columns(examples, schema, excluded, kinds)]
    findings += about_texts(examples, schema)
    if column and problem.data.split.column is None:
        todo = "to split by shares instead, state `data.split.group` or `time`, or drop the column"
        shown = (f"the values of {column!r} name the parts",)
        findings.append(Finding("official_split", "info", len(typed), shown, todo))
    return Gathered(
        examples,
        official_N,
        test,
        schema,
        others,
        excluded,
        pl.concat(dropped),
        tuple(findings),
        count,
        column,
        source.running,
    )


def _schema(inferred: Inferred, masked: bool) -> Schema:
    masked = masked and inferred.task == "language-modeling"
    return Schema(inferred.task, inferred.kind, tuple(inferred.inputs), inferred.output, masked=masked)


_HIDDEN = "says which part or group an example belongs to"


def check_names(problem: Problem, columns: list[str]) -> None:
    """Return if the columns that `problem` names are there.

    Raises:
        SourceError: with a fault for each that is not, or that is named twice.
    """
    faults = list(_name_faults(problem, columns))
    if faults:
        raise SourceError(faults)


def _name_faults(problem: Problem, columns: list[str]) -> Iterator[Fault]:
    split = problem.data.split
    inputs = (problem.input,) if isinstance(problem.input, str) else problem.input
    asked = [("input", name) for name in inputs if name != "*"]
    if problem.output is not None:
        asked.insert(0, ("output", problem.output))
    roles = (("group", split.group), ("time", split.time), ("column", split.column))
    asked += [(f"data.split.{role}", name) for role, name in roles if name is not None]
    for where, name in asked:
        if name not in columns:
            found = f"{problem.data.source} has no column {name!r}"
            yield Fault(where, found, "one of its columns", suggestion(name, columns))
        elif where != "output" and name == problem.output:
            yield Fault(where, f"{name!r} is the output", "another column", f"take it out of {where}")
    if "*" in inputs and len(inputs) > 1:
        yield Fault("input", "lists '*' among other columns", "'*' alone, or names", "write one of the two")
    if split.column is not None and problem.data.test is not None:
        yield Fault("data.test", "is given beside data.split.column", "one of the two", "leave one out")
    if len(columns) < 2 and problem.output is not None:
        yield Fault(
            problem.data.source,
            f"has one column, {', '.join(columns)!r}",
            "an input and an output",
            "see whether the separator was recognised",
        )


def _official_column(problem: Problem, typed: pl.DataFrame) -> tuple[str | None, list[str]]:
    """The column that states the official split, and those that say nothing of the example itself."""
    stated, named = problem.data.split, split_column(typed)
    if named == problem.output:
        named = None
    ours = problem.data.test is not None or stated.group is not None or stated.time is not None
    column = stated.column or (None if ours else named)
    wanted = () if problem.input == "*" else (problem.input,) if isinstance(problem.input, str) else problem.input
    asides = dict.fromkeys((column, named, stated.group))
    return column, [name for name in asides if name is not None and name not in wanted]


def _read(problem: Problem, locator: str, folder: Path, query: str | None, progress: Told | None) -> _Read:
    frames, lines = [], []
    notes: list[str] = []
    running = False
    for chunk in sources.read(locator, folder=folder, query=query, progress=progress):
        frames.append(chunk.frame)
        lines += [(each.position, each.reason, None, each.where) for each in chunk.dropped]
        notes += chunk.notes
        running |= chunk.running
    frame, findings = with_texts(with_label_columns(pl.concat(frames), problem.output))
    talk = conversations(frame, task=problem.task, output=problem.output, inputs=problem.input)
    if talk:
        frame = talk.frame
        lines += [(each.position, each.reason, None, each.where) for each in talk.dropped]
        notes += talk.notes
    return _Read(frame, dropped_frame(lines), tuple(notes), len(frame) + len(lines), talk, running, tuple(findings))


def _as_texts(raw: pl.DataFrame, frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """`frame` with texts as they were read where texts are answered or learnt, and with their bytes counted."""
    if schema.task not in LANGUAGE_TASKS:
        return frame
    found = frame.with_columns(raw[name].cast(pl.String) for name in schema.names if name in raw.columns)
    if schema.task == "generation" or schema.names[0] not in raw.columns:
        return found
    return with_bytes(found, schema)


def _present(
    typed: pl.DataFrame, raw: pl.DataFrame, schema: Schema, separator: str
) -> tuple[pl.DataFrame, pl.DataFrame, list[Finding]]:
    """The examples of `typed` that have an output and something in their input, lines for the rest, findings."""
    outputs, findings = outputs_of(typed, raw, schema, separator)
    if schema.task == "tagging":  # spans count from the start of the text as it stands, with its outer space
        typed = typed.with_columns(raw[schema.names[0]].cast(pl.String))
    examples = typed.with_columns(outputs.alias(schema.output), raw[schema.output].alias("__given__"))
    given = pl.col("__given__")
    where = pl.when(given.is_not_null()).then(pl.format("is {}", given.cast(pl.String)))
    kept, no_output = drop(examples, outputs.is_null(), "missing_output", where)
    kept, no_input = drop(kept, missing_input(kept, schema), "missing_input")
    return kept.drop("__given__"), pl.concat([no_output, no_input]), findings


def _official_test(
    problem: Problem,
    folder: Path,
    typed: pl.DataFrame,
    examples: pl.DataFrame,
    inferred: Inferred,
    schema: Schema,
    start: int,
    progress: Told | None,
) -> tuple[pl.DataFrame, pl.DataFrame, list[Finding], int]:
    """The examples of the official test file, numbered on from `start`; lines; findings; how many it has."""
    assert problem.data.test is not None
    read = _read(problem, problem.data.test, folder, None, progress)
    needed = typed.select(POSITION, *schema.names, schema.output)
    raw = _as_texts(read.frame, read.frame, schema)
    frame = like_source(raw, _as_texts(raw, type_columns(raw), schema), needed, problem.data.test)
    test, lines, mended = _present(frame, raw, schema, inferred.separator)
    lines = pl.concat([read.dropped, lines]).with_columns(pl.col("position") + start)
    test = test.with_columns(pl.col(POSITION) + start)
    findings = [_of_test(each) for each in (*read.findings, *mended)]
    findings += _uncast(raw, frame, needed, problem.data.test)
    if schema.task == "classification":
        labels, found = same_labels(test[schema.output], classes_of(examples[schema.output]))
        test = test.with_columns(labels)
        findings += found
    if test.is_empty():
        fault = Fault("data.test", f"no example of {problem.data.test} has an output", "labelled examples")
        raise SourceError(fault)
    return test, lines, findings, read.count


def _of_test(finding: Finding) -> Finding:
    return replace(finding, examples=tuple(f"official test part, {each}" for each in finding.examples))


def _uncast(raw: pl.DataFrame, frame: pl.DataFrame, needed: pl.DataFrame, where: str) -> Iterator[Finding]:
    """Values of the test file that are lost because the source's column is of another type."""
    for name in needed.columns:
        lost = (frame[name].is_null() & raw[name].is_not_null()).sum()
        typed = type_columns(raw.select(POSITION, name))[name] if lost else frame[name]
        lost = int((frame[name].is_null() & typed.is_not_null()).sum())
        if lost:
            shown = raw[name].filter(frame[name].is_null() & typed.is_not_null()).unique().sort()[:SHOWN]
            said = f"{name}: {', '.join(map(str, shown.to_list()))} in {where}"
            todo = f"write the column in {where} as in the source; these count as missing"
            yield Finding("inconsistent_value", "warning", lost, (said,), todo)


def _assumed(source: _Read, typed: pl.DataFrame, inferred: Inferred) -> Iterator[Finding]:
    """What was guessed in reading and typing, so that nothing is guessed without being said."""
    said = tuple(dict.fromkeys([*source.notes, *inferred.notes]))
    if said:
        yield Finding("assumed", "info", len(said), said, "nothing, if this is right")
    lost = tuple(strays(source.frame, typed))
    if lost:
        todo = "correct them in the source; they count as missing"
        yield Finding("inconsistent_value", "warning", len(lost), lost[:SHOWN], todo)
