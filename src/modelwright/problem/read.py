"""problem.yaml -> Problem: foreign spellings read as ours, and every fault at once with its path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from modelwright.errors import Fault, ProblemError
from modelwright.problem.fields import Problem
from modelwright.registry import suggestion

FILE = "problem.yaml"
WORK = ".modelwright"
"""The folder in a project's folder that holds all that Modelwright makes, but for packages."""

ALIASES = {
    "target": "output",
    "label": "output",
    "per_device_train_batch_size": "batch_size",
    "train_batch_size": "batch_size",
    "micro_batch_size": "batch_size",
    "num_train_epochs": "epochs",
    "num_epochs": "epochs",
    "lr": "learning_rate",
    "max_grad_norm_clip": "max_grad_norm",
    "gradient_clipping": "max_grad_norm",
    "random_seed": "seed",
    "random_state": "seed",
    "model_name_or_path": "base",
    "base_model": "base",
    "finetuning_type": "method",
    "mixed_precision": "precision",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
}
"""Spellings that other tools use for the same thing -> ours. Applied within the section they stand in."""


class _Loader(yaml.SafeLoader):
    """YAML's safe loader that does not let a second value of a field silently win."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, list | dict) or key in found:
            what = "cannot be the name of a field" if isinstance(key, list | dict) else "stands here twice"
            raise yaml.MarkedYAMLError(problem=f"{key!r} {what}", problem_mark=key_node.start_mark)
        found[key] = loader.construct_object(value_node, deep=True)
    return found


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load(folder: Path) -> tuple[Problem, list[str]]:
    """The problem stated in `folder`, and notes on accepted spellings that are not ours.

    Raises:
        ProblemError: with every fault in the file.
    """
    return parse(_read(folder))


def survey(folder: Path) -> tuple[Problem | None, list[str], tuple[Fault, ...]]:
    """As `load`, but faults are given back with the problem as it would be without the fields at fault.

    The problem is None where too little is left: what is looked at next must not wait for a typing error.
    """
    found: Any = None
    try:
        found = _read(folder)
        problem, notes = parse(found)
        return problem, notes, ()
    except ProblemError as error:
        faults = error.faults
    if not isinstance(found, dict):
        return None, [], faults
    try:
        problem, notes = parse(_without({each.where for each in faults}, found, ""))
    except ProblemError:
        return None, [], faults
    return problem, notes, faults


def _without(paths: set[str], found: dict[Any, Any], prefix: str) -> dict[Any, Any]:
    """`found` less the fields at `paths`."""
    kept = {}
    for key, value in found.items():
        path = f"{prefix}{key}"
        if path not in paths:
            kept[key] = _without(paths, value, f"{path}.") if isinstance(value, dict) else value
    return kept


def _read(folder: Path) -> Any:
    """What problem.yaml in `folder` holds."""
    path = folder / FILE
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        todo = f"run `modelwright new {folder} --data FILE --output COLUMN` first"
        raise ProblemError(Fault(str(path), "there is no such file", "a problem file", todo)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ProblemError(Fault(str(path), f"cannot be read: {error}", "UTF-8 text")) from error
    try:
        found = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
        todo = "put text that holds a colon, a # or quotes into quotes"
        raise ProblemError(Fault(where, error.problem or "is not YAML", "YAML", todo)) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ProblemError(Fault(str(path), f"is not YAML: {error}", "YAML")) from error
    return found


def parse(found: Any) -> tuple[Problem, list[str]]:
    """The problem that the mapping `found` states, and notes on accepted foreign spellings.

    Raises:
        ProblemError: with every fault.
    """
    if not isinstance(found, dict):
        what = "is empty" if found is None else f"holds a {type(found).__name__}"
        raise ProblemError(Fault(FILE, what, "fields, each as `name: value`"))
    notes: list[str] = []
    twice: list[Fault] = []
    renamed = _rename(found, Problem, "", notes, twice)
    try:
        problem = Problem.model_validate(renamed)
    except ValidationError as error:
        raise ProblemError([*twice, *_faults(error)]) from error
    if twice:
        raise ProblemError(twice)
    return problem, notes


def _rename(
    found: dict[Any, Any], model: type[BaseModel], path: str, notes: list[str], twice: list[Fault]
) -> dict[str, Any]:
    """`found` with foreign spellings replaced by ours and empty values left out, section by section."""
    renamed: dict[str, Any] = {}
    for key, value in found.items():
        name = str(key)
        ours = name if name in model.model_fields else ALIASES.get(name, name)
        if ours not in model.model_fields:
            ours = name
        elif ours != name:
            notes.append(f"{path}{name} is read as {path}{ours}")
            if ours in map(str, found):
                twice.append(Fault(f"{path}{name}", f"means the same as {ours}, which is set too", "one of them"))
        if value is None and ours in model.model_fields:
            continue  # `statement:` with nothing behind it is unset
        section = _section(model, ours)
        inner = isinstance(value, dict) and section is not None
        renamed[ours] = _rename(value, section, f"{path}{ours}.", notes, twice) if inner and section else value
    return renamed


def _section(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    field = model.model_fields.get(key)
    kind = field.annotation if field else None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _faults(error: ValidationError) -> Iterator[Fault]:
    """One fault for each field at fault: a union reports each of its members, the first is enough."""
    seen: set[str] = set()
    for each in error.errors():
        names, section, expected = _walk(each["loc"])
        where = ".".join(names) or FILE
        if where in seen:
            continue
        seen.add(where)
        found = f"{each['input']!r:.80}"
        match each["type"]:
            case "extra_forbidden":
                yield Fault(where, "is not a field", "", suggestion(names[-1], list(section.model_fields)))
            case "missing":
                yield Fault(where, "is missing", expected)
            case "value_error":
                found, _, expected = str(each["ctx"]["error"]).partition("|")
                yield Fault(where, found, expected)
            case "model_type":
                first = next(iter(section.model_fields))
                todo = f"write `{names[-1]}: {{{first}: ...}}`"
                yield Fault(where, found, "a section with " + ", ".join(section.model_fields), todo)
            case _:
                todo = "put it in quotes if it is text" if isinstance(each["input"], bool) else ""
                yield Fault(where, found, expected, todo)


def _walk(location: tuple[int | str, ...]) -> tuple[list[str], type[BaseModel], str]:
    """The path of a fault as far as it names fields, the section it leads to, and what belongs there."""
    names: list[str] = []
    section: type[BaseModel] = Problem
    expected = ""
    for step in map(str, location):
        names.append(step)
        field = section.model_fields.get(step)
        expected = field.description or "" if field else ""
        inner = _section(section, step)
        if inner is None:  # a plain field, an unknown one; what follows names a member of a union
            break
        section = inner
    return names, section, expected
