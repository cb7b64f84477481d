"""Training in a worker of a Ray cluster: the same weights, progress here, and a lost worker is no loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from modelwright.errors import InputError
from modelwright.execution import Executor, Here, executor
from modelwright.execution.on_ray import OnRay
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


@pytest.mark.slow
def test_two_workers_of_which_one_is_killed_end_as_two_that_were_not(
    on_ray: Executor, text_dataset: Dataset, problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against two local workers with a thread each, as Ray gives them: the group goes on from step 12."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    made = planned(text_dataset, problem, tmp_path)
    here = launched(executor("local", workers=2), text_dataset, made, tmp_path / "here")
    seen: list[int] = []
    killed: list[int] = []

    def watch(progress: Progress) -> None:
        if progress.what == "training":
            seen.append(int(progress.done))
            if progress.done >= 14 and not killed:
                last = workers()[-1]
                killed.append(last.pid)
                last.kill()

    there = launched(executor("ray", workers=2), text_dataset, made, tmp_path / "there", watch)
    assert there.weights_sha256 == here.weights_sha256
    assert killed and seen[-1] == 36
    assert (tmp_path / "there/log.jsonl").read_bytes() == (tmp_path / "here/log.jsonl").read_bytes()


def test_more_workers_than_the_cluster_has_cores(on_ray: Executor) -> None:
    with pytest.raises(InputError, match=r"compute\.workers: 3, and the cluster has 2 cores"):
        executor("ray", workers=3).launch(train, progress=lambda progress: None)


def test_each_worker_gets_what_all_can_have() -> None:
    """Machines of 8 and 4 cores: one worker gets 8, two 4, three 4, four 2 (5 would fit in the first alone); with two
    GPUs in the first and one in the second three workers get a GPU and 4 cores each.
    """
    machines = [{"CPU": 8.0}, {"CPU": 4.0}]
    found = [OnRay(workers=count)._each(machines) for count in (1, 2, 3, 4)]
    assert [each["num_cpus"] for each in found] == [8, 4, 4, 2]
    with_gpus = [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 4.0, "GPU": 1.0}]
    assert OnRay(workers=3)._each(with_gpus) == {"num_cpus": 4, "num_gpus": 1}
    with pytest.raises(InputError, match="3 GPUs"):
        OnRay(workers=4)._each(with_gpus)


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
