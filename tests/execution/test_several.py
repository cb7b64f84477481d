"""Several processes of this machine: one result, the cause of a failure, and nobody left behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from modelwright.errors import LostWorkerError, RefusedError
from modelwright.execution import Here, executor
from modelwright.execution import several as module
from modelwright.records import Progress

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.5)
    yield
    assert [each for each in psutil.Process().children() if "modelwright.execution.worker" in each.cmdline()] == []


def test_one_worker_is_this_process() -> None:
    assert isinstance(executor("local"), Here)


def test_the_first_ones_result_and_progress_are_those_of_the_work() -> None:
    """Ranks 0 to 2 return 5 · 7, 5 · 8 and 5 · 9."""
    import works

    told: list[Progress] = []
    assert executor("local", workers=3).launch(works.tell_rank, progress=told.append, scale=5) == 35
    assert [each.what for each in told] == ["0 of 3"]


def test_what_one_raises_is_raised_here_and_ends_the_others() -> None:
    import works

    with pytest.raises(RefusedError, match=r"^no$"):
        executor("local", workers=2).launch(works.refuse, progress=lambda progress: None)
    with pytest.raises(RuntimeError, match="ZeroDivisionError: of some library"):
        executor("local", workers=2).launch(works.fail, progress=lambda progress: None)


def test_a_death_is_named_with_how_it_came() -> None:
    import works

    with pytest.raises(LostWorkerError, match="worker 1 of 2 was ended by SIGKILL"):
        executor("local", workers=2).launch(works.die, progress=lambda progress: None)
    with pytest.raises(LostWorkerError, match="worker 1 of 2 ended with code 3: a library's last words"):
        executor("local", workers=2).launch(works.leave, progress=lambda progress: None)


def test_workers_end_with_their_caller() -> None:
    script = (
        "import works; from modelwright.execution import executor;"
        "executor('local', workers=2).launch(works.sleep, progress=lambda told: print(told.what, flush=True))"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", script], cwd=HERE, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": _path()}
    )
    assert caller.stdout is not None
    first = psutil.Process(int(caller.stdout.readline()))
    workers = [first, *(each for each in psutil.Process(caller.pid).children() if each.pid != first.pid)]
    caller.kill()
    caller.wait()
    caller.stdout.close()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert len(workers) == 2 and alive == []


def _path() -> str:
    import os

    return os.pathsep.join([str(HERE), *(each for each in sys.path if each)])
