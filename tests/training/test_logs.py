from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelwright.errors import ResourceError
from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.training.logs import Logs
from modelwright.training.loop import Step


def step(number: int) -> Step:
    return Step(number, 0, 1 / number, 16, 1e-3, 2.5, 0.125)


def point(number: int) -> HistoryPoint:
    return HistoryPoint(number / 4, number, 1.0, 2.0, 0.5, 0.25)


def write(folder: Path, count: int) -> None:
    with Logs(folder, step=None) as logs:
        logs.validation(point(0))
        for number in range(1, count + 1):
            logs.step(step(number))
            if number % 4 == 0:
                logs.validation(point(number))


def test_a_line_is_there_as_soon_as_its_step_is(tmp_path: Path) -> None:
    """16 units in .125 s are 128 a second."""
    with Logs(tmp_path, step=None) as logs:
        logs.step(step(1))
        assert json.loads((tmp_path / "log.jsonl").read_text()) == {
            "number": 1,
            "epoch": 0,
            "loss": 1.0,
            "units": 16,
            "learning_rate": 1e-3,
            "gradient_norm": 2.5,
        }
        assert (tmp_path / "log.csv").read_text().splitlines() == [
            "number,epoch,loss,units,learning_rate,gradient_norm",
            "1,0,1.0,16,0.001,2.5",
        ]
        assert (tmp_path / "speed.csv").read_text().splitlines()[1] == "1,0.125000,128.0"


@pytest.mark.parametrize("torn", ["", '{"number": 12, "ep'])
def test_what_is_after_the_checkpoint_is_cut_off(tmp_path: Path, torn: str) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    write(whole, 10)
    write(parts, 11)
    with (parts / "log.jsonl").open("a") as opened:
        opened.write(torn)
    with Logs(parts, step=6) as logs:
        assert logs.lacking == [] and [each.step for each in logs.history] == [0, 4]
        assert logs.losses() == [1 / number for number in range(1, 7)]
        for number in range(7, 11):
            logs.step(step(number))
            if number == 8:
                logs.validation(point(8))
    for name in ("log.jsonl", "log.csv", "history.json"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes()


def test_a_log_that_was_removed_or_cut_short_is_named(tmp_path: Path) -> None:
    write(tmp_path, 8)
    (tmp_path / "log.csv").unlink()
    (tmp_path / "log.jsonl").write_bytes((tmp_path / "log.jsonl").read_bytes()[:150])
    with Logs(tmp_path, step=8) as logs:
        assert logs.lacking == ["log.jsonl", "log.csv"]
        logs.step(step(9))
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == [1, 9]
    assert (tmp_path / "log.csv").read_text().startswith("number,")


def test_a_run_that_begins_anew_begins_its_logs_anew(tmp_path: Path) -> None:
    write(tmp_path, 8)
    with Logs(tmp_path, step=None) as logs:
        assert logs.history == [] and logs.lacking == []
    assert (tmp_path / "log.jsonl").read_bytes() == b""


def test_a_gradient_that_is_not_finite_is_null(tmp_path: Path) -> None:
    with Logs(tmp_path, step=None) as logs:
        logs.step(Step(1, 0, 1.0, 16, 1e-3, float("inf"), 0.1))
    assert json.loads((tmp_path / "log.jsonl").read_text())["gradient_norm"] is None


def test_a_disk_that_is_full_is_said(tmp_path: Path) -> None:
    """Writes to /dev/full fail as those to a full disk do, and once more where the log is closed."""
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    told = r"the log could not be written.*No space left .* MB free there.*Make room and run"
    with pytest.raises(ResourceError, match=told), Logs(tmp_path, step=None) as logs:
        logs.step(step(1))


def test_a_log_that_cannot_be_closed_is_said(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    with pytest.raises(ResourceError, match="the log could not be written"), Logs(tmp_path, step=None) as logs:
        logs._files["log.jsonl"].reconfigure(line_buffering=False)  # type: ignore[attr-defined]
        logs.step(step(1))
