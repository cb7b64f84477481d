"""Records as JSON, and the id that their content gives them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from typing import Any

_CLOCK = frozenset(
    {
        *("id", "path", "html", "seconds", "fit_seconds", "latency_ms", "cost_per_1000", "peak_memory_bytes"),
        *("disk_bytes", "cost", "estimate", "forecast_error", "preflight", "curve", "no_curve"),
        "parts_sha256",  # Polars of another version writes other bytes of the same examples
    }
)
"""Names of fields that depend on when, where and by what something was made; what they hold enters no id."""


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: dataclasses become dicts, tuples lists, NaN and infinities null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def canonical(value: Any) -> str:
    """The one JSON text of `value`: sorted keys, no spaces; what is hashed."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(*values: Any) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the canonical JSON of `values`."""
    return hashlib.sha256(canonical(values).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def identify(record: Any) -> Any:
    """`record` with its `id` set from its content, leaving out what depends on the clock or the place."""
    return dataclasses.replace(record, id=digest(type(record).__name__, _timeless(plain(record))))


def _timeless(value: Any) -> Any:
    """`value`, as `plain` gave it, without the fields of _CLOCK at any depth."""
    if isinstance(value, dict):
        return {key: _timeless(each) for key, each in value.items() if key not in _CLOCK}
    return [_timeless(each) for each in value] if isinstance(value, list) else value
