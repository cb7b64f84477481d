"""Columns that give the answer away: found by measurement, reported, never removed in silence.

Every measure here is agreement with a neighbour: sort the examples by a column, ties in random order, and
guess each output from the one before. A column that determines the output makes the guess right nearly
always, whatever the function; a value that stands only once offers no neighbour, so that identifiers do not
look like knowledge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl

from modelwright.data.labels import kinds_of
from modelwright.problem import Split
from modelwright.records import Column, Finding, Schema

SAMPLED_EXAMPLES, SAMPLED_CELLS = 20_000, 20_000_000
"""Examples looked at, evenly spaced; fewer where there are many columns. Chosen: a second or two."""

DETERMINED = {"classification": 0.98, "multilabel": 0.98, "regression": 0.99}
"""Agreement beyond chance from which a column is said to determine the output. Measured on 17 public tables:
the best honest columns reach .945 of a class (mushroom: odor) and .98 of a number (bike_sharing_hour:
registered, nearly the whole of the count); a copy of the output reaches 1."""

_CODED = frozenset({"classification", "generation"})
"""Tasks whose outputs are the same or not, and have no order."""

PRESENT = 0.85
"""The same for whether a column is filled in at all. Chosen, not measured: no honest column of the same tables
comes near, and a note that is written only after the outcome does."""

EXACT = 1e-6
"""Residual, in standard deviations of the output, up to which a sum or product is called exact."""

# fmt: off
_ENTITY = frozenset({
    "id", "ids", "uid", "uuid", "guid", "user", "customer", "client", "patient", "subject", "person",
    "participant", "speaker", "author", "writer", "worker", "annotator", "device", "sensor", "session",
    "household", "account", "driver", "student", "template", "provider",
})
# fmt: on
_NUMBER = frozenset({"no", "nr", "num", "number"})
_BIRTH = frozenset({"birth", "birthday", "birthdate", "dob", "born"})


def leaks(examples: pl.DataFrame, schema: Schema, others: list[str], split: Split) -> Iterator[Finding]:
    """What in `examples` gives the answer away, or would once they are split at random.

    Args:
        examples: With the inputs, the output and `others`.
        schema: Of the dataset.
        others: Columns that models do not use; they can still say what belongs together.
        split: As the problem states it.
    """
    columns = [column for column in schema.inputs if schema.kind == "table" and column.kind != "image"]
    sample = _sample(examples, len(columns) + 1)
    if len(sample) < 2 * SMALL:
        return
    told = []
    for column in columns:
        finding = _determines(sample, column, schema)
        if finding:
            told.append(column.name)
            yield replace(finding, count=int(examples[column.name].count()))
    if schema.task == "regression":
        numbers = [column.name for column in columns if column.kind == "number" and column.name not in told]
        yield from (replace(finding, count=len(examples)) for finding in _computed(sample, numbers, schema.output))
    every = [*(column.name for column in columns), *others]
    if split.time is None and split.column is None:
        for name in every:
            if examples[name].dtype.is_temporal() and not _BIRTH & set(_words(name)):
                yield from _dated(examples[name])
    if split.group is None and split.column is None:
        for name in every:
            yield from _grouped(examples, name, schema)


SMALL = 20
"""Fewer examples than this on a side say nothing about a column."""


def _sample(examples: pl.DataFrame, columns: int) -> pl.DataFrame:
    count = min(len(examples), SAMPLED_EXAMPLES, max(1000, SAMPLED_CELLS // columns))
    return examples[np.linspace(0, len(examples) - 1, count).astype(np.int64)]


def _outputs_N(sample: pl.DataFrame, schema: Schema) -> np.ndarray:
    """Codes of classes (of several labels: of their set) or texts, or ranks of numbers, so that outliers do not drown
    the rest.
    """
    output = kinds_of(sample[schema.output])
    if schema.task not in ("regression", "language-modeling"):
        return output.rank("dense").to_numpy().astype(np.int64)
    return output.rank("average").to_numpy().astype(np.float64)


def _agreement(order_N: np.ndarray, same_N: np.ndarray, outputs_N: np.ndarray, *, classes: bool) -> float:
    """How much the output before foretells the output, beyond chance: 1 always, 0 no better than chance.

    For classes Cohen's kappa, (a - e) / (1 - e) with a the share that agree and e = sum p_c^2; for ranks
    1 - mean squared step / (2 variance), which estimates the share of variance explained (von Neumann 1941).

    Args:
        order_N: The examples sorted by the column.
        same_N: Of each but the first, whether it may be guessed from the one before.
        outputs_N: Codes or ranks.
        classes: Whether they are codes.
    """
    if same_N.sum() < max(SMALL, len(order_N) / 2):
        return 0.0
    before, after = outputs_N[order_N[:-1]][same_N], outputs_N[order_N[1:]][same_N]
    if classes:
        # Chance is judged on the examples compared: a rare label among the others would flatter.
        shares = np.bincount(after) / len(after)
        chance = float((shares**2).sum())
        return float((before == after).mean() - chance) / (1 - chance) if chance < 1 else 0.0
    variance = float(after.var())
    return 1 - float(((after - before) ** 2).mean()) / (2 * variance) if variance > 0 else 0.0


def _agrees(codes_N: np.ndarray, sample: pl.DataFrame, schema: Schema, *, numeric: bool) -> float:
    ties_N = np.random.default_rng(0).permutation(len(codes_N))
    order_N = np.lexsort((ties_N, codes_N))
    same_N = np.ones(len(order_N) - 1, bool) if numeric else np.diff(codes_N[order_N]) == 0
    classes = schema.task not in ("regression", "language-modeling")
    return _agreement(order_N, same_N, _outputs_N(sample, schema), classes=classes)


def _codes_N(values: pl.Series) -> np.ndarray:
    """Dense ranks: equal for equal values, in the order of the values, 0 for a missing one."""
    return values.rank("dense").fill_null(0).to_numpy().astype(np.int64)


def _determines(sample: pl.DataFrame, column: Column, schema: Schema) -> Finding | None:
    """The finding that `column` alone determines the output, or is filled in only for some outputs."""
    name, codes_N = column.name, _codes_N(sample[column.name])
    todo = f"if {name!r} is not known when the answer is needed, leave it out: list the other columns in `input`"
    # A number of few values is a category to the eye: neighbours must then share the value.
    numeric = column.kind in {"number", "date"} and int(codes_N.max()) > SMALL
    agreed = 0.0 if column.kind == "text" else _agrees(codes_N, sample, schema, numeric=numeric)
    if agreed >= DETERMINED[schema.task]:
        shown = f"{name} foretells {schema.output} by itself: agreement beyond chance {agreed:.3f} of 1"
        return Finding("leakage_target", "error", len(sample), (shown,), todo)
    present_N = (codes_N > 0).astype(np.int64)
    if min(present_N.sum(), len(present_N) - present_N.sum()) >= SMALL:
        agreed = _agrees(present_N, sample, schema, numeric=False)
        if agreed >= PRESENT:
            shown = f"that {name} is filled in foretells {schema.output}: agreement beyond chance {agreed:.3f} of 1"
            return Finding("leakage_target", "error", int(present_N.sum()), (shown,), todo)
    return None


def _computed(sample: pl.DataFrame, names: list[str], output: str) -> Iterator[Finding]:
    """The finding that the output is a weighted sum, or a product of powers, of some number columns."""
    frame = sample.select([*names, output]).cast(pl.Float64)
    usable = [name for name in names if frame[name].null_count() < len(frame) / 2]
    frame = frame.select([*usable, output]).drop_nulls()
    if len(frame) < SMALL * 2 or not usable:
        return
    values_NK = frame.select(usable).to_numpy()
    outputs_N = frame[output].to_numpy()
    positive_K = np.asarray((values_NK > 0).all(axis=0))
    candidates = [("a weighted sum", values_NK, outputs_N, usable)]
    if (outputs_N > 0).all() and positive_K.any():
        kept = [name for index, name in enumerate(usable) if positive_K[index]]
        candidates.append(("a product of powers", np.log(values_NK[:, positive_K]), np.log(outputs_N), kept))
    for what, terms_NK, wanted_N, terms in candidates:
        found = _exact_terms(terms_NK[:2000], wanted_N[:2000])
        if found is not None and _residual(terms_NK[:, found], wanted_N) <= EXACT:
            columns = [terms[index] for index in found]
            todo = (
                f"leave out {' and '.join(map(repr, columns))} if not known in time: list the other columns in `input`"
            )
            shown = f"{output} is {what} of {', '.join(columns)}, exactly"
            yield Finding("leakage_target", "error", len(frame), (shown,), todo)
            return


def _exact_terms(terms_NK: np.ndarray, wanted_N: np.ndarray) -> list[int] | None:
    """The columns of a smallest set (by leaving out in turn) whose weighted sum is `wanted_N`, or None."""
    count, width = terms_NK.shape
    if width > 100 or count < 3 * (width + 1) or _residual(terms_NK, wanted_N) > EXACT:
        return None
    kept = list(range(width))
    for index in range(width):
        fewer = [each for each in kept if each != index]
        if fewer and _residual(terms_NK[:, fewer], wanted_N) <= EXACT:
            kept = fewer
    return kept


def _residual(terms_NK: np.ndarray, wanted_N: np.ndarray) -> float:
    """Root mean squared residual of least squares with an intercept, in standard deviations of `wanted_N`."""
    spread = terms_NK.std(axis=0)
    scaled_NK = (terms_NK - terms_NK.mean(axis=0)) / np.where(spread > 0, spread, 1)
    centred_N = wanted_N - wanted_N.mean()
    deviation = float(centred_N.std())
    if deviation == 0:
        return float("inf")
    weights_K = np.linalg.lstsq(scaled_NK, centred_N, rcond=1e-10)[0]
    return float(np.sqrt(((scaled_NK @ weights_K - centred_N) ** 2).mean())) / deviation


def _dated(dates: pl.Series) -> Iterator[Finding]:
    """The finding that a random split lets a model learn from the days that it is tested on."""
    name, dates = dates.name, dates.drop_nulls()
    distinct = dates.n_unique()
    if distinct < SMALL:
        return
    ranks_N = dates.rank("average").to_numpy()
    ordered = abs(np.corrcoef(ranks_N, np.arange(len(ranks_N)))[0, 1]) > 0.95
    todo = f"if the model is to answer for later days, set `data.split.time: {name}`"
    first, last = (str(each).removesuffix(" 00:00:00") for each in (dates.min(), dates.max()))
    shown = f"{name}: {first} to {last}, {distinct:,} different"
    yield Finding("leakage_time", "warning" if ordered else "info", len(dates), (shown,), todo)


def _grouped(examples: pl.DataFrame, name: str, schema: Schema) -> Iterator[Finding]:
    """The finding that several examples belong to one person, device or the like, by the column's name."""
    words = _words(name)
    last = words[-2:-1] if words[-1:] and words[-1] in _NUMBER else words[-1:]
    if not _ENTITY & set(last):
        return
    values = examples[name].drop_nulls()
    distinct = values.n_unique()
    if distinct < SMALL or distinct > len(values) / 1.5:
        return
    share = max(1, len(examples) // SAMPLED_EXAMPLES)
    whole_groups = examples.filter(examples[name].hash(seed=0) % share == 0)
    agreed = _agrees(_codes_N(whole_groups[name]), whole_groups, schema, numeric=False)
    todo = f"if it must answer for a {name} that it has not seen, set `data.split.group: {name}`"
    shown = f"{name}: {distinct:,} different values for {len(values):,} examples"
    yield Finding("leakage_group", "warning" if agreed > 0.2 else "info", len(values), (shown,), todo)


def _words(name: str) -> list[str]:
    """The words of a column's name, in lower case: `customerID` and `customer_id` are customer, id."""
    return [word.casefold() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]
