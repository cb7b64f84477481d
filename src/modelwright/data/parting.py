"""Which split a dataset gets: official parts where the data states them, and ours for the rest."""

from __future__ import annotations

import numpy as np
import polars as pl

from modelwright.data.clean import Cleaned
from modelwright.data.gather import Gathered
from modelwright.data.labels import several, strata_of
from modelwright.data.official import describe, open_parts
from modelwright.data.splits import FREE, TRAIN, bins_N, split
from modelwright.problem import Problem
from modelwright.records import POSITION, Finding, Schema, Task

IN_ORDER = "in the order of the text, cut where one part ends"
"""How a running text is split, in words that `folds_within` looks for."""

TWINS_TOGETHER = "twins kept together"
"""Likewise, where examples with the same inputs, or nearly, share a part."""

_STRATA: dict[Task, str] = {"generation": "the length of the answers", "language-modeling": "length"}
"""What parts are made alike in, where it is not the output itself."""


def part_examples(
    problem: Problem, gathered: Gathered, cleaned: Cleaned, official_N: np.ndarray
) -> tuple[np.ndarray, str, list[Finding]]:
    """The part of each cleaned example, how it was decided in words, and findings.

    Args:
        problem: As stated.
        gathered: Where the official test part and the official column come from.
        cleaned: The examples to place.
        official_N: The part that an official column gives each of them, `FREE` where there is none.
    """
    stated = problem.data.split
    shares = (stated.train, stated.validation, stated.test)
    if gathered.test is not None and gathered.column is None:
        shares = (shares[0] / (shares[0] + shares[1]), shares[1] / (shares[0] + shares[1]), 0.0)
        official = f"official test file {problem.data.test}; the rest "
    elif gathered.column is not None:
        has_test = np.append(official_N, 2) if gathered.test is not None else official_N
        shares = open_parts(has_test, shares)
        official = f"official {describe(has_test)} in column {gathered.column!r}"
        if shares[0] == 1:
            return official_N, official, []
        official += "; train cut "
    else:
        official = ""
    free_N = (official_N == FREE) | (official_N == TRAIN)
    free = cleaned.examples.filter(free_N)
    times_N, findings = _times_N(free, stated.time)
    twins_N = None if cleaned.twins_N is None or times_N is not None else cleaned.twins_N[free_N]
    parts_N = official_N.copy()
    positions_N = free[POSITION].to_numpy()
    if _by_place(problem, gathered):
        times_N, twins_N = positions_N, None
    parts_N[free_N] = split(
        positions_N,
        shares=shares,
        seed=problem.seed,
        strata_N=_strata_N(free, gathered.schema),
        groups_N=_groups_N(free, stated.group, twins_N),
        times_N=times_N,
    )
    how = (
        f"{_percents(shares)} {IN_ORDER}"
        if _by_place(problem, gathered)
        else _how(problem, shares, gathered.schema, twins_N is not None)
    )
    return parts_N, official + how, findings


def _by_place(problem: Problem, gathered: Gathered) -> bool:
    """Whether examples keep their order: neighbours in a running text would tell of each other across parts."""
    stated = problem.data.split
    return gathered.running and stated.group is None and stated.time is None


def _percents(shares: tuple[float, float, float]) -> str:
    return "/".join(f"{100 * share:.0f}" for share in shares if share > 0)


def _how(problem: Problem, shares: tuple[float, float, float], schema: Schema, twins: bool) -> str:
    stated = problem.data.split
    words = [_percents(shares)]
    if stated.time is not None:
        words[0] += f" by time ({stated.time})"
    else:
        by = f"the rarest label of {schema.output}" if several(schema.task) else _STRATA.get(schema.task, schema.output)
        words.append(f"stratified by {by}")
    if stated.group is not None:
        words.append(f"groups of {stated.group} kept whole")
    if twins:
        words.append(TWINS_TOGETHER)
    if stated.time is None:
        words.append(f"seed {problem.seed}")
    return ", ".join(words)


def _strata_N(examples: pl.DataFrame, schema: Schema) -> np.ndarray:
    output = examples[schema.output]
    if schema.task in ("regression", "language-modeling"):
        return bins_N(output.to_numpy())
    if schema.task == "generation":
        return bins_N(output.str.len_bytes().to_numpy())
    if several(schema.task):
        return strata_of(output)
    return output.rank("dense").to_numpy().astype(np.int64) - 1


def _times_N(examples: pl.DataFrame, name: str | None) -> tuple[np.ndarray | None, list[Finding]]:
    """Ranks of the times, an unknown time before all others (so in train), and a finding on those."""
    if name is None:
        return None, []
    times = examples[name]
    if times.dtype == pl.String:  # not typed as a date; ISO and other spellings that sort
        times = times.str.strip_chars()
    unknown = times.null_count()
    findings = []
    if unknown:
        todo = "fill in the dates: an example of unknown date may be later than those tested on"
        shown = (f"{name}: {unknown:,} examples without a date were put into train",)
        findings.append(Finding("leakage_time", "warning", unknown, shown, todo))
    return times.rank("dense").fill_null(0).to_numpy().astype(np.int64), findings


def _groups_N(examples: pl.DataFrame, name: str | None, twins_N: np.ndarray | None) -> np.ndarray | None:
    """Codes of what must stay together: groups, twins, or both chained (A with B, B with C)."""
    if name is None:
        return None if twins_N is None else np.unique(twins_N, return_inverse=True)[1].astype(np.int64)
    ranks = examples[name].rank("dense")
    alone = pl.Series(np.arange(len(ranks)) + len(ranks) + 1)  # without a group: a group of its own
    groups_N = np.unique(ranks.cast(pl.Int64).zip_with(ranks.is_not_null(), alone), return_inverse=True)[1]
    if twins_N is None:
        return groups_N.astype(np.int64)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    groups, twins = int(groups_N.max()) + 1, int(twins_N.max()) + 1
    links = coo_array(
        (np.ones(len(groups_N), bool), (groups_N, groups + twins_N)), shape=(groups + twins, groups + twins)
    )
    component = connected_components(links, directed=False)[1]
    return np.unique(component[groups_N], return_inverse=True)[1].astype(np.int64)
