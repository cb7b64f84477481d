"""Forecasts beside actual figures: kept, shown, and used to correct the next."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from modelwright.records import Estimate, Interval
from modelwright.training.estimate import off_by
from modelwright.training.past import FILE, corrected, device_name, remember, state_folder

PLAIN = Estimate(Interval(100.0, 88.0, 112.0), Interval(1e9, 0.9e9, 1.1e9), Interval(0, 0, 0), {"training": 100.0})


def taken(ratios: list[float], kind: str = "text full") -> None:
    """Runs that took so many times what was foreseen."""
    for ratio in ratios:
        remember(kind, PLAIN, {"seconds": 100.0 * ratio}, off={"seconds": ratio - 1})


def test_what_a_process_held_before_the_run_is_not_held_against_the_forecast() -> None:
    """Foreseen 1 GB where 100 MB are held before; the run's held 300: half of the 200 more are 100 MB on top. Of a plan
    that does not say what was held, and of a process that held less, nothing is added.
    """
    taken = {"share": 1.0, "seconds": 100.0, "peak_memory_bytes": 1_210_000_000, "disk_bytes": 0}
    stated = dataclasses.replace(PLAIN, held_bytes=100_000_000)
    assert off_by(stated, **taken, held_bytes=300_000_000)["peak_memory_bytes"] == pytest.approx(0.1)
    assert off_by(stated, **taken, held_bytes=50_000_000)["peak_memory_bytes"] == pytest.approx(0.21)
    assert off_by(PLAIN, **taken, held_bytes=300_000_000)["peak_memory_bytes"] == pytest.approx(0.21)


def test_without_past_runs_nothing_changes() -> None:
    assert corrected("text full", PLAIN) == PLAIN


def test_two_runs_correct_by_half() -> None:
    """Both took 1.21 times as long: the median log ratio is ln 1.21, shrunk by 2 / (2 + 2) to ln 1.1.

    The past errors are .21 each. After the correction each is off by ln 1.1; the range as it was reaches
    -ln .88 = .128, which is wider.
    """
    taken([1.21, 1.21])
    found = corrected("text full", PLAIN)
    assert found.seconds.value == pytest.approx(110.0)
    assert found.past["seconds"].runs == 2
    assert found.past["seconds"].error == pytest.approx(0.21)
    assert found.seconds.low == pytest.approx(110.0 * 0.88) and found.seconds.high == pytest.approx(110.0 / 0.88)
    assert found.parts["training"] == pytest.approx(110.0)
    assert found.peak_memory_bytes == PLAIN.peak_memory_bytes


def test_six_runs_that_agree_narrow_the_range_and_others_widen_it() -> None:
    """Six runs off by ± .01: s = .01 √(6/5), t(5) at .975 = 2.571, so h = 2.571 s √(7/6) = .0304; at ± .2 20 times."""
    taken([math.exp(0.01), math.exp(-0.01)] * 3)
    narrow = corrected("text full", PLAIN).seconds
    assert math.log(narrow.high / narrow.value) == pytest.approx(2.5706 * 0.01 * math.sqrt(6 / 5 * 7 / 6), rel=1e-3)
    taken([math.exp(0.2), math.exp(-0.2)] * 3, kind="text lora")
    wide = corrected("text lora", PLAIN).seconds
    assert math.log(wide.high / wide.value) == pytest.approx(20 * math.log(narrow.high / narrow.value))


def test_forty_runs_give_the_conformal_range() -> None:
    """Distances .001, .002, … .040 in pairs of signs have median 0; the ⌈41 x .95⌉ = 39th smallest is .039."""
    logs = [0.001 * number * (-1) ** number for number in range(1, 41)]
    taken([math.exp(each) for each in logs])
    median = float(np.median(logs)) * 40 / 42
    distances = sorted(abs(each - median) for each in logs)
    found = corrected("text full", PLAIN).seconds
    assert math.log(found.high / found.value) == pytest.approx(distances[38])


def test_a_correction_is_not_learnt_twice() -> None:
    """A run foreseen as 110 after a correction by 1.1 that takes 121 tells that the raw forecast of 100 lacks 1.21."""
    taken([1.21, 1.21])
    remember("text full", corrected("text full", PLAIN), {"seconds": 121.0}, off={"seconds": 0.1})
    last = json.loads((state_folder() / FILE).read_text().splitlines()[-1])
    assert last["seconds"] == pytest.approx({"raw": 100.0, "forecast": 110.0, "actual": 121.0})


def test_other_devices_and_broken_lines_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    taken([2.0])
    path = state_folder() / FILE
    path.write_text(path.read_text() + path.read_text().replace('"device": "', '"device": "another ') + '{"kind": "te')
    assert corrected("text full", PLAIN).past["seconds"].runs == 1


def test_tables_are_searched_by_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    assert device_name("text full") == "a GPU"
    assert device_name("table classical").endswith(" cores")


def test_a_folder_that_cannot_be_written_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MODELWRIGHT_STATE", str(tmp_path / "file" / "below"))
    taken([1.0])
    assert "could not be kept" in caplog.text
    assert corrected("text full", PLAIN) == PLAIN
