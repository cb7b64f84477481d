"""What columns hold: text becomes numbers, booleans and dates where all of it is, and each column gets its kind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from modelwright.data.values import CODE, MISSING, WHOLE, share_of, typed
from modelwright.records import POSITION, ColumnKind

_HEAD = 200  # values that must be numbers before the whole column is tried; chosen

_IDENTIFIERS = (
    ("UUIDs", r"^\{?[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\}?$"),
    ("hashes", r"^(?:[0-9a-f]{24}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})$"),
    ("e-mail addresses", r"^[^@\s]+@[^@\s]+\.[a-zA-Z]{2,}$"),
)
ID_WORDS = frozenset({"id", "ids", "uuid", "guid", "uid"})
_KEY_WORDS = ID_WORDS | {"key", "idx", "index", "rowid", "rownum", "serial"}
_TIME_WORDS = frozenset({"year", "yr", "date", "time", "timestamp", "day", "month", "week", "hour", "age"})
_UNIQUE_SHARE = 0.99  # nearly all: a few repeats are entry errors; chosen
GROUP_SHARE = 0.1
"""From this share of different values on, a column called an identifier names groups of ten or fewer. Chosen."""
_SAMPLE = 20_000  # values from which lengths and shapes are taken; chosen


def type_columns(frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with each column of text that holds numbers, booleans or dates as such.

    In numbers, what marks a missing value ("NA", "?", "-"...) is null, and so are up to 1% of stray values,
    which `strays` names. Codes with leading zeros and numbers too long to be exact stay text; so does anything
    that is not one of these throughout.
    """
    plain = _plain_numbers(frame)
    found = frame.with_columns(pl.col(name).cast(dtype) for name, dtype in plain.items())
    return found.with_columns(
        typed(column, days=_names_a_day(column.name)) for column in found.get_columns() if column.dtype == pl.String
    )


def _plain_numbers(frame: pl.DataFrame) -> dict[str, pl.DataType]:
    """The columns of text that hold plain numbers and nulls alone, each with the type of its numbers.

    All columns are looked at in one query: one after another, 10,000 of them took half a minute.
    """
    names = [name for name, dtype in frame.schema.items() if dtype == pl.String and not _names_a_day(name)]
    head = frame.lazy().head(_HEAD).select(names).collect()
    likely = [name for name, (failed, _, _) in _number_facts(head, names) if not failed]
    whole: dict[str, pl.DataType] = {}
    for name, (failed, coded, fractions) in _number_facts(frame, likely):
        if not failed and not coded and frame[name].null_count() < frame.height:
            whole[name] = pl.Float64() if fractions else pl.Int64()
    return whole


def _number_facts(frame: pl.DataFrame, names: list[str]) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """For each column, how many values are no finite number, are codes, and are not written as whole numbers."""
    if not names:
        return
    columns = [pl.col(name) for name in names]
    finite = [column.cast(pl.Float64, strict=False).is_finite().fill_null(value=False) for column in columns]
    failed = [(column.is_not_null() & ~each).sum() for column, each in zip(columns, finite, strict=True)]
    # More than 18 digits do not fit into Int64: an identifier, which `typed` keeps as text.
    coded = [(column.str.contains(CODE) | column.str.contains(r"^[+-]?\d{19,}$")).sum() for column in columns]
    fractions = [(~column.str.contains(WHOLE)).sum() for column in columns]
    kinds = (failed, coded, fractions)
    counts = [frame.lazy().select(each).collect().row(0) for each in kinds]
    yield from zip(names, zip(*counts, strict=True), strict=True)


def strays(before: pl.DataFrame, after: pl.DataFrame) -> Iterator[str]:
    """What typing took for missing though it is none of the usual marks, in words, column by column."""
    for column in before.get_columns():
        if column.dtype != pl.String or after[column.name].dtype == pl.String:
            continue
        lost = column.filter(after[column.name].is_null() & column.is_not_null())
        lost = lost.filter(~lost.str.strip_chars().str.to_lowercase().is_in([*MISSING, ""]))
        if len(lost):
            shown = ", ".join(map(repr, lost.unique().sort().head(5).to_list()))
            yield f"{len(lost):,} values of {column.name!r} are no {_words(after[column.name].dtype)}: {shown}"


def _words(dtype: pl.DataType) -> str:
    return "dates" if dtype.is_temporal() else "booleans" if dtype == pl.Boolean else "numbers"


def _names_a_day(name: str) -> bool:
    return bool(name_words(name) & {"date", "day", "dob", "birth", "birthday", "dt"})


def name_words(name: str) -> set[str]:
    """The words of a column's name: customerID -> customer, id."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)}


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known of one column."""

    name: str
    values: pl.Series  # without nulls
    nulls: int
    distinct: int
    sample: pl.Series

    @property
    def count(self) -> int:
        return len(self.values)

    @property
    def unique(self) -> bool:
        return self.distinct >= _UNIQUE_SHARE * self.count


def column_kinds(frame: pl.DataFrame, *, output: str | None) -> tuple[dict[str, ColumnKind], dict[str, str]]:
    """The kind of each column of a typed frame, and for those that models may not use a reason in words.

    Args:
        output: This column is never called an identifier for its name alone.
    """
    kinds: dict[str, ColumnKind] = {}
    reasons: dict[str, str] = {}
    for column in frame.get_columns():
        if column.name == POSITION:
            continue
        kind, reason = _kind(_facts(column), is_output=column.name == output)
        kinds[column.name] = kind
        if reason:
            reasons[column.name] = reason
    return kinds, reasons


def _facts(column: pl.Series) -> _Facts:
    values = column.drop_nulls()
    step = max(1, len(values) // _SAMPLE)
    distinct = 2 if column.dtype == pl.Binary else values.n_unique()
    return _Facts(column.name, values, column.null_count(), distinct, values.gather_every(step))


def _kind(facts: _Facts, *, is_output: bool) -> tuple[ColumnKind, str | None]:
    dtype = facts.values.dtype
    if facts.count == 0:
        return "constant", "holds nothing"
    if dtype == pl.Binary:
        return "image", None
    if facts.distinct == 1:
        missing = facts.nulls / (facts.nulls + facts.count)
        if not 0.01 <= missing <= 0.99:
            return "constant", f"is always {str(facts.values[0])[:40]!r}"
        return ("number" if dtype.is_numeric() else "boolean" if dtype == pl.Boolean else "category"), None
    if dtype == pl.Boolean:
        return "boolean", None
    if dtype.is_temporal():
        return "date", None
    if dtype.is_numeric():
        return _number_kind(facts, is_output=is_output)
    return _text_kind(facts, is_output=is_output)


def _number_kind(facts: _Facts, *, is_output: bool) -> tuple[ColumnKind, str | None]:
    """Number, unless whole numbers count the examples or name something."""
    words = name_words(facts.name)
    if facts.values.dtype.is_float() and (facts.sample.round(0) != facts.sample).any():
        return "number", None
    if facts.unique and facts.count >= 10 and not words & _TIME_WORDS:
        low, high = float(facts.values.min()), float(facts.values.max())  # type: ignore[arg-type]
        dense = facts.count / (high - low + 1) >= 0.9
        ordered = facts.values.is_sorted() or facts.values.is_sorted(descending=True)
        if dense and (ordered or facts.count >= 100):
            return "identifier", "counts the examples"
        if words & _KEY_WORDS and not is_output:
            return "identifier", "has another number in each example, and is called an identifier"
    if not words & ID_WORDS or is_output:
        return "number", None
    return _named_identifier(facts) or ("category", None)


def _named_identifier(facts: _Facts) -> tuple[ColumnKind, str] | None:
    """What an identifier that seldom repeats is: of each example, or of a few that belong together."""
    if facts.distinct > 0.5 * facts.count:
        return "identifier", "hardly ever repeats, and is called an identifier"
    if facts.distinct > GROUP_SHARE * facts.count and facts.distinct >= 50:
        return "identifier", (
            f"names {facts.distinct:,} things that a few examples each belong to, and new ones will come;"
            " state it as `data.split.group` to keep these together"
        )
    return None


def _text_kind(facts: _Facts, *, is_output: bool) -> tuple[ColumnKind, str | None]:
    """Identifier, free text or category: by words, length, and how many are distinct."""
    share = facts.distinct / facts.count
    characters = _mean(facts.sample.str.len_chars())
    words = _mean(facts.sample.str.count_matches(r"\S+"))
    if characters > 15 * words and not facts.sample.str.contains(r"^[\x00-\x7f]+$").all():
        words = characters / 4  # scripts without spaces; chosen
    if words < 4 and share >= 0.95 and facts.count >= 10:
        reason = _identifies(facts, words, is_output=is_output)
        if reason:
            return "identifier", reason
    if words < 2 and name_words(facts.name) & ID_WORDS and not is_output and (found := _named_identifier(facts)):
        return found
    if share_of(facts.sample.str.contains(r"(?s)^\s*(?:\[.*\]|\{.*\})\s*$")) > 0.95:
        todo = "name it under `input` to use it as text, or set task: generation if it lists the turns of conversations"
        return "text", f"holds lists or objects; {todo}"
    many = share >= 0.5 and facts.distinct >= 10
    if (words >= 1.8 and many and share_of(facts.sample.str.contains(r"[^\W\d_]{2}")) > 0.9) or (
        words >= 5 and share >= 0.1 and facts.distinct > 50
    ):
        return "text", None
    if characters >= 60 and many:
        return "text", None
    letters = share_of(facts.sample.str.contains(r"^[^\d]+$")) > 0.8
    return ("text" if share >= 0.9 and letters and facts.distinct >= 20 else "category"), None


def _mean(lengths: pl.Series) -> float:
    return float(lengths.mean() or 0)  # type: ignore[arg-type]


def _identifies(facts: _Facts, words: float, *, is_output: bool) -> str | None:
    """Why a column of short, nearly unique texts names the examples instead of saying something of them."""
    for what, pattern in _IDENTIFIERS:
        if share_of(facts.sample.str.contains(pattern)) > 0.95:
            return f"holds {what}, another in each example"
    if name_words(facts.name) & _KEY_WORDS and not is_output:
        return "has another value in each example, and is called an identifier"
    if (
        share_of(facts.sample.str.contains(r"(?i)\.(?:jpe?g|png|gif|bmp|webp|tiff?|jfif|ppm|pgm|wav|mp3|txt|pdf)$"))
        > 0.95
    ):
        return "names a file, another in each example"
    shapes = facts.sample.str.replace_all(r"\d+", "9").str.replace_all(r"[^\W\d_]+", "a")
    top = shapes.value_counts(sort=True)["count"].head(3).sum()
    if words < 1.2 and shapes.str.contains("9").mean() > 0.9 and top >= 0.8 * len(shapes):  # type: ignore[operator]
        return f"holds codes such as {str(facts.values[0])[:40]!r}, another in each example"
    return None
