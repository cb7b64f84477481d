"""A problem file whose base reads both ways: hidden words from the data to the ladder and the story."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelwright.cli.story import about_problem
from modelwright.data.parts import read_part, targets_N
from modelwright.models.predictors import load_predictor
from modelwright.workflow import Project


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [f"the {number} red cats see {number % 7} dogs and a hat" for number in range(200)]
    (tmp_path / "t.csv").write_text("\n".join(["text", *rows]), encoding="utf-8")
    return tmp_path


def stated(folder: Path, base: str) -> Project:
    model = f"model: {{base: {base}}}\n" if base else ""
    text = f"name: tiny\ntask: language-modeling\ndata: {{source: t.csv}}\n{model}"
    (folder / "problem.yaml").write_text(text, encoding="utf-8")
    return Project(folder)


def test_the_base_says_whether_words_are_hidden(folder: Path) -> None:
    """Of ten words 2 are hidden (1.5 rounds to the even 2), each of 1 to 4 bytes; else all of the text is asked for."""
    project = stated(folder, "bert-2x128")
    dataset, verdict = project.prepare(), project.ladder()
    train = read_part(dataset, "train")
    assert dataset.schema.masked and targets_N(dataset.schema, train).max() <= 8
    told = {rung.name: rung for rung in verdict.rungs}
    assert list(told) == ["constant", "ngram", "base"] and verdict.decision == "train"
    assert "first point of the training's history" in (told.pop("base").skipped or "")
    assert all(rung.score is not None and 0 < rung.score.value < 8 for rung in told.values())
    assert load_predictor(Path(told["ngram"].path or "")).schema.masked
    assert any("its hidden words" in line for _, line in about_problem(project.problem, dataset, verdict.metric))
    other = stated(folder, "").prepare()
    assert not other.schema.masked and targets_N(other.schema, read_part(other, "train")).min() > 30
