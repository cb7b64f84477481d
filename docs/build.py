"""Writes docs/commands.md from the command line, the problem file's fields and the tables; a test compares.

python docs/build.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from modelwright.cli import app
from modelwright.data.sources import SOURCES
from modelwright.evaluation.metrics import METRICS
from modelwright.ladder.rungs import RUNGS
from modelwright.models.catalogue import catalogue
from modelwright.problem.fields import Problem, Section
from modelwright.training.objectives import OBJECTIVES
from modelwright.training.reporters import REPORTERS

PAGE = Path(__file__).with_name("commands.md")


def page() -> str:
    """The whole page as Markdown."""
    return "\n".join(("# Commands and settings", "", *_commands(), *_fields(), *_tables()))


def _commands() -> Iterator[str]:
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        arguments = " ".join(each.metavar or each.name.upper() for each in command.params if _is_argument(each))
        yield from (f"## modelwright {name} {arguments}".rstrip(), "", " ".join((command.help or "").split()), "")
        options = [each for each in command.params if not _is_argument(each) and each.name != "help"]
        if options:
            yield from ("| option | meaning |", "|---|---|")
            yield from (f"| `{each.opts[0]}` | {each.help} |" for each in options)
            yield ""


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _fields() -> Iterator[str]:
    yield from ("## problem.yaml", "", "| field | default | meaning |", "|---|---|---|")
    yield from _section(Problem, "")
    yield ""


def _section(section: type[Section], prefix: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _section(field.annotation, f"{prefix}{name}.")
            continue
        default = "required" if field.is_required() else f"`{_shown(field.get_default(call_default_factory=True))}`"
        yield f"| `{prefix}{name}` | {default} | {field.description or ''} |"


def _shown(value: object) -> str:
    return "unset" if value is None or value == "" else str(value)


def _tables() -> Iterator[str]:
    yield from ("## Metrics", "", "| name | meaning |", "|---|---|")
    yield from (f"| `{name}` | {METRICS[name].describes} |" for name in METRICS)
    yield from ("", "## Tables", "", "What can be named, and what an outside package may add to:", "")
    for what, names in (
        ("source", SOURCES),
        ("rung", RUNGS),
        ("objective", OBJECTIVES),
        ("reporter", REPORTERS),
        ("model", catalogue()),
    ):
        yield f"- **{what}**: " + ", ".join(f"`{name}`" for name in names)
    yield ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
