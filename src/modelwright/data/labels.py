"""Answers that are several labels: sets of classes, and the labels of spans.

Array letters: N examples, C labels.
"""

from __future__ import annotations

import fnmatch
import json
from collections import Counter
from typing import Any

import numpy as np
import polars as pl

from modelwright.data.spans import are_spans
from modelwright.records import POSITION, Task

SEPARATORS = ("|", ";", ",")
_LOOK = 5000  # values that tell what a column holds; chosen
_SETS = 0.02
"""Share of the values that must hold several labels before they are taken for sets. Chosen."""
_RECOMBINED = 0.8
"""Share of the labels in such values that must also stand in another value: "Smith, John" never does. Chosen."""
_YES, _NO = frozenset({"1", "1.0", "true", "yes", "y", "t", "x"}), frozenset({"0", "0.0", "false", "no", "n", "f"})


def several(task: str) -> bool:
    """Whether an answer of this task is several labels or none."""
    return task in ("multilabel", "tagging")


def form_of(column: pl.Series, asked: str) -> tuple[Task, str] | None:
    """The task for which `column` holds several labels, and what separates them; None where it holds one answer.

    The separator is empty for lists and spans.

    Args:
        column: A typed column.
        asked: The task that the problem states, or "auto".
    """
    if asked not in ("auto", "multilabel", "tagging"):
        return None
    if asked != "multilabel" and are_spans(column):
        return "tagging", ""
    if asked == "tagging" or (column.dtype != pl.String and asked == "auto"):
        return None
    if column.dtype == pl.String and _are_lists(column):
        return "multilabel", ""
    separator = _separator(column.cast(pl.String), sure=asked == "auto")
    return None if separator is None and asked == "auto" else ("multilabel", separator or "")


def _sample(column: pl.Series) -> pl.Series:
    values = column.drop_nulls()
    return values.gather_every(max(1, len(values) // _LOOK)).str.strip_chars()


def _are_lists(column: pl.Series) -> bool:
    look = _sample(column)
    return len(look) > 0 and all(_listed(value) is not None for value in look.to_list())


def _listed(value: str) -> list[str] | None:
    """The labels of a JSON list of texts or whole numbers."""
    if not value.startswith("["):
        return None
    try:
        found = json.loads(value)
    except ValueError:
        return None
    if not all(isinstance(each, str | int) and not isinstance(each, bool) for each in found):
        return None
    return [str(each).strip() for each in found]


def _separator(column: pl.Series, *, sure: bool) -> str | None:
    """The sign between the labels of a value, if any is."""
    look = _sample(column)
    best: tuple[float, str] | None = None
    for sign in SEPARATORS:
        holding = look.filter(look.str.contains(sign, literal=True))
        share = len(holding) / max(1, len(look))
        if share == 0 or (sure and (share < _SETS or not _recombine(look.unique(), sign))):
            continue
        if best is None or share > best[0]:
            best = (share, sign)
    return best[1] if best else None


def _recombine(values: pl.Series, sign: str) -> bool:
    """Whether the pieces of the values stand in several values, as labels do and the parts of a name do not."""
    pieces = [set(_pieces(value, sign)) for value in values.to_list()]
    counts = Counter(piece for each in pieces for piece in each)
    within = {piece for each in pieces if len(each) > 1 for piece in each}
    short = all(len(piece) <= 50 for piece in within)
    repeated = sum(counts[piece] > 1 for piece in within)
    return short and len(within) > 1 and repeated >= _RECOMBINED * len(within) and len(counts) < 0.5 * len(values) + 10


def _pieces(value: str, sign: str) -> list[str]:
    return [piece for each in value.split(sign) if (piece := each.strip())]


def as_sets(values: pl.Series, separator: str) -> pl.Series:
    """The labels of each value, a list of strings, sorted, each once; null where the value is missing."""
    cells: list[list[str] | None] = []
    for value in values.cast(pl.String).str.strip_chars().to_list():
        if not value:
            cells.append(None)
            continue
        found = _listed(value)
        if found is None:
            found = _pieces(value, separator) if separator else [value]
        cells.append(sorted({each for each in found if each}))
    return pl.Series(values.name, cells, pl.List(pl.String))


def with_label_columns(frame: pl.DataFrame, output: str | None) -> pl.DataFrame:
    """`frame` with the columns of noughts and ones that `output` names as one column of lists of their names.

    `output` names them as "a, b, c" or by a pattern such as "is_*"; where it is a column, nothing changes. An example
    in which one of them is neither nought nor one has no output.
    """
    if output is None or output in frame.columns:
        return frame
    names = [name for name in frame.columns if name != POSITION]
    pieces = _pieces(output, ",")
    chosen = [name for piece in pieces for name in names if name == piece or fnmatch.fnmatchcase(name, piece)]
    if len(chosen) < 2 or any(not fnmatch.filter(names, piece) and piece not in names for piece in pieces):
        return frame
    flags = frame.select(pl.col(chosen).cast(pl.String).str.strip_chars().str.to_lowercase())
    lists = [_told(dict(zip(chosen, row, strict=True))) for row in flags.iter_rows()]
    return frame.drop(chosen).with_columns(pl.Series(output, lists, pl.String))


def _told(flags: dict[str, Any]) -> str | None:
    if any(flag not in _YES and flag not in _NO for flag in flags.values()):
        return None
    return json.dumps([name for name, flag in flags.items() if flag in _YES], ensure_ascii=False)


def label_lists(output: pl.Series) -> pl.Series:
    """The labels of each example, of sets or of spans (there one for each span)."""
    if isinstance(output.dtype, pl.List) and isinstance(output.dtype.inner, pl.Struct):
        return output.list.eval(pl.element().struct.field("label"))
    return output


def label_counts(output: pl.Series) -> dict[str, int]:
    """How often each label is given: by examples, or by spans; by the alphabet."""
    given = label_lists(output).explode().drop_nulls()
    counts = dict(given.value_counts().iter_rows())
    return {name: counts[name] for name in sorted(counts, key=lambda name: (name.casefold(), name))}


def spelled(output: pl.Series) -> pl.Series:
    """`output` with each answer of several labels as one text, which is equal where the answers are."""
    if not isinstance(output.dtype, pl.List):
        return output
    if isinstance(output.dtype.inner, pl.Struct):
        texts = [", ".join(f"{each['label']} {each['start']}–{each['end']}" for each in spans) for spans in output]
    else:
        texts = [", ".join(labels) for labels in output]
    return pl.Series(output.name, [text or "nothing" for text in texts], pl.String)


def kinds_of(output: pl.Series) -> pl.Series:
    """`output` with each answer of several labels as the text of its different labels."""
    if not isinstance(output.dtype, pl.List):
        return output
    return spelled(label_lists(output).list.unique().list.sort())


def strata_of(output: pl.Series) -> np.ndarray:
    """A code for each example by which parts are made alike: its rarest label, or none.

    What is rare is dealt out first, as in iterative stratification (Sechidis, Tsoumakas & Vlahavas 2011, "On the
    stratification of multi-label data"), of which this is the first step.
    """
    counts = Counter(label for labels in label_lists(output).list.unique() for label in labels)
    code = {label: place for place, label in enumerate(sorted(counts, key=lambda label: (counts[label], label)), 1)}
    return np.array([min((code[label] for label in labels), default=0) for labels in label_lists(output)], np.int64)
