"""What a person would say of a table at first sight: what to predict, from which columns, as which task, and why."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from modelwright.data import labels
from modelwright.data.columns import ID_WORDS, column_kinds, name_words
from modelwright.data.infer_texts import of_texts
from modelwright.data.inferred import FEWEST_EXAMPLES, Inferred
from modelwright.data.spans import are_spans
from modelwright.data.tagged import check_several, text_of_spans
from modelwright.errors import Fault, SourceError
from modelwright.records import POSITION, Column, ColumnKind, InputKind, Task
from modelwright.registry import suggestion

MOST_GRADES = 10
"""Whole numbers of at most so many values are classes; more are a quantity unless the name says class. Chosen:
ten digits and ten marks fit in; counts and ages do not."""

_OUTPUTS = (
    "label", "labels", "target", "class", "output", "y", "category", "intent", "sentiment", "churn", "spam",
    "diagnosis", "survived", "outcome", "species", "price", "quality", "fraud", "is_fraud", "default", "topic",
    "emotion", "language", "rating", "stars", "score", "income", "tags", "genres", "topics", "categories",
)  # fmt: skip
"""Names of what is to be predicted, the surer first."""

_OUTPUT_WORDS = frozenset({"label", "target", "class", "outcome", "price", "value", "churn", "default", "sentiment"})
_CLASS_WORDS = frozenset({"label", "labels", "class", "category", "target", "intent", "species", "type", "y", "digit"})
_PARTS = frozenset({"train", "training", "validation", "valid", "val", "dev", "test", "testing", "unlabeled"})
_PART_NAMES = frozenset({"split", "fold", "folds", "cv", "cv_fold", "partition", "subset", "kfold", "set"})
_NEARLY_CONSTANT = 0.95
_FEW_BESIDE, _SHARE_BESIDE = 3, 0.25
"""Up to so many categories, and such a share of the characters, count as part of the text. Chosen."""


def infer(
    frame: pl.DataFrame, *, output: str | None, inputs: str | tuple[str, ...] = "*", task: str = "auto"
) -> Inferred:
    """Task, kind of input, columns and output of a typed frame.

    Args:
        frame: Examples, typed by `type_columns`; all of them, or a sample drawn through all of the source.
        output: The column to predict; None to choose it.
        inputs: The columns to predict it from; "*" for all that can be used.
        task: Of `records.Task`, or "auto".

    Raises:
        SourceError: there is nothing that can be learned from these columns; says what to do.
    """
    notes: list[str] = []
    named = (inputs,) if isinstance(inputs, str) else inputs
    wanted = () if "*" in named else named
    _check_names(frame, output, wanted)
    kinds, reasons = column_kinds(frame, output=output)
    if output is None or labels.form_of(frame[output], task) is None:
        fit = [*_fit(frame, kinds), *_several_in(frame, kinds)]
        texts = of_texts(frame, kinds, reasons, output=output, wanted=wanted, task=task, fit=fit)
        if texts is not None:
            return texts
    if output is None:
        output, chosen = _chosen_output(frame, kinds)
        notes.append(chosen)
    several = labels.form_of(frame[output], task)
    if several is not None:
        return _several(frame, kinds, reasons, output, wanted, several, notes)
    check_several(frame[output], task)
    _check_output(frame[output], kinds[output], reasons.get(output), task)
    columns, excluded, kind = _inputs(frame, kinds, reasons, output, wanted, notes)
    found, why = _task(frame[output], kind, task)
    if why:
        notes.append(why)
    _check_answers(frame[output], found)
    return Inferred(found, kind, columns, output, excluded, tuple(notes))


def _several_in(frame: pl.DataFrame, kinds: dict[str, ColumnKind]) -> list[str]:
    """The columns whose answers are several labels."""
    return [name for name in kinds if labels.form_of(frame[name], "auto") is not None]


def _several(
    frame: pl.DataFrame,
    kinds: dict[str, ColumnKind],
    reasons: dict[str, str],
    output: str,
    wanted: tuple[str, ...],
    form: tuple[Task, str],
    notes: list[str],
) -> Inferred:
    """What is inferred where an answer is several labels: spans of a text, or a set of classes."""
    task, separator = form
    _check_count(frame[output])
    if task == "tagging":
        column, excluded = text_of_spans(frame, kinds, reasons, output, wanted, notes)
        notes.append(f"tagging, because {output!r} holds spans of {column.name!r}")
        return Inferred(task, "text", (column,), output, excluded, tuple(notes))
    columns, excluded, kind = _inputs(frame, kinds, reasons, output, wanted, notes)
    between = f"labels with {separator!r} between them" if separator else "lists of labels"
    notes.append(f"multilabel, because {output!r} holds {between}: an example may have none, one or several")
    return Inferred(task, kind, columns, output, excluded, tuple(notes), separator)


def _check_names(frame: pl.DataFrame, output: str | None, wanted: tuple[str, ...]) -> None:
    names = [name for name in frame.columns if name != POSITION]
    faults = [
        Fault(where, f"there is no column {name!r}", "a column of the data", suggestion(name, names))
        for where, name in [("output", output), *(("input", each) for each in wanted)]
        if name is not None and name not in names
    ]
    if output is not None and output in wanted:
        faults.append(Fault("input", f"{output!r} is the output", "other columns", "leave it out"))
    if faults:
        raise SourceError(faults)


def _chosen_output(frame: pl.DataFrame, kinds: dict[str, ColumnKind]) -> tuple[str, str]:
    """The column to predict where none is named, and why it.

    Raises:
        SourceError: more than one may be meant; lists them.
    """
    if len(kinds) < 2:
        found = f"the data has only one column, {', '.join(kinds)}"
        todo = "check the separator and the header"
        raise SourceError(Fault("data.source", found, "an input and an output column, or one column of text", todo))
    fit = _fit(frame, kinds)
    spans = [name for name in kinds if are_spans(frame[name])]
    beside = f"; to tag texts, name {' or '.join(map(repr, spans))} as the output" if spans else ""
    sets = [name for name in kinds if name not in (*fit, *spans) and labels.form_of(frame[name], "auto")]
    by_name = {name.casefold(): name for name in reversed([*fit, *sets])}
    for usual in _OUTPUTS:
        if usual in by_name:
            return by_name[usual], f"{by_name[usual]!r} is taken for the output, because of its name{beside}"
    if len(spans) == 1:
        return spans[0], f"{spans[0]!r} is taken for the output, because it holds spans of a text"
    told = [name for name in fit if _OUTPUT_WORDS & name_words(name)]
    if len(told) == 1:
        return told[0], f"{told[0]!r} is taken for the output, because of its name"
    last = [name for name in kinds if not _is_part(frame[name])][-1:]
    if last and last[0] in fit:
        return last[0], f"{last[0]!r} is taken for the output, because it is the last column"
    if len(fit) == 1:
        return fit[0], f"{fit[0]!r} is taken for the output, because no other column can be one"
    could = ", ".join(map(repr, fit[:20])) or "none: all are text, dates, identifiers or constant"
    if any(kind == "text" for kind in kinds.values()):
        could += "; to have texts written, name the column of answers and task: generation"
    raise SourceError(
        Fault("output", "it is not clear what is to be predicted", "the name of a column", f"could be {could}")
    )


def _fit(frame: pl.DataFrame, kinds: dict[str, ColumnKind]) -> list[str]:
    """The columns that may be what is to be predicted though nobody named them."""
    return [name for name in kinds if kinds[name] in ("number", "category", "boolean") and _may_be_output(frame[name])]


def _may_be_output(column: pl.Series) -> bool:
    """Whether a column that nobody named may be what is to be predicted."""
    mostly_there = column.null_count() * 2 <= len(column)
    return mostly_there and not _is_part(column) and not name_words(column.name) & ID_WORDS


def _check_output(column: pl.Series, kind: ColumnKind, reason: str | None, task: str) -> None:
    """Nothing, where `column` can be predicted."""
    where, count = f"output {column.name!r}", len(column) - column.null_count()
    faults = []
    if kind == "date":
        todo = "predict a number derived from it (days until, hour of the day), or name another column"
        faults.append(Fault(where, "is a date", "classes or numbers", todo))
    elif kind == "image":
        faults.append(Fault(where, "holds images", "classes or numbers", "name another column"))
    elif kind == "constant":
        found = reason if count else "holds nothing"
        faults.append(
            Fault(where, f"{found}: there is nothing to tell apart", "at least two classes", "name another column")
        )
    elif kind == "identifier":
        faults.append(Fault(where, f"is an identifier: it {reason}", "classes or numbers", "name another column"))
    elif kind == "text":
        found = f"is free text: {column.n_unique():,} different texts"
        todo = "name another column, or set task: generation to have texts written"
        faults.append(Fault(where, found, "classes or numbers", todo))
    if task == "regression" and not faults and not column.dtype.is_numeric():
        strays = column.drop_nulls().cast(pl.String).unique().sort().head(3).to_list()
        todo = "set task: classification, or correct the values"
        faults.append(Fault(where, f"holds what is no number: {', '.join(map(repr, strays))}", "numbers", todo))
    if faults:
        raise SourceError(faults)
    _check_count(column)


def _check_count(column: pl.Series) -> None:
    """Nothing, where enough examples have an output."""
    count = len(column) - column.null_count()
    if count < FEWEST_EXAMPLES:
        found = f"only {count} examples have an output"
        expected = f"at least {FEWEST_EXAMPLES}, better hundreds"
        raise SourceError(Fault("data.source", found, expected, "collect more examples"))


def _task(column: pl.Series, kind: InputKind, asked: str) -> tuple[Task, str | None]:
    """The task, and why it where another might be meant."""
    if asked in ("classification", "regression"):
        return ("classification" if asked == "classification" else "regression"), None
    if not column.dtype.is_numeric():
        return "classification", None
    values = column.drop_nulls()
    distinct = values.n_unique()
    if distinct == 2:
        return "classification", None
    if values.dtype.is_float() and (values.round(0) != values).any():
        return "regression", None
    low, high = int(values.min()), int(values.max())  # type: ignore[arg-type]
    whole = f"{column.name!r} holds {distinct} different whole numbers from {low} to {high}"
    named = bool(_CLASS_WORDS & name_words(column.name))
    numbered = low in (0, 1) and high - low + 1 == distinct and distinct * 5 <= len(values)
    if distinct <= MOST_GRADES:
        return "classification", f"{whole}: taken for classes; set task: regression if they are a quantity"
    if numbered and (named or kind != "table"):
        return "classification", f"{whole} without a gap: taken for classes; set task: regression if they are not"
    return "regression", f"{whole}: taken for a quantity; set task: classification if they are classes"


def _check_answers(column: pl.Series, task: Task) -> None:
    """Nothing, where the classes repeat enough to be learned."""
    if task == "regression":
        return
    counts = column.drop_nulls().value_counts()["count"]
    repeated = int((counts >= 2).sum())
    where = f"output {column.name!r}"
    if repeated < 2:
        found = f"has {len(counts):,} classes, of which {repeated} have two examples or more"
        raise SourceError(Fault(where, found, "at least two classes with two examples each", "name another column"))
    if 2 * len(counts) > counts.sum():
        found = f"has {len(counts):,} different values in {counts.sum():,} examples"
        raise SourceError(Fault(where, found, "classes that repeat", "name another column, or set task: regression"))


def _inputs(
    frame: pl.DataFrame,
    kinds: dict[str, ColumnKind],
    reasons: dict[str, str],
    output: str,
    wanted: tuple[str, ...],
    notes: list[str],
) -> tuple[tuple[Column, ...], dict[str, str], InputKind]:
    """The columns to predict from, those left out with reasons, and the kind of input they are together."""
    excluded = dict(_left_out(frame, kinds, reasons, output, wanted))
    usable = {name: _usable(frame[name], kinds[name]) for name in kinds if name != output and name not in excluded}
    if not usable:
        told = "; ".join(f"{name} {why}" for name, why in excluded.items())
        found = f"no column is left to predict {output!r} from: {told}"
        raise SourceError(
            Fault("input", found, "at least one column that says something", "name columns under `input`")
        )
    found_kinds = set(usable.values())
    others = [name for name, kind in usable.items() if kind not in ("image", "text")]
    if "image" in found_kinds:
        kind: InputKind = "image"
        leading = [name for name, each in usable.items() if each == "image"][:1]
        rest = "is left out: a model of images looks at one image alone"
    elif "text" in found_kinds and all(not wanted and _nearly_constant(frame[name]) for name in others):
        kind = "text"
        leading = [name for name, each in usable.items() if each == "text"]
        rest = "is nearly always the same beside the text"
    elif "text" in found_kinds and _beside_text(frame, usable, others):
        kind, leading, rest = "text", list(usable), ""
    else:
        kind, leading, rest = "table", list(usable), ""
    excluded.update({name: rest for name in usable if name not in leading})
    if kind == "text" and len(leading) > 1:
        notes.append(f"{', '.join(map(repr, leading))} are read together, as one text")
    return tuple(Column(name, usable[name]) for name in leading), excluded, kind


def _left_out(
    frame: pl.DataFrame, kinds: dict[str, ColumnKind], reasons: dict[str, str], output: str, wanted: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    for name, kind in kinds.items():
        if name == output or (name in wanted and kind != "constant"):
            continue
        if wanted and name not in wanted:
            yield name, "is not among the inputs that the problem names"
        elif name in reasons:
            yield name, reasons[name]
        elif _is_part(frame[name]):
            yield name, "says which part an example belongs to"


def _usable(column: pl.Series, kind: ColumnKind) -> ColumnKind:
    """The kind under which a column is used; an identifier that the person asked for is what its values are."""
    if kind != "identifier":
        return kind
    return "number" if column.dtype.is_numeric() else "category"


def _is_part(column: pl.Series) -> bool:
    """Whether the column says to which part or fold an example belongs."""
    if column.name.casefold() not in _PART_NAMES or column.dtype == pl.Binary:
        return False
    values = column.drop_nulls().unique()
    if column.dtype == pl.String:
        return len(values) <= 5 and set(values.str.to_lowercase().to_list()) <= _PARTS
    return column.name.casefold() != "set" and column.dtype == pl.Int64 and len(values) <= 20


def _beside_text(frame: pl.DataFrame, usable: dict[str, ColumnKind], others: list[str]) -> bool:
    """Whether the other columns are words too, and few beside what the texts say: all are read as one text then."""
    if len(others) > _FEW_BESIDE or any(usable[name] not in ("category", "boolean") for name in others):
        return False
    length = {name: int(frame[name].cast(pl.String).str.len_chars().sum() or 0) for name in usable}
    return sum(length[name] for name in others) <= _SHARE_BESIDE * sum(length.values())


def _nearly_constant(column: pl.Series) -> bool:
    counts = column.drop_nulls().value_counts()["count"]
    return bool((counts >= _NEARLY_CONSTANT * len(column)).any())
