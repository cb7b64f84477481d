"""What is done about twins: the later one is left out, or both are kept in one part, or it is only said.

Left out is only what another example stands for: nearly the same input with the same answer. Twins whose answers
differ, or which differ by a number, stay and share a part.

Array letters: K pairs, N examples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import polars as pl

from modelwright.data.clean import DROPPED, SHOWN, Cleaned
from modelwright.data.labels import spelled
from modelwright.data.splits import FREE, TRAIN
from modelwright.data.twins import pairs_of
from modelwright.data.twins.pairs import Pairs, chained
from modelwright.problem import Duplicates
from modelwright.records import POSITION, Finding, Schema, Severity

LARGEST, LARGE = 0.1, 20
"""Share of the examples, and how many, above which a chain of twins is no longer kept in one part: it is a template.
Chosen."""
QUOTED = 60
"""Characters of a text that a finding quotes."""


def settle(
    cleaned: Cleaned, official_N: np.ndarray, test: pl.DataFrame | None, schema: Schema, policy: Duplicates
) -> tuple[Cleaned, np.ndarray]:
    """The examples without those that a twin stands for, and the official parts of those that stay.

    An official test part stays as it is: its twins go. So does validation before train.

    Args:
        cleaned: Without exact copies.
        official_N: The part of each that an official split states, else `FREE`.
        test: The official test part.
        schema: Of both.
        policy: What the problem file says; `auto` is drop for texts and images, group for tables.
    """
    if policy == "auto":
        policy = "group" if schema.kind == "table" else "drop"
    needed = [POSITION, *schema.names, schema.output]
    order_N = np.argsort((official_N == FREE) | (official_N == TRAIN), kind="stable")
    frames = [] if test is None else [test.select(needed)]
    every = pl.concat([*frames, cleaned.examples.select(needed)[order_N]])
    known = len(every) - len(order_N)
    pairs = pairs_of(every, schema, known=known)
    if not len(pairs):
        return cleaned, official_N
    answers = spelled(every[schema.output]).cast(pl.String)
    agree_K = (answers.gather(pairs.first_K) == answers.gather(pairs.second_K)).fill_null(value=False).to_numpy()
    told_K = pairs.first_K < known
    out_K = {"drop": told_K | (agree_K & pairs.same_K), "group": told_K, "report": np.zeros_like(told_K)}[policy]
    out = pairs.where(out_K).left_out()
    positions_M = every[POSITION].to_numpy()
    found = [*_left_out(every, out, known, schema), *_at_odds(every, pairs.where(~agree_K), answers, schema)]
    gone_M = np.zeros(len(every), bool)
    gone_M[out.second_K] = True
    rest = pairs.where(~gone_M[pairs.first_K] & ~gone_M[pairs.second_K])
    found += _staying(every, rest, policy, schema)
    apart = rest.where(rest.first_K >= known)
    twins_N = cleaned.twins_N
    if policy != "report" and len(apart):
        groups_M, large = _groups(apart, len(every))
        found += large
        groups_N = np.empty(len(order_N), np.int64)
        groups_N[order_N] = groups_M[known:]
        twins_N = groups_N if twins_N is None else chained(groups_N, twins_N)
    kept_N = np.ones(len(order_N), bool)
    kept_N[order_N] = ~gone_M[known:]
    lines = _lines(positions_M, out, known)
    return (
        dataclasses.replace(
            cleaned,
            examples=cleaned.examples.filter(kept_N),
            dropped=pl.concat([_pointed_on(cleaned.dropped, lines), lines]),
            findings=(*cleaned.findings, *found),
            twins_N=None if twins_N is None else np.unique(twins_N[kept_N], return_inverse=True)[1].astype(np.int64),
        ),
        official_N[kept_N],
    )


def _groups(pairs: Pairs, count: int) -> tuple[np.ndarray, list[Finding]]:
    """A code for each example, equal for those that belong together; what is said of chains that are too long."""
    groups_M = pairs.groups(count)
    sizes = np.bincount(groups_M)
    large = np.flatnonzero(sizes > max(LARGE, LARGEST * count))
    if not len(large):
        return groups_M, []
    loose_M = np.isin(groups_M, large)
    groups_M = np.where(loose_M, len(sizes) + np.arange(count), groups_M)
    shown = (f"{int(sizes[large].sum()):,} examples in {len(large)} chains of twins, too many for one part",)
    todo = "they stand in all parts: name what they have in common in `data.split.group`, or collect other examples"
    return groups_M, [Finding("leakage_twin", "warning", int(loose_M.sum()), shown, todo)]


def _lines(positions_M: np.ndarray, out: Pairs, known: int) -> pl.DataFrame:
    """Lines of dropped.parquet for the second of each pair."""
    where = [f"{alike:.0%} alike" for alike in out.similarity_K.tolist()]
    where = [
        f"{text}, in the official test part" if first < known else text
        for text, first in zip(where, out.first_K.tolist(), strict=True)
    ]
    return pl.DataFrame(
        {
            "position": positions_M[out.second_K],
            "reason": ["near_duplicate"] * len(out),
            "twin": positions_M[out.first_K],
            "where": where,
        },
        schema=DROPPED,
    )


def _pointed_on(dropped: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """`dropped` with the twin that stays, where the twin that it names has gone too."""
    stays = dict(lines.select("position", "twin").iter_rows())
    return dropped.with_columns(pl.col("twin").replace(stays)) if stays else dropped


def _left_out(every: pl.DataFrame, out: Pairs, known: int, schema: Schema) -> Iterator[Finding]:
    """What is said of those that went."""
    leaks = out.where(out.first_K < known)
    if len(leaks):
        todo = "nothing: they were left out of train, and the test part stays as published"
        yield Finding("leakage_twin", "warning", len(leaks), _quoted(every, _best(leaks), schema), todo)
    rest = out.where(out.first_K >= known)
    if len(rest):
        todo = "nothing, if one may stand for the other; `data.duplicates: group` keeps both, in one part"
        yield Finding("leakage_twin", "info", len(rest), _quoted(every, _best(rest), schema), todo)


def _at_odds(every: pl.DataFrame, pairs: Pairs, answers: pl.Series, schema: Schema) -> Iterator[Finding]:
    """What is said of twins whose answers differ."""
    if len(pairs) and schema.task not in ("generation", "language-modeling", "regression"):
        best = _best(pairs)
        sides = (answers.gather(best.first_K).to_list(), answers.gather(best.second_K).to_list())
        shown = [
            f"{text}; {one} and {other}" for text, one, other in zip(_quoted(every, best, schema), *sides, strict=True)
        ]
        todo = "read them: one of the two answers may be wrong; they stay, and share a part where they can"
        yield Finding("conflicting_label", "warning", len(pairs), tuple(shown), todo)


def _staying(every: pl.DataFrame, rest: Pairs, policy: str, schema: Schema) -> Iterator[Finding]:
    """What is said of twins of which both stay."""
    if not len(rest):
        return
    todo = "nothing: they share a part, but for those in an official test part"
    if policy == "report":
        todo = "`data.duplicates: group` keeps them in one part, `drop` leaves the later one out"
    severity: Severity = "warning" if policy == "report" else "info"
    yield Finding("leakage_twin", severity, len(rest), _quoted(every, _best(rest), schema), todo)


def _best(pairs: Pairs) -> Pairs:
    """The few that are most alike."""
    return pairs.where(np.lexsort((pairs.first_K, -pairs.similarity_K))[:SHOWN])


def _quoted(every: pl.DataFrame, pairs: Pairs, schema: Schema) -> tuple[str, ...]:
    """Each pair with its examples' positions and texts."""
    said = []
    for first, second, alike in zip(pairs.first_K.tolist(), pairs.second_K.tolist(), pairs.similarity_K, strict=True):
        rows = [every.row(place, named=True) for place in (first, second)]
        text = f"examples {rows[0][POSITION]} and {rows[1][POSITION]} are {alike:.0%} alike"
        if schema.kind == "text":
            shown = [" ".join(str(row[schema.names[0]]).split()) for row in rows]
            text += ": " + " | ".join(each if len(each) <= QUOTED else f"{each[:QUOTED]}…" for each in shown)
        said.append(text)
    return tuple(said)
