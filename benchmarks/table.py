"""The rows of a benchmark: how they are made, shown and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def row(name: str, ours: float, peer: float | None, unit: str, **more: Any) -> Row:
    """A figure of ours, the peer's or none, and ours / peer."""
    ratio = ours / peer if peer else None
    return {"name": name, "ours": ours, "peer": peer, "ratio": ratio, "unit": unit, **more}


def show(rows: list[Row]) -> list[Row]:
    """Print the rows, and give them back."""
    for each in rows:
        peer = f"{each['peer']:.4f}" if each["peer"] is not None else "-"
        ratio = f"{each['ratio']:.2f}" if each["ratio"] is not None else "-"
        figure = f"{each['name']:<66} {each['ours']:>11.4f} {each['unit']:<9}"
        print(f"{figure} peer {peer:<10} ratio {ratio:<6} target {each.get('target', '-')}", flush=True)
    return rows


def merge(path: Path, rows: list[Row]) -> None:
    """Put the new rows in the place of the old ones of the same name."""
    old = json.loads(path.read_text())["rows"] if path.exists() else []
    kept = {each["name"]: each for each in [*old, *rows]}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"rows": list(kept.values())}, indent=2) + "\n")
