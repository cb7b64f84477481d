"""The output column: labels as strings or values as numbers, the classes in order, the positive class."""

from __future__ import annotations

import polars as pl

from modelwright.data.labels import as_sets
from modelwright.data.spans import read_spans
from modelwright.records import POSITION, Finding, Schema, Task

# fmt: off
_POSITIVE = frozenset({
    "yes", "y", "true", "t", "1", "positive", "pos", "spam", "malignant", "malicious", "fraud",
    "fraudulent", "churn", "churned", "bad", "default", "defaulted", "sick", "disease", "diseased",
    "ill", "failure", "failed", "fail", "anomaly", "attack", "toxic", "hate", "offensive",
    "phishing", "defect", "defective", "abnormal", "died", "dead", "approved", "accepted",
    "relevant", "duplicate",
})
# fmt: on
"""Labels that name the case that a two-class question is about."""


def outputs_of(
    typed: pl.DataFrame, raw: pl.DataFrame, schema: Schema, separator: str = ""
) -> tuple[pl.Series, list[Finding]]:
    """The output column as a part holds it, null where missing, and findings on what was mended in it.

    Args:
        typed: Examples, typed.
        raw: The same as they were read: spans count characters of the text before it lost its outer space.
        schema: The task and its columns.
        separator: Between the labels of an answer, where it is a text that holds several.
    """
    if schema.task == "tagging":
        return read_spans(raw[schema.output], raw[schema.names[0]].cast(pl.String), typed[POSITION])
    if schema.task == "multilabel":
        given = raw[schema.output]
        return as_sets(given if given.dtype == pl.String else typed[schema.output], separator), []
    return as_outputs(typed[schema.output], schema.task, raw[schema.output]), []


def as_outputs(values: pl.Series, task: Task, given: pl.Series | None = None) -> pl.Series:
    """`values` as a part holds them: strings without outer space, or finite numbers; null where missing.

    Args:
        values: The typed column.
        task: Decides between strings and numbers.
        given: The column as it was read: booleans keep its spelling, so that True is answered with True; and so
            do texts.
    """
    if task == "generation":
        texts = (values if given is None else given).cast(pl.String).str.strip_chars()
        return texts.set((texts == "").fill_null(value=False), None)
    if task in ("regression", "language-modeling"):
        if values.dtype == pl.String:
            values = values.str.strip_chars()
        numbers = values.cast(pl.Float64, strict=False)
        return numbers.set(~numbers.is_finite().fill_null(value=False), None)
    if values.dtype.is_float():
        values = values.fill_nan(None)
        if (values.round() == values).all():  # class 3 among missing values was read as 3.0
            values = values.cast(pl.Int64, strict=False)
    if values.dtype == pl.Boolean and given is not None and given.dtype == pl.String:
        return _as_spelt(values, given)
    labels = values.cast(pl.String).str.strip_chars()
    return labels.set((labels == "").fill_null(value=False), None)


def _as_spelt(flags: pl.Series, given: pl.Series) -> pl.Series:
    """Each flag as it is most often written."""
    pairs = pl.DataFrame({"flag": flags, "spelling": given.str.strip_chars()}).drop_nulls()
    counts = pairs.group_by("flag", "spelling").len().sort("len", "spelling", descending=[True, False])
    spelling = dict(counts.unique("flag", keep="first", maintain_order=True).select("flag", "spelling").iter_rows())
    return flags.replace_strict(spelling, default=None, return_dtype=pl.String)


def classes_of(labels: pl.Series) -> list[str]:
    """The different labels: as numbers if all are, else by the alphabet."""
    names = [str(name) for name in labels.drop_nulls().unique().to_list()]
    try:
        return sorted(names, key=lambda name: (float(name), name))
    except ValueError:
        return sorted(names, key=lambda name: (name.casefold(), name))


def positive_of(counts: dict[str, int]) -> str | None:
    """The class that a two-class question is about: the one whose name says so, else the rarer one."""
    if len(counts) != 2:
        return None
    named = [name for name in counts if name.casefold().strip(" .") in _POSITIVE or name.startswith((">", "≥"))]
    if len(named) == 1:
        return named[0]
    return min(counts, key=lambda name: (counts[name], name))
