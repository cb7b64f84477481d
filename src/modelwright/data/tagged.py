"""Which text a column of spans is about, and what to say where a column holds spans and another task is asked for."""

from __future__ import annotations

import polars as pl

from modelwright.data.spans import are_spans, fits
from modelwright.errors import Fault, SourceError
from modelwright.records import LANGUAGE_TASKS, Column, ColumnKind


def text_of_spans(
    frame: pl.DataFrame,
    kinds: dict[str, ColumnKind],
    reasons: dict[str, str],
    output: str,
    wanted: tuple[str, ...],
    notes: list[str],
) -> tuple[Column, dict[str, str]]:
    """The one column that the spans are of, and those left out with reasons.

    Raises:
        SourceError: no column or more than one comes into question.
    """
    if len(wanted) > 1:
        fault = Fault("input", f"names {len(wanted)} columns", "the one text that is tagged", "name that alone")
        raise SourceError(fault)
    texts = [name for name in wanted or kinds if name != output and frame[name].dtype == pl.String]
    texts = [name for name in texts if not are_spans(frame[name])]
    fitting = [name for name in texts if fits(frame[output], frame[name])] or texts[: len(wanted)]
    if not fitting:
        found = f"the spans of {output!r} fit into none of: {', '.join(texts) or 'no column of text'}"
        todo = "name the text under `input`, and see whether offsets count characters"
        raise SourceError(Fault("input", found, "a column whose texts the spans point into", todo))
    chosen = max(fitting, key=lambda name: (name in _TEXTS, kinds[name] == "text"))
    if len(fitting) > 1:
        notes.append(f"{chosen!r} is taken for the text; the spans would fit into {', '.join(fitting)}")
    excluded = {
        name: reasons.get(name, "is not the text that is tagged") for name in kinds if name not in (output, chosen)
    }
    return Column(chosen, "text"), excluded


_TEXTS = frozenset({"text", "full_text", "tokens", "sentence", "content", "words"})
"""Names of a column that is tagged, where the spans would fit into several."""


def check_several(column: pl.Series, task: str) -> None:
    """Nothing, where the problem asks for no task that `column` is not the answer of."""
    where = f"output {column.name!r}"
    if task == "tagging":
        todo = "tags of tokens go in a CoNLL file, or in lists `tokens` and `tags` of JSON"
        expected = "lists of spans: [{start, end, label}], in characters"
        raise SourceError(Fault(where, "holds no spans", expected, todo))
    if task in LANGUAGE_TASKS:
        return
    if task != "classification" and column.dtype == pl.String and are_spans(column):
        raise SourceError(Fault(where, "holds spans of a text", "classes or numbers", "set task: tagging"))
