"""Route a docstring to the standard-library package that it belongs to.

The docstrings are those of the Python that runs this. Sources are parsed, never imported: an import would
run their code. Two leaks are closed: the names of packages and modules are masked in the text, because
"tkinter" in a docstring of tkinter would give the answer away; and the source file is the group of the
split, because docstrings of one file resemble each other more than a new one would.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import re
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelwright.problem import FILE
from modelwright.problem.write import write as write_problem

PACKAGES = 20
"""At most this many packages: those with the most docstrings. Chosen, not measured."""

FILES_NEEDED = 4
"""A package needs this many files with docstrings, so that every part of a split by file can see it."""

DOCSTRINGS_NEEDED = 30
"""A package needs this many docstrings: a tenth of them is its share of the test part. Chosen."""

WORDS_NEEDED = 4
"""Shorter docstrings ("See above.") cannot be routed by anyone."""

DOCSTRINGS_USED = 150
"""At most so many of a package: the whole demo must end within three minutes on two cores."""

CHARACTERS = 400
"""Docstrings are cut here, at the end of a line: the first paragraphs say what a thing is for."""

MASK = "…"

_LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__", "__phello__"}


@dataclass(frozen=True, slots=True)
class Docstring:
    """A docstring, the package it belongs to, and the source file it stands in."""

    text: str
    package: str
    file: str


def write(folder: Path) -> None:
    """Put docstrings.csv and problem.yaml into `folder`."""
    docstrings = collect(Path(sysconfig.get_paths()["stdlib"]))
    with (folder / "docstrings.csv").open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["docstring", "package", "file"])
        lines.writerows((each.text, each.package, each.file) for each in docstrings)
    values = {
        "name": "pydocs",
        "statement": "Route a Python docstring to the standard-library package that it belongs to.",
        "correct": "The top-level package whose source file holds the docstring.",
        "input": "docstring",
        "output": "package",
        "metric": "macro_f1",
        "data.source": "docstrings.csv",
        "data.split.group": "file",
        "training.budget_minutes": 2.4,
    }
    (folder / FILE).write_text(write_problem(values), encoding="utf-8")


def collect(library: Path, *, packages: int = PACKAGES) -> list[Docstring]:
    """The masked docstrings of the `packages` best documented packages under `library`, in a fixed order."""
    found: dict[str, list[Docstring]] = {}
    for package in sorted(path.parent for path in library.glob("*/__init__.py")):
        if package.name not in _LEFT_OUT and not package.name.startswith("_"):
            docstrings = list(_of_package(package))
            files = {each.file for each in docstrings}
            if len(files) >= FILES_NEEDED and len(docstrings) >= DOCSTRINGS_NEEDED:
                found[package.name] = docstrings
    chosen = sorted(found, key=lambda name: (-len(found[name]), name))[:packages]
    mask = _mask(library, chosen)
    collected: list[Docstring] = []
    for name in sorted(chosen):
        masked = [Docstring(mask.sub(MASK, each.text), name, each.file) for each in found[name]]
        telling = [each for each in masked if len(each.text.replace(MASK, " ").split()) >= WORDS_NEEDED]
        collected += sorted(telling, key=_shuffled)[:DOCSTRINGS_USED]
    return collected


def _shuffled(docstring: Docstring) -> str:
    """A key that sorts docstrings in an order that is fixed and has nothing to do with what they say."""
    return hashlib.sha256(f"{docstring.file}\n{docstring.text}".encode()).hexdigest()


def _sources(package: Path) -> Iterator[Path]:
    for path in sorted(package.rglob("*.py")):
        if not _LEFT_OUT & set(path.relative_to(package).parts):
            yield path


def _of_package(package: Path) -> Iterator[Docstring]:
    """The docstrings of modules, classes and functions in the sources of `package`."""
    for path in _sources(package):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # invalid escapes in old sources are not our business
                tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, OSError):
            continue  # templates and test fixtures that are not Python
        file = path.relative_to(package.parent).as_posix()
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = _cut(ast.get_docstring(node) or "")
                if len(text.split()) >= WORDS_NEEDED:
                    yield Docstring(text, package.name, file)


def _cut(text: str) -> str:
    return text if len(text) <= CHARACTERS else text[: text.rfind("\n", 0, CHARACTERS) + 1 or CHARACTERS].rstrip()


def _mask(library: Path, packages: Sequence[str]) -> re.Pattern[str]:
    """What matches the name of a chosen package or of a module in one, alone or in a dotted name.

    The same names are masked everywhere: a mask that only the own module's name got would itself tell.
    """
    names = set(packages)
    for package in packages:
        for path in _sources(library / package):
            parts = path.relative_to(library / package).with_suffix("").parts
            names |= {part.strip("_") for part in parts} - {"init", "main", ""}
    either = "|".join(re.escape(name) for name in sorted(names, key=lambda name: (-len(name), name)))
    return re.compile(rf"(?<![A-Za-z0-9])_*(?:{either})(?![A-Za-z0-9])", re.IGNORECASE)
