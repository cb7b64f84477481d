import subprocess
import sys
from pathlib import Path

import pytest

from modelwright.errors import RefusedError
from modelwright.store import ProjectLock

HOLDER = """
import sys
from pathlib import Path
from modelwright.store.lock import ProjectLock
with ProjectLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_told_who_holds_it_and_a_killed_holder_lets_go(tmp_path: Path) -> None:
    path = tmp_path / ".modelwright" / "lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(RefusedError, match=f"process {holder.pid} since"), ProjectLock(path):
            pass
        holder.kill()
        holder.wait()
    with ProjectLock(path):
        pass


def test_the_holder_may_enter_again(tmp_path: Path) -> None:
    lock = ProjectLock(tmp_path / "lock")
    with lock:
        with lock:
            pass
        with pytest.raises(RefusedError), ProjectLock(tmp_path / "lock"):
            pass
    with ProjectLock(tmp_path / "lock"):
        pass
