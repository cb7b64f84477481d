"""kill -9 at random moments of a real training, again and again: the weights end the same to the bit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("killed_training.py")


@pytest.mark.slow
def test_twenty_kills_change_no_bit(tmp_path: Path) -> None:
    """The worker forks a training, kills it after a random time, and starts it again until twenty kills are spent."""
    done = subprocess.run(
        [sys.executable, str(WORKER), str(tmp_path), "20"], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] == 20
    assert found["killed_weights"] == found["whole_weights"]
    assert found["killed_log"] == found["whole_log"]
