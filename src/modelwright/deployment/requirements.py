"""Which libraries a packaged predictor needs, read from the source of the classes that will load it."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from modelwright.errors import IntegrityError
from modelwright.models.predictors import PREDICTORS

OWN = "modelwright"


def needed(model: Path) -> dict[str, str]:
    """The installed version of each library that the predictors saved under `model` need."""
    modules = set()
    for path in model.rglob("predictor.json"):
        kind = json.loads(path.read_text(encoding="utf-8"))["kind"]
        modules.add(PREDICTORS[kind].__module__)
    seen: set[str] = set()
    imported: set[str] = {OWN, "polars", "numpy"}
    while modules:
        module = modules.pop()
        seen.add(module)
        for name in _imports(module):
            if name.startswith(f"{OWN}."):
                modules |= {name} - seen
            else:
                imported.add(name.partition(".")[0])
    owners = metadata.packages_distributions()
    found = {owners[name][0] for name in imported if name in owners and name not in sys.stdlib_module_names}
    return {name: metadata.version(name) for name in sorted(found, key=str.casefold)}


@cache
def _imports(module: str) -> tuple[str, ...]:
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:  # `from modelwright.records import Schema`: the last part is no module
        return ()
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return ()
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    return tuple(_names(tree))


def _names(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module and not child.level:
            yield child.module
            yield from (f"{child.module}.{alias.name}" for alias in child.names if child.module.startswith(OWN))
        else:
            yield from _names(child)


def check(required: Mapping[str, str]) -> tuple[str, ...]:
    """Notes on libraries that are installed in another version than the package was made with.

    Raises:
        IntegrityError: one is not installed at all; the message is the command that installs all of them.
    """
    notes, missing = [], []
    for name, version in required.items():
        try:
            here = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if _release(here) != _release(version):
            notes.append(f"made with {name} {version}, here is {here}")
    if missing:
        todo = " ".join(f"{name}=={required[name]}" for name in missing)
        raise IntegrityError(f"the package needs {', '.join(missing)}: run `pip install {todo}`")
    return tuple(notes)


def _release(version: str) -> str:
    return re.split(r"[+-]", version)[0]  # 2.13.0+cpu is 2.13.0
