"""What others take of the machine while something is measured, and that no forecast learns from a crowd."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from modelwright.cli.story.plan import about_plan
from modelwright.problem import Problem
from modelwright.records import Dataset
from modelwright.training import crowd
from modelwright.training.crowd import Crowd
from modelwright.training.past import FILE, state_folder
from modelwright.training.plan import plan
from modelwright.training.train import train


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        ((120.0, 50.0, 21.0), 0.3),  # of 20 seconds of two cores 14 were its own
        ((120.0, 50.0, 27.0), 0.0),  # all were
        ((116.0, 54.0, 11.0), 0.0),  # 12 were others', and 4 of 20 nobody's: nobody had to wait
        ((100.0, 50.0, 7.0), 0.0),  # no time went by
    ],
)
def test_the_share_of_others(
    then: tuple[float, float, float], expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 100 busy seconds of all cores, 50 idle ones and 7 of its own."""
    looks = iter([(100.0, 50.0, 7.0), then])
    monkeypatch.setattr(crowd, "_looked", lambda: next(looks))
    assert Crowd().share == pytest.approx(expected)


def test_the_system_tells() -> None:
    busy, idle, own = crowd._looked()
    assert busy > own > 0
    assert idle >= 0


@pytest.mark.parametrize("crowded", [True, False])
def test_times_of_a_crowded_run_are_not_learnt_from(
    crowded: bool, text_dataset: Dataset, problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = {"metric": "macro_f1", "budget_seconds": 60.0}
    monkeypatch.setattr(Crowd, "share", property(lambda self: 0.0))
    planned = plan(text_dataset, problem, folder=tmp_path, **common)
    monkeypatch.setattr(Crowd, "share", property(lambda self: 0.4 if crowded else 0.04))
    assert not any("other programs" in said for _, said in about_plan(planned))
    crowd_seen = replace(planned, estimate=replace(planned.estimate, crowd=0.4))
    assert any("other programs took 40% of the processor" in said for _, said in about_plan(crowd_seen))
    train(text_dataset, planned, folder=tmp_path / "run", project=tmp_path, **common)
    (line,) = (state_folder() / FILE).read_text().splitlines()
    assert ("seconds" in json.loads(line)) is not crowded
    assert "peak_memory_bytes" in json.loads(line)
