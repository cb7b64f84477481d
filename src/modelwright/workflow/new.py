"""A data file -> a project: what is to be predicted from what is inferred, written down and said."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from modelwright.errors import Fault, ProblemError
from modelwright.problem import FILE, Problem, parse
from modelwright.problem.write import write
from modelwright.records import POSITION, Progress, Schema
from modelwright.workflow.check import metric_of

if TYPE_CHECKING:
    import polars as pl

    from modelwright.data.inferred import Inferred


_SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True)
class Started:
    """A problem.yaml as it was written, what was inferred for it, and `notes` on why."""

    path: str
    name: str
    task: str
    kind: str
    inputs: tuple[str, ...]
    output: str | None
    metric: str
    goal: float | None
    classes: dict[str, int]
    examples: int
    excluded: dict[str, str]
    notes: tuple[str, ...]


def new(
    folder: Path | str,
    data: str,
    *,
    query: str | None = None,
    output: str | None = None,
    inputs: tuple[str, ...] = (),
    task: str | None = None,
    metric: str | None = None,
    goal: float | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Started:
    """The project begun in `folder`: a commented problem.yaml, inferred from the data.

    Args:
        folder: Made if absent; may hold the data, but no problem.yaml.
        data: As `data.source`; a path is relative to the current folder here, and written so that it is
            found from the project's.
        query: What to ask a database.
        output: The column with the right answers; inferred if unset.
        inputs: The columns to answer from; inferred if empty.
        task: Of `records.Task`; inferred if unset.
        metric: The figure that decides; the default of the task if unset.
        goal: Its value that is good enough.
        progress: Told how much is read.

    Raises:
        ProblemError: there is a problem.yaml already, or what is asked for contradicts the data.
        SourceError: the data cannot be read, or nothing can be learned from them.
    """
    folder = Path(folder).expanduser().absolute()
    path = _free(folder)
    asked = _asked(folder, data, query=query, output=output, task=task, metric=metric, goal=goal)
    stated = _stated(asked)
    inferred, outputs, count = _look(data, output, inputs or "*", stated, progress)
    column = None if inferred.task == "language-modeling" else inferred.output
    problem = stated.model_copy(update={"task": inferred.task, "output": column})
    schema, classes = _schema(inferred, outputs)
    chosen = metric_of(problem, schema, classes)
    names = inputs or (() if inferred.kind == "table" else tuple(schema.names))
    text = _written(asked, task=inferred.task, inputs=names, output=column, metric=chosen)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return Started(
        str(path),
        problem.name,
        inferred.task,
        inferred.kind,
        tuple(schema.names),
        column,
        chosen,
        goal,
        classes,
        count,
        inferred.excluded,
        tuple(_notes(inferred, task, metric, chosen)),
    )


def _free(folder: Path) -> Path:
    """Where the problem.yaml of `folder` goes.

    Raises:
        ProblemError: there is one already, or the folder is none.
    """
    path = folder / FILE
    if path.exists():
        todo = "edit it, or name another folder"
        raise ProblemError(Fault(str(path), "is there already", "a folder without one", todo))
    if folder.is_file():
        raise ProblemError(Fault(str(folder), "is a file", "a folder, which may be absent"))
    return path


def _asked(
    folder: Path,
    data: str,
    *,
    query: str | None,
    output: str | None,
    task: str | None,
    metric: str | None,
    goal: float | None,
) -> dict[str, Any]:
    """What the command line says, by path of the field."""
    asked = {
        "name": re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name).strip("-._")[:100] or "problem",
        "output": output or (None if task == "language-modeling" else "auto"),
        "data.source": source_from(data, folder),
        "data.query": query,
        "task": task,
        "metric": metric,
        "goal": goal,
    }
    return {name: value for name, value in asked.items() if value is not None}


def _written(asked: dict[str, Any], *, task: str, inputs: tuple[str, ...], output: str | None, metric: str) -> str:
    """The text of problem.yaml: what was asked for, and what was found out; `inputs` are empty for all columns."""
    values = asked | {"task": task, "output": output, "metric": metric}
    if output is None:
        del values["output"]
    if inputs:
        values["input"] = inputs[0] if len(inputs) == 1 else inputs
    text = write(values)
    parse(yaml.safe_load(text))  # what is written must be what is read
    return text


def source_from(data: str, folder: Path) -> str:
    """`data`, which is relative to the current folder, as the project in `folder` finds it.

    Relative where the data lie in the project's folder or right beside it, so that both can be moved
    together; absolute otherwise. A URL stays as it is, but for the path in one of SQLite.
    """
    if data.startswith(_SQLITE):
        return _SQLITE + source_from(data.removeprefix(_SQLITE), folder)
    if "://" in data:
        return data
    path = Path(data).expanduser().absolute()
    relative = Path(os.path.relpath(path, folder))
    beside = relative.parts[:1] != ("..",) or relative.parts[1:2] not in (("..",), ())
    return (relative if beside else path).as_posix()


def _stated(asked: dict[str, Any]) -> Problem:
    """The problem as far as it was stated on the command line."""
    nested: dict[str, Any] = {name: value for name, value in asked.items() if "." not in name}
    nested["data"] = {name: asked.get(f"data.{name}") for name in ("source", "query")}
    problem, _ = parse(nested)
    return problem


def _look(
    data: str,
    output: str | None,
    inputs: str | tuple[str, ...],
    stated: Problem,
    progress: Callable[[Progress], None],
) -> tuple[Inferred, pl.Series, int]:
    """What is inferred from all of the data, the outputs, and how many examples there are."""
    import polars as pl

    from modelwright.data import sources
    from modelwright.data.columns import type_columns
    from modelwright.data.conversations import conversations, inferred_from
    from modelwright.data.infer import infer
    from modelwright.data.labels import with_label_columns
    from modelwright.data.official import split_column
    from modelwright.data.outputs import outputs_of
    from modelwright.data.tokens import with_texts

    chunks = sources.read(data, folder=Path.cwd(), query=stated.data.query, progress=progress)
    raw, _ = with_texts(with_label_columns(pl.concat([chunk.frame for chunk in chunks]), output))
    talk = conversations(raw, task=stated.task, output=output, inputs=inputs)
    if talk:
        found = inferred_from(talk)
        return found, talk.frame[talk.output].drop_nulls(), len(talk.frame)
    typed = type_columns(raw)
    column = split_column(typed)
    named = (inputs,) if isinstance(inputs, str) else inputs
    hidden = [column] if column and column != output and column not in named else []
    inferred = infer(typed.drop(hidden), output=output, inputs=inputs, task=stated.task)
    assert POSITION in typed.columns
    if inferred.output not in raw.columns:  # a language model has none: its texts are counted once they are cleaned
        return inferred, pl.Series(dtype=pl.Float64), len(typed)
    schema = Schema(inferred.task, inferred.kind, inferred.inputs, inferred.output)
    outputs, _ = outputs_of(typed, raw, schema, inferred.separator)
    return inferred, outputs.drop_nulls(), len(typed)


def _schema(inferred: Inferred, outputs: pl.Series) -> tuple[Schema, dict[str, int]]:
    """The schema with its classes, and how many examples each class has."""
    from modelwright.data.labels import label_counts, several
    from modelwright.data.outputs import classes_of, positive_of

    if inferred.task not in ("classification", "multilabel"):
        return Schema(inferred.task, inferred.kind, inferred.inputs, inferred.output), {}
    if several(inferred.task):
        counts = label_counts(outputs)
        return Schema(inferred.task, inferred.kind, inferred.inputs, inferred.output, tuple(counts)), counts
    found = dict(outputs.value_counts().iter_rows())
    counts = {name: int(found[name]) for name in classes_of(outputs)}
    schema = Schema(inferred.task, inferred.kind, inferred.inputs, inferred.output, tuple(counts), positive_of(counts))
    return schema, counts


def _notes(inferred: Inferred, task: str | None, metric: str | None, chosen: str) -> list[str]:
    from modelwright.evaluation.metrics import METRICS

    notes = list(inferred.notes)
    if task is None and not any("task" in note or inferred.task in note for note in notes):
        why = "its values are labels" if inferred.task == "classification" else "its values are measured numbers"
        notes.insert(0, f"{inferred.task}, because of {inferred.output!r}: {why}")
    if metric is None:
        notes.append(f"{chosen} decides, as in any {inferred.task}: {METRICS[chosen].describes}")
    return notes
