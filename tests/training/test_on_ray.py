"""Training in a worker of a Ray cluster: the same weights, progress here, and a lost worker is no loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from modelwright.errors import InputError
from modelwright.execution import Executor, Here, executor
from modelwright.problem import Problem
from modelwright.records import Dataset, Plan, Progress, Run
from modelwright.training.plan import plan
from modelwright.training.train import train

pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def on_ray() -> Iterator[Executor]:
    import ray

    ray.init(num_cpus=2, include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)
    yield executor("ray")
    ray.shutdown()


def planned(dataset: Dataset, problem: Problem, folder: Path) -> Plan:
    return plan(dataset, problem, folder=folder, metric="accuracy", budget_seconds=600)


def launched(on: Executor, dataset: Dataset, made: Plan, folder: Path, progress=lambda progress: None) -> Run:
    return on.launch(
        train,
        progress=progress,
        dataset=dataset,
        plan=made,
        metric="accuracy",
        folder=folder,
        project=folder.parent,
        budget_seconds=600,
    )


def workers() -> list[psutil.Process]:
    """The processes that Ray runs work in."""
    found = psutil.Process().children(recursive=True)
    return [each for each in found if "ray::_Worker" in " ".join(each.cmdline())]


def test_a_worker_that_is_killed_is_replaced_and_goes_on(
    on_ray: Executor, text_dataset: Dataset, problem: Problem, tmp_path: Path
) -> None:
    made = planned(text_dataset, problem, tmp_path)
    here = launched(Here(), text_dataset, made, tmp_path / "here")
    seen: list[int] = []
    killed: list[int] = []

    def watch(progress: Progress) -> None:
        if progress.what == "training":
            seen.append(int(progress.done))
            if progress.done >= 14 and not killed:
                killed.extend(each.pid for each in workers())
                for each in workers():
                    each.kill()

    there = launched(on_ray, text_dataset, made, tmp_path / "there", watch)
    assert killed and seen[-1] == 36
    assert there.weights_sha256 == here.weights_sha256
    assert (tmp_path / "there/log.jsonl").read_bytes() == (tmp_path / "here/log.jsonl").read_bytes()


def test_what_the_work_raises_is_raised_here(
    on_ray: Executor, text_dataset: Dataset, problem: Problem, tmp_path: Path
) -> None:
    made = dataclasses.replace(planned(text_dataset, problem, tmp_path), model=str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="is not a model on this machine"):
        launched(on_ray, text_dataset, made, tmp_path / "run")


def test_without_ray_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from modelwright.execution import on_ray

    monkeypatch.setattr(on_ray, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'modelwright\[ray\]'"):
        executor("ray")
