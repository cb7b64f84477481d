"""Parts that the data itself states: a column that names them, and a test file of its own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from modelwright.data.clean import SHOWN, drop
from modelwright.data.labels import label_lists, spelled
from modelwright.data.splits import PARTS
from modelwright.errors import Fault, SourceError
from modelwright.records import POSITION, Finding
from modelwright.registry import suggestion

ALIASES = {
    **dict.fromkeys(("train", "training", "trn", "tr"), 0),
    **dict.fromkeys(("validation", "valid", "val", "dev", "development"), 1),
    **dict.fromkeys(("test", "testing", "tst"), 2),
}
NAMES = frozenset({"split", "subset", "partition"})
"""Columns that are taken for an official split without being asked, if their values name parts."""


def split_column(frame: pl.DataFrame) -> str | None:
    """The column of `frame` that by its name and all its values states an official split, if there is one."""
    for name in frame.columns:
        if name.casefold() in NAMES and frame[name].dtype == pl.String:
            values = {_fold(value) for value in frame[name].unique().to_list()}
            if values <= set(ALIASES) and len({ALIASES[value] for value in values}) > 1:
                return name
    return None


def _fold(value: object) -> str:
    return str(value).strip().casefold()


def parts_of(values: pl.Series) -> np.ndarray:
    """The part that each value names (int8, an index into PARTS).

    Raises:
        SourceError: a value names no part, or none names train.
    """
    codes = {value: ALIASES.get(_fold(value)) for value in values.unique().to_list()}
    foreign = [repr(value) for value, code in codes.items() if code is None]
    if foreign:
        fault = Fault(
            "data.split.column",
            f"{values.name!r} holds {', '.join(sorted(foreign)[:SHOWN])}",
            "train, validation or test in every example",
            "correct the values, or split by shares",
        )
        raise SourceError(fault)
    if 0 not in codes.values():
        raise SourceError(Fault("data.split.column", f"{values.name!r} never says train", "examples to train on"))
    return values.replace_strict(codes, return_dtype=pl.Int8).to_numpy().copy()


def open_parts(official_N: np.ndarray, shares: tuple[float, float, float]) -> tuple[float, float, float]:
    """The shares into which the official train part is cut to fill the parts that are not official."""
    missing = [part for part in range(3) if part and not (official_N == part).any()]
    total = shares[0] + sum(shares[part] for part in missing)
    validation, test = (shares[part] / total if part in missing else 0.0 for part in (1, 2))
    return (1 - validation - test, validation, test)


def like_source(raw: pl.DataFrame, typed: pl.DataFrame, source: pl.DataFrame, where: str) -> pl.DataFrame:
    """The test file's examples with the columns and types of the source's.

    Args:
        raw: The test file as it was read.
        typed: The same with types found from its own values.
        source: The source, typed; its types win.
        where: The test file, for messages.

    Raises:
        SourceError: a column is missing, one fault for each.
    """
    missing = [name for name in source.columns if name not in raw.columns]
    if missing:
        todo = "give the test file the columns of the source"
        raise SourceError(
            Fault(where, f"has no column {name!r}", "", f"{suggestion(name, raw.columns)} {todo}") for name in missing
        )
    return pl.DataFrame([_cast(raw[name], typed[name], source[name].dtype) for name in source.columns])


def _cast(raw: pl.Series, typed: pl.Series, dtype: pl.DataType) -> pl.Series:
    if typed.dtype == dtype:
        return typed
    if dtype == pl.String:
        return raw.cast(pl.String)  # as written: a code 007 that looked like the number 7
    if typed.dtype == pl.String and dtype.is_temporal():
        return typed.str.to_datetime(strict=False).cast(dtype, strict=False)
    if typed.dtype == pl.String and dtype.is_numeric():
        return typed.str.strip_chars().cast(pl.Float64, strict=False).cast(dtype, strict=False)
    return typed.cast(dtype, strict=False)


def same_labels(labels: pl.Series, classes: list[str]) -> tuple[pl.Series, list[Finding]]:
    """Official test labels written as in `classes`, where they differ only in case, space or a final mark.

    UCI's Adult test file writes `>50K.` for the `>50K` of its train file.
    """
    folded: dict[str, list[str]] = {}
    for name in classes:
        folded.setdefault(_bare(name), []).append(name)
    renamed = {}
    for label in labels.drop_nulls().unique().sort().to_list():
        same = folded.get(_bare(label), [])
        if label not in classes and len(same) == 1:
            renamed[label] = same[0]
    if not renamed:
        return labels, []
    shown = tuple(f"{found!r} is read as {ours!r}" for found, ours in list(renamed.items())[:SHOWN])
    count = int(labels.is_in(list(renamed)).sum())
    todo = "nothing, if these mean the same"
    return labels.replace(renamed), [Finding("inconsistent_value", "info", count, shown, todo)]


def _bare(label: str) -> str:
    bare = " ".join(label.casefold().split()).rstrip(".,;:! ")
    return bare.removesuffix(".0") or label


def unseen(test: pl.DataFrame, output: str, classes: list[str]) -> tuple[pl.DataFrame, pl.DataFrame, list[Finding]]:
    """`test` without examples of classes that train never shows, their lines for dropped.parquet, findings."""
    given = label_lists(test[output])
    if isinstance(given.dtype, pl.List):
        strange = given.list.eval(pl.element().filter(~pl.element().is_in(classes)))
        gone, foreign = strange.list.len() > 0, strange.explode().drop_nulls()
    else:
        gone = ~given.is_in(classes)
        foreign = given.filter(gone)
    if not gone.any():
        return (*drop(test, gone, "unseen_class"), [])
    names = foreign.unique().sort().to_list()
    said = test.with_columns(spelled(test[output]).alias("__said__"))
    kept, lines = drop(said, gone, "unseen_class", pl.format("labelled {}", "__said__"))
    kept = kept.drop("__said__")
    todo = "add examples of them to train; figures on the test part say nothing about these classes"
    shown = tuple(map(str, names[:SHOWN]))
    return kept, lines, [Finding("unseen_class", "error", len(lines), shown, todo)]


def told_by_test(
    examples: pl.DataFrame, hashes_N: np.ndarray, test: pl.DataFrame, test_hashes_N: np.ndarray, output: str
) -> tuple[pl.Series, pl.DataFrame, Iterator[Finding]]:
    """Which `examples` the official test part also holds, their lines for dropped.parquet, and the finding.

    They go from train, never from test, which stays as it was published.
    """
    mine = pl.DataFrame({"hash": hashes_N, "position": examples[POSITION], "label": spelled(examples[output])})
    theirs = pl.DataFrame({"hash": test_hashes_N, "twin": test[POSITION], "their": spelled(test[output])})
    gone = mine["hash"].is_in(theirs["hash"].implode())
    lines = (
        mine.filter(gone)
        .join(theirs.unique("hash", keep="first", maintain_order=True), on="hash", how="left")
        .sort("position")
        .select(
            "position",
            pl.when(pl.col("label") == pl.col("their"))
            .then(pl.lit("exact_duplicate"))
            .otherwise(pl.lit("conflicting_label"))
            .alias("reason"),
            "twin",
            pl.lit("also in the official test part").alias("where"),
        )
    )
    return gone, lines, _leak_findings(lines)


def _leak_findings(lines: pl.DataFrame) -> Iterator[Finding]:
    if len(lines):
        shown = tuple(
            f"example {mine} is test example {theirs}"
            for mine, theirs in lines.head(SHOWN).select("position", "twin").iter_rows()
        )
        todo = "nothing: they were left out of train, and the test part stays as published"
        yield Finding("leakage_twin", "warning", len(lines), shown, todo)


def describe(official_N: np.ndarray) -> str:
    """The official parts among `official_N`, in words."""
    return ", ".join(PARTS[part] for part in range(3) if (official_N == part).any())
