"""A column of text as what all of its values are: numbers and dates of all habits, booleans, or text after all."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl

MISSING = frozenset(
    {
        "",
        "na",
        "n/a",
        "n.a.",
        "nan",
        "null",
        "none",
        "nil",
        "?",
        "-",
        "--",
        "---",
        ".",
        "..",
        "#n/a",
        "<na>",
        "#na",
        "missing",
    }
    | {"unknown", "not available", "#value!", "#div/0!", "#ref!", "#num!", "\\n", "-nan", "nat"}
)
"""What stands for a missing number or date, in small letters."""

NO_VALUE = frozenset({"NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "<NA>", "#N/A", "NaT"})
"""What stands for nothing even in a column of text. "None", "?" and "unknown" may be answers there."""

CODE = r"^[+-]?0\d+$"
"""A number with leading zeros, which is a name (a postal code) and no amount."""

WHOLE = r"^[+-]?\d+$"
"""A number written without fraction."""

STRAY_SHARE = 0.01
"""This share of a column of numbers or dates may be something else, which then is missing. Chosen."""

_LOOK = 2_000  # values at either end that decide what is tried on the whole column; chosen

Form = Callable[[pl.Series], pl.Series]

_MONEY = r"^[$€£¥₹]\s?|\s?[$€£¥₹]$|^(?:USD|EUR|GBP|CHF)\s?|\s?(?:USD|EUR|GBP|CHF)$"
_COMMA_THOUSANDS = r"^[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?$"
_COMMA_DECIMALS = r"^[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+),\d+$"
_POINT_THOUSANDS = r"^[+-]?\d{1,3}(?:\.\d{3}){2,}$"
_SPACE_THOUSANDS = r"^[+-]?\d{1,3}(?:[ \u{00a0}\u{202f}'’]\d{3})+(?:[.,]\d+)?$"
_PLAIN = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$"


def typed(column: pl.Series, *, days: bool) -> pl.Series:
    """`column` of text as numbers, booleans or moments where all of it is one of these, else as text.

    Args:
        days: Whether whole numbers such as 20240131 may be days.
    """
    stripped = column.str.strip_chars()
    stripped = stripped.set(stripped == "", None)
    found = _recognised(stripped, days=days)
    return stripped.set(stripped.is_in(list(NO_VALUE)), None) if found is None else found


def _recognised(stripped: pl.Series, *, days: bool) -> pl.Series | None:
    values = stripped.drop_nulls()
    look = pl.concat([values.head(_LOOK), values.tail(_LOOK)]).unique(maintain_order=True)
    look = look.filter(~_stands_for_nothing(look))
    if look.is_empty():  # whatever there is may hide between the two ends
        look = values.filter(~_stands_for_nothing(values)).head(_LOOK)
    if look.is_empty():
        return None
    if look.str.to_lowercase().is_in(["true", "false"]).all():
        return _booleans(stripped)
    if share_of(look.str.contains(r"\d")) < 1 - 2 * STRAY_SHARE and len(look) > 2:
        return None
    numbers = _numbers(stripped, look)
    if numbers is None:
        return _moments_of(stripped, look)
    return _days(numbers) if days and _are_days(numbers) else numbers


def _stands_for_nothing(values: pl.Series) -> pl.Series:
    return values.str.to_lowercase().is_in(list(MISSING))


def share_of(flags: pl.Series) -> float:
    """The share of true ones; 0 where there are none at all."""
    return float(flags.mean() or 0)  # type: ignore[arg-type]


def _booleans(stripped: pl.Series) -> pl.Series | None:
    lower = stripped.str.to_lowercase()
    flags = lower.replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
    return flags if _strays(stripped, flags) == 0 else None


def _strays(before: pl.Series, after: pl.Series) -> float:
    """The share of values that became null although they do not stand for nothing; 1 where nothing is left."""
    lost = before.filter(after.is_null() & before.is_not_null())
    strays = len(lost.filter(~_stands_for_nothing(lost)))
    kept = len(after) - after.null_count()
    return strays / (kept + strays) if kept else 1.0


def _numbers(stripped: pl.Series, look: pl.Series) -> pl.Series | None:
    """The numbers that `stripped` holds, or None where they are not all numbers or are codes.

    The way of writing that leaves no stray wins over one that leaves a few: 1,200 among hundreds of smaller
    numbers is no stray.
    """
    ways: list[tuple[float, int, pl.Series, pl.Series]] = []
    for form in _forms(look):
        plain = form(stripped)
        floats = plain.cast(pl.Float64, strict=False)
        ways.append((_strays(stripped, floats), len(ways), plain, floats))
        if not ways[-1][0]:
            break
    share, _, plain, floats = min(ways, key=lambda way: way[:2])
    floats = floats.set(~floats.is_finite(), None)  # 1e400 is a number, but none that can be used
    shown = plain.filter(floats.is_not_null())
    if share > STRAY_SHARE or shown.is_empty() or shown.str.contains(CODE).any():
        return None
    if not shown.str.contains(WHOLE).all():
        return floats
    whole = plain.set(floats.is_null(), None).cast(pl.Int64, strict=False)
    return whole if whole.null_count() == floats.null_count() else None  # too long to be exact: a code


def _are_days(numbers: pl.Series) -> bool:
    """Whether whole numbers are days written 20240131."""
    if numbers.dtype != pl.Int64 or not numbers.drop_nulls().is_between(17000101, 29991231).all():
        return False
    return _days(numbers).null_count() - numbers.null_count() <= STRAY_SHARE * len(numbers)


def _days(numbers: pl.Series) -> pl.Series:
    return numbers.cast(pl.String).str.to_datetime("%Y%m%d", strict=False, time_unit="us")


def _forms(look: pl.Series) -> Iterator[Form]:
    """Ways to make the values plain decimal numbers, of those that explain all of `look`, the plainer first.

    The first is no way at all: the values as they are. A comma before groups of three digits is taken for a
    thousands separator, because "1,234" means that more often than it means 1.234.
    """
    yield lambda values: values
    bare = _bare(look)
    money = look.str.contains(_MONEY).any()
    percent = look.str.ends_with("%")
    if percent.any() and not percent.all():
        return
    plain = bare.str.contains(_PLAIN)
    if (money or percent.any() or look.str.starts_with("(").any()) and plain.all():
        yield _bare
    if (plain | bare.str.contains(_COMMA_THOUSANDS)).all():
        yield lambda values: _bare(values).str.replace_all(",", "", literal=True)
    if (
        bare.str.contains(r"^[+-]?\d+$") | bare.str.contains(_COMMA_DECIMALS) | bare.str.contains(_POINT_THOUSANDS)
    ).all():
        yield lambda values: _bare(values).str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    two_marks = bare.str.contains(",", literal=True).any() and bare.str.contains(".", literal=True).any()
    if (plain | bare.str.contains(_COMMA_DECIMALS) | bare.str.contains(_SPACE_THOUSANDS)).all() and not two_marks:
        yield (
            lambda values: (
                _bare(values).str.replace_all(r"[ \u{00a0}\u{202f}'’]", "").str.replace(",", ".", literal=True)
            )
        )


def _bare(values: pl.Series) -> pl.Series:
    """`values` without currency and percent signs; (5) is what accountants write for -5."""
    bare = values.str.replace_all(r"^\(([^()]*)\)$", "-$1").str.replace(r"^([+-])\s*([$€£¥₹])\s?", "$1")
    bare = bare.str.replace_all(_MONEY, "").str.replace(r"\s?%$", "")
    return bare.str.replace("−", "-", literal=True)


_DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y.%m.%d",
    "%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y",
)  # fmt: skip
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S%.f", "T%H:%M", "T%H:%M:%S", "T%H:%M:%S%.f", " %I:%M %p", " %I:%M:%S %p")
_DATE_LOOK = 200  # values on which each format is tried; chosen


def _moments_of(stripped: pl.Series, look: pl.Series) -> pl.Series | None:
    """The moments that `stripped` holds (UTC where it names a zone), or None where they are not all dates.

    Where both orders explain all values, 1/2/2024 is the second of January and 1.2.2024 the first of February.
    """
    if look.str.contains(r"\w[-/., ]{1,2}\w+[-/., ]{1,2}\d").not_().sum() > len(look) // 10:
        return None
    zoned = look.str.contains(r"\d(?:Z| ?UTC|[+-]\d\d:?\d\d)$").all() and look.str.contains(":").all()
    few = look.head(_DATE_LOOK)
    for form in _formats(few, zoned=zoned):
        moments = _moments(stripped, form, zoned=zoned)
        if _strays(stripped, moments) <= STRAY_SHARE:
            return moments
    return None


def _formats(few: pl.Series, *, zoned: bool) -> Iterator[str]:
    """The formats that explain nearly all of `few`, the first that explains most of them first."""
    scored = []
    for date in _DATES:
        for time in _TIMES:
            if date.endswith("%y") and not few.str.contains(r"[-/.]\d\d(?:\D|$)").all():
                continue
            if bool(time) != few.str.contains(":").all():
                continue
            form = date + time
            share = 1 - _moments(few, form, zoned=zoned).null_count() / len(few)
            if share > 0.9:
                scored.append((share, form))
    yield from (form for _, form in sorted(scored, key=lambda each: -each[0]))


def _moments(values: pl.Series, form: str, *, zoned: bool) -> pl.Series:
    if zoned:
        values = values.str.replace(r"(?:Z| ?UTC)$", "+0000").str.replace(r" ?([+-]\d\d):?(\d\d)$", "$1$2")
        moments = values.str.to_datetime(form + "%z", strict=False, time_unit="us", time_zone="UTC")
        moments = moments.dt.replace_time_zone(None)
    else:
        moments = values.str.to_datetime(form, strict=False, time_unit="us")
    return moments.set(~moments.dt.year().is_between(1000, 2999), None)
