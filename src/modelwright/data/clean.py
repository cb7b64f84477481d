"""What cannot be learned from is left out: every example that goes has a reason, a twin or a place.

Texts and images that stand twice are copies, and only the first stays. In a table two equal examples may
also be two measurements that happen to agree (two cars of one make); `copied` tells the cases apart. What
happens to agree stays, and stays in one part, so that no part tests what another has taught.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from modelwright.data.labels import several, spelled
from modelwright.records import POSITION, Finding, Schema, Severity

DROPPED = pl.Schema({"position": pl.Int64, "reason": pl.String, "twin": pl.Int64, "where": pl.String})
"""The columns of dropped.parquet."""

COPIES = 2.0
"""Copies are assumed where equal examples outnumber those that differ in one column by more than this.
Measured on 17 public tables: at least 2.6 where copies are known (wine, segment, spambase), at most 0.98
where measurements are coarse (breast_w) and under 0.3 elsewhere."""

TRIED_COLUMNS = 64
"""Columns that `copied` leaves out in turn; of more, as many are tried, evenly spaced."""

SHOWN = 5
"""Examples that a finding quotes."""

_HASH, _LABEL, _PLACE = "__hash__", "__label__", "__place__"


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What stays, in the order of the source, and what went.

    `twins_N` holds equal codes for examples that are the same to a model and must share a part; None where
    there are none. `label_ceiling` is the share of examples that the best answer to each distinct input
    gets right; None where no input has two labels.
    """

    examples: pl.DataFrame
    dropped: pl.DataFrame
    findings: tuple[Finding, ...]
    twins_N: np.ndarray | None = None
    label_ceiling: float | None = None


def dropped_frame(lines: Iterable[tuple[int, str, int | None, str | None]] = ()) -> pl.DataFrame:
    """Lines of dropped.parquet: position, reason, twin, where."""
    return pl.DataFrame(list(lines), schema=DROPPED, orient="row")


def drop(
    examples: pl.DataFrame, gone: pl.Series, reason: str, where: pl.Expr | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`examples` without those where `gone` is true, and the lines of dropped.parquet for these."""
    lines = examples.filter(gone).select(
        pl.col(POSITION).alias("position"),
        pl.lit(reason).alias("reason"),
        pl.lit(None, pl.Int64).alias("twin"),
        (pl.lit(None) if where is None else where).cast(pl.String).alias("where"),
    )
    return examples.filter(~gone), lines


def missing_input(examples: pl.DataFrame, schema: Schema) -> pl.Series:
    """Where a text or an image has nothing in it; gaps in a table or beside a text are for the models."""
    nothing = pl.repeat(schema.kind != "table", len(examples), eager=True)
    for column in (column for column in schema.inputs if column.kind in (schema.kind, "messages")):
        values = examples[column.name]
        empty = values.is_null()
        if values.dtype == pl.String:
            empty |= (values.str.strip_chars() == "").fill_null(value=True)
        nothing &= empty
    return nothing


def clean(examples: pl.DataFrame, schema: Schema) -> Cleaned:
    """`examples` (outputs and inputs present) without copies and without labels that contradict each other.

    Of equal texts or images with one label the first stays; with several labels the first of the strict
    majority, and none where there is no such majority, unless a class would lose most of its examples: then
    the classes are at odds, not the examples, and each label keeps its first. Of a table, only copies go.
    """
    hashes_N = hash_examples(examples, schema.names)
    twice_N = pl.Series(hashes_N).is_duplicated()
    if not twice_N.any():
        return Cleaned(examples, dropped_frame(), ())
    among = pl.DataFrame(
        {
            _PLACE: np.flatnonzero(twice_N.to_numpy()),
            _HASH: hashes_N[twice_N.to_numpy()],
            _LABEL: spelled(examples[schema.output].filter(twice_N)),
            POSITION: examples[POSITION].filter(twice_N),
        }
    )
    if schema.kind == "table" and not copied(examples, [*schema.names, schema.output]):
        lines = dropped_frame()
    elif schema.kind != "table" and schema.task == "classification":
        lines = _contradictions(among, dict(examples[schema.output].value_counts().iter_rows()))
    elif schema.kind != "table" and several(schema.task):
        lines = _contradictions(among, None)
    else:
        lines = _copies(among)
    findings = list(_conflict_findings(lines))
    kept_N = ~examples[POSITION].is_in(lines["position"].implode())
    among = among.filter(~pl.col(POSITION).is_in(lines["position"].implode()))
    among = among.filter(pl.col(_HASH).is_duplicated())
    if among.is_empty():
        return Cleaned(examples.filter(kept_N), lines, tuple(findings))
    ceiling = _ceiling(among, int(kept_N.sum())) if schema.task == "classification" else None
    findings += _twin_findings(among, ceiling, schema)
    twins_N = np.unique(hashes_N[kept_N.to_numpy()], return_inverse=True)[1].astype(np.int64)
    return Cleaned(examples.filter(kept_N), lines, tuple(findings), twins_N, ceiling)


def hash_examples(examples: pl.DataFrame, names: list[str]) -> np.ndarray:
    """A uint64 per example that is equal where all of `names` are equal (missing equals missing).

    Of a million different examples, two share one with a chance of 3e-8.
    """
    total_N = np.zeros(len(examples), np.uint64)
    for seed, name in enumerate(names):
        total_N += examples[name].hash(seed=seed + 1).to_numpy()
    return total_N


def copied(examples: pl.DataFrame, names: list[str]) -> bool:
    """Whether equal examples of a table are copies, rather than measurements that agree by chance.

    Chance that makes all columns agree makes all but one agree far more often; copying does not. So the
    examples that equal an earlier one are set against those that differ from one in a single column.
    """
    total_N = hash_examples(examples, names)
    twins = len(total_N) - _distinct(total_N)
    if twins == 0:
        return False
    step = max(1, len(names) // TRIED_COLUMNS)
    near = 0
    for seed in range(0, len(names), step):
        without_N = total_N - examples[names[seed]].hash(seed=seed + 1).to_numpy()
        near += len(total_N) - _distinct(without_N) - twins
    return twins > COPIES * near * step


def _distinct(values_N: np.ndarray) -> int:
    return pl.Series(values_N).n_unique()


def _contradictions(among: pl.DataFrame, counts: dict[str, int] | None) -> pl.DataFrame:
    """The lines for examples that copy another or contradict the strict majority of their twins.

    Args:
        among: The examples whose input stands more than once.
        counts: Examples of each class, the unequal ones included; None where answers are no classes, which could
            be at odds.
    """
    votes = among.group_by(_HASH, _LABEL).agg(pl.len().alias("votes"), pl.col(POSITION).min().alias("first"))
    winners = (
        votes.sort("votes", "first", descending=[True, False])
        .group_by(_HASH)
        .agg(
            pl.col("votes").first(),
            pl.col("votes").sum().alias("all"),
            pl.col(_LABEL).first().alias("label"),
            pl.col("first").first(),
        )
        .with_columns(won=pl.col("votes") * 2 > pl.col("all"))
    )
    judged = among.join(winners, on=_HASH, how="left").sort(POSITION)
    agrees = pl.col("won") & (pl.col(_LABEL) == pl.col("label"))
    if counts is None:
        return _contradicting(judged, agrees)
    losses = dict(judged.filter(~agrees)[_LABEL].value_counts().iter_rows())
    at_odds = [label for label, lost in losses.items() if lost * 2 > counts[label]]
    if at_odds:
        spared = judged.filter(~agrees & pl.col(_LABEL).is_in(at_odds))[_HASH].implode()
        kept = among.filter(pl.col(_HASH).is_in(spared))
        judged = judged.filter(~pl.col(_HASH).is_in(spared))
        return pl.concat([_contradicting(judged, agrees), _copies(kept)]).sort("position")
    return _contradicting(judged, agrees)


def _contradicting(judged: pl.DataFrame, agrees: pl.Expr) -> pl.DataFrame:
    reason = pl.when(agrees).then(pl.lit("exact_duplicate")).otherwise(pl.lit("conflicting_label"))
    return (
        judged.filter(~(pl.col("won") & (pl.col(POSITION) == pl.col("first"))))
        .select(
            pl.col(POSITION).alias("position"),
            reason.alias("reason"),
            pl.when("won").then(pl.col("first")).alias("twin"),
            pl.when(~agrees).then(pl.format("labelled {}", _LABEL)).alias("where"),
        )
        .cast(DROPPED)
    )


def _copies(among: pl.DataFrame) -> pl.DataFrame:
    """The lines for examples that equal an earlier one in inputs and output."""
    first = pl.col(POSITION).min().over(_HASH, _LABEL)
    return (
        among.with_columns(first.alias("twin"))
        .filter(pl.col(POSITION) != pl.col("twin"))
        .sort(POSITION)
        .select(
            pl.col(POSITION).alias("position"),
            pl.lit("exact_duplicate").alias("reason"),
            "twin",
            pl.lit(None, pl.String).alias("where"),
        )
        .cast(DROPPED)
    )


def _ceiling(among: pl.DataFrame, count: int) -> float | None:
    """The accuracy of the commonest label of each distinct input: sum over inputs of max_c n_c, over N."""
    votes = among.group_by(_HASH, _LABEL).len().group_by(_HASH).agg(pl.col("len").max(), all=pl.sum("len"))
    lost = int((votes["all"] - votes["len"]).sum())
    return 1 - lost / count if lost else None


def _conflict_findings(lines: pl.DataFrame) -> Iterable[Finding]:
    conflicts = lines.filter(pl.col("reason") == "conflicting_label")
    if len(conflicts):
        shown = (
            conflicts.head(SHOWN)
            .select(
                pl.format(
                    "example {} is {}{}",
                    "position",
                    "where",
                    pl.format(", as example {} is not", "twin").fill_null(", with no majority"),
                )
            )
            .to_series()
            .to_list()
        )
        todo = "read them in dropped.parquet and correct their labels in the source"
        yield Finding("conflicting_label", "warning", len(conflicts), tuple(shown), todo)


def _twin_findings(among: pl.DataFrame, ceiling: float | None, schema: Schema) -> Iterable[Finding]:
    """What to say of examples that stay although their inputs are equal."""
    groups = (
        among.sort(POSITION)
        .group_by(_HASH, maintain_order=True)
        .agg(POSITION, pl.col(_LABEL).unique(maintain_order=True))
    )
    split = groups.filter(pl.col(_LABEL).list.len() > 1)
    same = groups.filter(pl.col(_LABEL).list.len() == 1)
    if len(same):
        equal = int(same[POSITION].list.len().sum())
        todo = "nothing: they look like measurements that agree, stay, and share a part"
        yield Finding("leakage_twin", "info", equal, _quoted(same), todo)
    if len(split):
        unequal = int(split[POSITION].list.len().sum())
        what = "values" if schema.task == "regression" else "labels"
        bound = f"; no predictor can exceed an accuracy of {ceiling:.6g} here" if ceiling is not None else ""
        todo = f"add a column that tells them apart, or correct their {what}{bound}"
        severity: Severity = "warning"
        if schema.task == "generation":
            severity, todo = "info", "nothing, if each is a good answer: they share a part, and any one is held right"
        yield Finding("conflicting_label", severity, unequal, _quoted(split), todo)


def _quoted(groups: pl.DataFrame) -> tuple[str, ...]:
    return tuple(
        f"examples {', '.join(map(str, positions[:SHOWN]))}: {', '.join(str(each)[:80] for each in labels[:SHOWN])}"
        for positions, labels in groups.head(SHOWN).select(POSITION, _LABEL).iter_rows()
    )
