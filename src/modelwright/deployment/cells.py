"""One value as a caller sends it -> the value that its column holds, and back."""

from __future__ import annotations

import base64
import binascii
import io
import math
import re
import warnings
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from modelwright.data.upright import upright
from modelwright.data.values import MISSING, NO_VALUE
from modelwright.deployment.signature import Field
from modelwright.errors import Fault

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
PIXELS = 100_000_000  # in one request: a 150 kB PNG can hold 50 million; chosen, not measured

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_DATA_URL = re.compile(r"data:image/[a-z0-9.+-]{1,30};base64,")
_YES, _NO = frozenset({"true", "yes", "1", "t", "y"}), frozenset({"false", "no", "0", "f", "n"})


class _Unusable(ValueError):
    """A value that its column cannot hold; the message is what was expected."""


def cell(value: Any, field: Field, where: str, faults: list[Fault], pixels: list[int], *, as_is: bool = False) -> Any:
    """`value` as the column holds it; null, with a fault, where it cannot.

    Args:
        value: As JSON gave it.
        field: The column.
        where: Its place, for the fault.
        faults: Grows by one where the value cannot be used.
        as_is: Whether a text keeps its outer space, because answers count its characters.
        pixels: One number: how many more pixels the request may hold; an image takes its own from it.
    """
    if isinstance(value, str) and not as_is:
        value = value.strip()  # as data/columns.py reads a cell, so that the model sees what it learned from
        if field.kind != "text" and _stands_for_nothing(value, field):
            value = None
    if value is None:
        if not field.nullable:
            faults.append(Fault(where, "is missing", _expected(field)))
        return None
    try:
        return _convert(value, field, pixels)
    except _Unusable as unusable:
        faults.append(Fault(where, shown(value), str(unusable) or _expected(field)))
        return None


def _stands_for_nothing(text: str, field: Field) -> bool:
    return not text or (text in NO_VALUE if field.type == "String" else text.lower() in MISSING)


def _convert(value: Any, field: Field, pixels: list[int]) -> Any:
    match field.type:
        case "Float64":
            return _number(value)
        case "Int64":
            return _whole(value)
        case "Boolean":
            return _boolean(value)
        case "Binary":
            return _image(value, field, pixels)
        case "String":
            return _string(value, field)
        case "Date":
            moment = _moment(value)
            return moment.date()
        case _:
            return _in_zone(_moment(value), field.dtype)


def _number(value: Any) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Unusable
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise _Unusable("a number within 64 bits")
    if not math.isfinite(value):
        raise _Unusable("a finite number")
    return float(value)


def _whole(value: Any) -> int:
    number = _number(value)
    if not number.is_integer() or not -(2**53) <= number <= 2**53:
        raise _Unusable
    return int(number)


def _boolean(value: Any) -> bool:
    folded = str(value).strip().casefold() if isinstance(value, str | bool | int) else ""
    if folded not in _YES | _NO:
        raise _Unusable
    return folded in _YES


def _string(value: Any, field: Field) -> str:
    """Text as it stands; for a category also a number or a truth value, spelt as the data spells it."""
    if isinstance(value, bool | int | float) and field.kind != "text":
        spelt = [repr(value), f"{value:g}"] if isinstance(value, float) else [str(value), str(value).lower()]
        value = next((each for each in spelt if each in field.examples), spelt[0])
    if not isinstance(value, str):
        raise _Unusable
    if field.max_characters is not None and len(value) > field.max_characters:
        raise _Unusable(f"at most {field.max_characters:,} characters (these are {len(value):,})")
    if not value.isprintable() and _has_surrogate(value):
        raise _Unusable("valid Unicode: this has half of a surrogate pair")
    return value


def _has_surrogate(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _moment(value: Any) -> datetime:
    if not isinstance(value, str) or len(value) > 40:
        raise _Unusable
    try:
        return datetime.fromisoformat(value.strip())
    except ValueError:
        raise _Unusable from None


def _in_zone(moment: datetime, dtype: pl.DataType) -> datetime:
    assert isinstance(dtype, pl.Datetime)
    if dtype.time_zone is None:
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _image(value: Any, field: Field, pixels: list[int]) -> bytes:
    """The encoded file, after decoding it once: what fails here would fail for the whole batch later."""
    from PIL import Image

    if not isinstance(value, str):
        raise _Unusable
    if field.max_characters is not None and len(value) > field.max_characters:
        raise _Unusable(f"at most {field.max_characters:,} characters of base64")
    try:
        encoded = base64.b64decode(_DATA_URL.sub("", value[:60]) + value[60:], validate=True)
    except (binascii.Error, ValueError):
        raise _Unusable("base64 of an image file") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `pixels` is the limit here
            with Image.open(io.BytesIO(encoded), formats=IMAGE_FORMATS) as image:
                pixels[0] -= image.width * image.height
                if pixels[0] < 0:
                    raise _Unusable(f"at most {PIXELS // 1_000_000} million pixels in one request")
                upright(image)
    except _Unusable:
        raise
    except Exception:  # image decoders raise whatever they like on hostile bytes: OSError, SyntaxError, struct.error
        raise _Unusable("an image file that can be read: " + ", ".join(IMAGE_FORMATS)) from None
    return encoded


def _expected(field: Field) -> str:
    """What the column takes, in words."""
    if field.type.startswith("Datetime"):
        return "a date and time such as 2026-01-31T09:30:00"
    words = {
        "Float64": "a number",
        "Int64": "a whole number",
        "Boolean": "true or false",
        "Binary": "base64 of an image file",
        "String": "text",
        "Date": "a date such as 2026-01-31",
    }[field.type]
    known = ", ".join(str(each)[:30] for each in field.examples[:5])
    return f"{words} such as {known}" if known and field.type in ("Float64", "Int64", "String") else words


def shown(value: Any) -> str:
    """`value` as a message can show it: short, and without anything that cannot be printed."""
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value):,}"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return "a very long number"
    text = ascii(value) if isinstance(value, str) and _has_surrogate(value) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def as_sent(value: Any) -> Any:
    """A value of a frame as a caller would send it in JSON: the inverse of `cell`."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
