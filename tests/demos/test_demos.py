import csv
import re
from pathlib import Path

import pytest

from modelwright.demos import DEFAULT, DEMOS
from modelwright.demos.pydocs import MASK, collect
from modelwright.problem import load


@pytest.mark.parametrize("name", ["digits", "tumours", "diabetes"])
def test_a_demo_writes_a_problem_that_is_well_stated(name: str, tmp_path: Path) -> None:
    DEMOS[name](tmp_path)
    problem, notes = load(tmp_path)
    assert problem.name == name
    assert problem.statement and problem.correct
    assert notes == []
    assert (tmp_path / problem.data.source).exists()


def test_the_default_is_there() -> None:
    assert DEFAULT in DEMOS


def test_digits_are_1797_images_in_ten_folders(tmp_path: Path) -> None:
    """1,797 and 10 as scikit-learn's documentation of load_digits says."""
    DEMOS["digits"](tmp_path)
    assert len(list((tmp_path / "images").glob("*/*.png"))) == 1797
    assert {path.name for path in (tmp_path / "images").iterdir()} == set("0123456789")


def library(folder: Path) -> Path:
    """Two packages of four documented files each, and what must not be collected."""
    for package in ("alpha", "beta", "test", "_private"):
        for number in range(4):
            file = folder / package / f"part{number}.py"
            file.parent.mkdir(exist_ok=True)
            functions = "\n".join(
                f'def f{index}():\n    """Do the thing number {index} of {package} and its part{number}, well."""'
                for index in range(10)
            )
            file.write_text(functions + "\nraise SystemExit('this file was run')\n")
        (folder / package / "__init__.py").write_text("")
    (folder / "alpha" / "broken.py").write_text("def (:\n")
    (folder / "alpha" / "tests").mkdir()
    (folder / "alpha" / "tests" / "test_it.py").write_text('"""A docstring of a test that is long enough."""')
    (folder / "single.py").write_text('"""A module of one file cannot be split by file."""')
    return folder


def test_docstrings_are_collected_without_running_anything(tmp_path: Path) -> None:
    """Two packages x four files x ten functions; nothing of test, _private, broken.py, tests/ or single.py."""
    found = collect(library(tmp_path))
    assert len(found) == 2 * 4 * 10
    assert {each.package for each in found} == {"alpha", "beta"}
    assert {each.file for each in found} == {f"{p}/part{n}.py" for p in ("alpha", "beta") for n in range(4)}


def test_names_of_packages_and_modules_are_masked(tmp_path: Path) -> None:
    texts = [each.text for each in collect(library(tmp_path))]
    assert f"Do the thing number 0 of {MASK} and its {MASK}, well." in texts
    assert not any(re.search(r"alpha|beta|part\d", text, re.IGNORECASE) for text in texts)


def test_pydocs_of_this_interpreter(tmp_path: Path) -> None:
    """No name of a class is left in any text, and every class stands in several files."""
    DEMOS["pydocs"](tmp_path)
    problem, _ = load(tmp_path)
    assert problem.data.split.group == "file"
    with (tmp_path / "docstrings.csv").open(encoding="utf-8", newline="") as file:
        examples = list(csv.DictReader(file))
    assert len(examples) > 1000
    packages = {each["package"] for each in examples}
    assert 10 <= len(packages) <= 25
    names = re.compile(rf"(?<![a-z0-9])(?:{'|'.join(packages)})(?![a-z0-9])", re.IGNORECASE)
    assert not [each["docstring"] for each in examples if names.search(each["docstring"])]
    for package in packages:
        assert len({each["file"] for each in examples if each["package"] == package}) >= 4, package
