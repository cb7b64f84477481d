"""What the story consists of."""

from __future__ import annotations

Line = tuple[str, str]
"""A label, empty where the line goes on, and what is said."""

SHOWN = 12
"""Classes, columns and the like that are named at most."""
