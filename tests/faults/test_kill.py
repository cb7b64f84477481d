"""kill -9 at random moments of real trainings, and full disks under them: they end the same to the bit.

By default twenty kills are spent over the kinds of run; MODELWRIGHT_KILLS names another number (`make faults`: 200).
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

WORKER = Path(__file__).with_name("worker.py")
KINDS = list(runpy.run_path(str(WORKER.with_name("kinds.py")))["KINDS"])
KILLS = int(os.environ.get("MODELWRIGHT_KILLS", "20"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(250 + 10 * KILLS)]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    command = [sys.executable, str(WORKER), str(tmp_path_factory.mktemp("faults")), str(KILLS)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    told: dict[str, Any] = {**json.loads(found.stdout), "said": found.stderr}
    return told


def test_every_kill_was_spent(done: dict[str, Any]) -> None:
    assert sum(done[kind]["kills"] for kind in KINDS) == KILLS


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_ends_with_the_same_weights_logs_and_record(kind: str, done: dict[str, Any]) -> None:
    whole, others = done[kind]["whole"], done[kind]["others"]
    assert len(others) >= 1 and len(whole) >= 5
    for other in others:
        assert other == whole


def test_files_that_cannot_grow_stop_a_run_that_goes_on_when_they_can(done: dict[str, Any]) -> None:
    """The limit falls after step 20 of batches of 16: the next checkpoint fails, and all before are kept."""
    assert done["encoder"]["full"]["limited"] == done["encoder"]["whole"]
    assert len(done["encoder"]["full"]["kept"]) >= 2, "the newest two at least are intact"
    assert not [name for name in done["encoder"]["full"]["kept"] if not name.startswith("step-")], (
        "no rest is left behind"
    )
    assert "File too large" in done["said"] and "the ones before are intact. Make room and run" in done["said"]


def test_a_log_line_that_finds_no_room_stops_a_run_that_goes_on_when_it_does(done: dict[str, Any]) -> None:
    """Of the line of step 21 ten bytes are written: they are cut off again."""
    assert done["encoder"]["full"]["torn"] == done["encoder"]["whole"]
    assert "the log could not be written: [Errno 27] File too large" in done["said"]


def test_a_disk_that_is_full_stops_a_run_that_goes_on_when_there_is_room(done: dict[str, Any]) -> None:
    full = done["encoder"]["full"]
    if full["small"] is None:
        pytest.skip("a small file system cannot be mounted here")
    assert full["small"] == done["encoder"]["whole"]
    assert "No space left on device" in done["said"]
