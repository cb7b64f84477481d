"""The command line: one thin command per step. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

from modelwright.cli.commands import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command that the arguments name, and exit with its code."""
    app(prog_name="modelwright")
