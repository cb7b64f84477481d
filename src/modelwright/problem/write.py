"""A commented problem.yaml: every field in order, unset ones as comments with their defaults."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from modelwright.problem.fields import Problem, Section

_WORD = re.compile(r"[A-Za-z_][\w .-]*\w")
"""What needs no more care in a list than it does alone; other text is quoted there."""

_HEAD = """\
# The problem, as Modelwright reads it. A line that begins with # is unset and shows its default;
# take the "# " away to set it. `modelwright check` says what is wrong or vague.
"""


def write(values: Mapping[str, Any], comments: Mapping[str, str] | None = None) -> str:
    """The text of a problem.yaml that states `values`.

    Args:
        values: Path of a field ("data.split.group") -> its value. The rest is unset.
        comments: Path -> a remark that replaces the field's description behind the value.
    """
    unknown = set(values) - set(paths())
    assert not unknown, f"no such fields: {sorted(unknown)}"
    return _HEAD + "\n" + "\n".join(_lines(Problem, "", values, comments or {})) + "\n"


def paths(section: type[Section] = Problem, prefix: str = "") -> Iterator[str]:
    """The path of each field that holds a value, in the order of the file."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from paths(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def _lines(
    section: type[Section], prefix: str, values: Mapping[str, Any], comments: Mapping[str, str]
) -> Iterator[str]:
    indent = "  " * prefix.count(".")
    for name, field in section.model_fields.items():
        path = prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            used = any(each.startswith(f"{path}.") for each in values)
            yield _line(used, indent, f"{name}:", field.description or "")
            yield from _lines(field.annotation, f"{path}.", values, comments)
        else:
            used = path in values
            value = values[path] if used else field.get_default(call_default_factory=True)
            text = f"{name}: {_scalar(value)}"
            yield _line(used, indent, text, comments.get(path, field.description or ""))


def _line(used: bool, indent: str, text: str, comment: str) -> str:
    line = indent + text if used else f"# {indent}{text}"
    if not comment or len(line) > 60:  # a sentence speaks for itself
        return line
    return f"{line:<38} # {comment}"


def _scalar(value: Any, *, listed: bool = False) -> str:
    """`value` as YAML in one line, quoted only where YAML would read it otherwise."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_scalar(each, listed=True) for each in value) + "]"
    quoted = isinstance(value, str) and (
        not value or not value.isprintable() or (listed and not _WORD.fullmatch(value))
    )
    style = '"' if quoted else None
    dumped = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, default_style=style, width=2**31)
    return dumped.removesuffix("\n").removesuffix("\n...")
