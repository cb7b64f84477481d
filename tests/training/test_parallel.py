"""Several workers that train together: the same steps as one makes alone, to rounding, and none lost by a kill."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import psutil
import pytest
import torch
from safetensors.torch import load_file

from modelwright.data.spans import SPANS
from modelwright.errors import InputError, LostWorkerError
from modelwright.execution import executor
from modelwright.problem import Problem
from modelwright.records import Dataset, Plan, Progress, Run
from modelwright.training.parallel import Group
from modelwright.training.plan import plan
from modelwright.training.train import train

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
TRAININGS = ["classified", "with_dropout", "with_repeated_blocks", "with_adapters", "language"]


@pytest.fixture(scope="module")
def two(request: pytest.FixtureRequest) -> dict[tuple[str, bool], tuple]:
    """What two workers find, of all trainings in one launch: they take seconds to start."""
    sys.path.insert(0, str(Path(__file__).parent))
    request.addfinalizer(lambda: sys.path.remove(str(Path(__file__).parent)))
    import together

    return executor("local", workers=2).launch(together.work, progress=lambda progress: None, names=TRAININGS)


@pytest.mark.parametrize("sharded", [False, True], ids=["replicated", "sharded"])
@pytest.mark.parametrize("name", TRAININGS)
def test_two_workers_take_the_steps_of_one(name: str, sharded: bool, two: dict[tuple[str, bool], tuple]) -> None:
    """Losses, norms and weights agree to rounding; with dropout too, as what is dropped goes by the piece's number."""
    import together

    losses, norms, weights = together.trained(name, Group(), pieces=2)
    found_losses, found_norms, found_weights = two[name, sharded]
    assert found_losses == pytest.approx(losses, rel=1e-5)
    assert found_norms == pytest.approx(norms, rel=1e-4)
    assert found_weights.keys() == weights.keys()
    for each, value in weights.items():
        np.testing.assert_allclose(found_weights[each], value, rtol=1e-3, atol=2e-5, err_msg=each)


def planned(dataset: Dataset, problem: Problem, folder: Path) -> Plan:
    """A plan whose batches are cut in two, so that one worker drops what two drop."""
    made = plan(dataset, problem, folder=folder, metric="accuracy", budget_seconds=600)
    cut = dataclasses.replace(made.settings["micro_batches"], value=2)
    return dataclasses.replace(made, settings={**made.settings, "micro_batches": cut})


def launched(
    dataset: Dataset,
    made: Plan,
    folder: Path,
    *,
    workers: int,
    sharding: str,
    metric: str = "accuracy",
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Run:
    return executor("local", workers=workers).launch(
        train,
        progress=progress,
        dataset=dataset,
        plan=made,
        metric=metric,
        folder=folder,
        project=folder.parent,
        budget_seconds=600,
        sharding=sharding,
    )


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def killing(step: int, ranks: list[int]) -> Callable[[Progress], None]:
    """What, told of that step, kills those workers; processes are listed in the order in which they were started."""

    def tell(progress: Progress) -> None:
        if progress.what == "training" and progress.done == step:
            found = [each for each in psutil.Process().children() if "modelwright.execution.worker" in each.cmdline()]
            for each in [found[rank] for rank in ranks]:
                each.kill()

    return tell


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["replicate", "shard"])
def test_killed_workers_are_gone_on_from_and_change_no_bit(
    sharding: str, text_dataset: Dataset, problem: Problem, tmp_path: Path
) -> None:
    """36 steps with a checkpoint each 12: one worker is killed after step 14, all of them after 27."""
    made = planned(text_dataset, problem, tmp_path)
    alone = launched(text_dataset, made, tmp_path / "alone", workers=1, sharding=sharding)
    whole = launched(text_dataset, made, tmp_path / "whole", workers=2, sharding=sharding)
    assert losses(tmp_path / "whole") == pytest.approx(losses(tmp_path / "alone"), rel=1e-5, abs=1e-6)
    assert whole.validation["accuracy"].value == pytest.approx(alone.validation["accuracy"].value, abs=1e-9)

    for step, ranks in ((14, [1]), (27, [0, 1])):
        with pytest.raises(LostWorkerError, match=r"worker . of 2 was ended by SIGKILL.*last checkpoint"):
            launched(
                text_dataset,
                made,
                tmp_path / "killed",
                workers=2,
                sharding=sharding,
                progress=killing(step, ranks),
            )
    killed = launched(text_dataset, made, tmp_path / "killed", workers=2, sharding=sharding)
    assert killed.weights_sha256 == whole.weights_sha256
    assert (tmp_path / "killed/log.jsonl").read_bytes() == (tmp_path / "whole/log.jsonl").read_bytes()


@pytest.mark.slow
def test_a_tagger_whose_weights_are_shared_out_learns_as_one_that_is_whole(
    text_dataset: Dataset, problem: Problem, tmp_path: Path
) -> None:
    """Its embeddings move too: their rows are what the first worker's optimizer could have been given whole."""
    folder = Path(text_dataset.path)
    for part in ("train", "validation"):
        frame = pl.read_parquet(folder / f"{part}.parquet")
        found = [[{"start": 0, "end": len(text.split()[0]), "label": "first"}] for text in frame["text"]]
        frame.with_columns(pl.Series("label", found, dtype=SPANS)).write_parquet(folder / f"{part}.parquet")
    schema = dataclasses.replace(text_dataset.schema, task="tagging", classes=("first",))
    tagged = dataclasses.replace(text_dataset, schema=schema, classes=("first",))
    made = plan(tagged, problem, folder=tmp_path, metric="micro_f1", budget_seconds=600)
    for sharding in ("replicate", "shard"):
        launched(tagged, made, tmp_path / sharding, workers=2, sharding=sharding, metric="micro_f1")
    whole, shared = (load_file(tmp_path / name / "predictor/model.safetensors") for name in ("replicate", "shard"))
    for name, value in whole.items():
        torch.testing.assert_close(shared[name], value, rtol=1e-3, atol=2e-5, msg=name)


def test_qlora_is_not_sharded(text_dataset: Dataset, problem: Problem) -> None:
    import torch

    from modelwright.training.sharding import chosen

    settings = {"rank": 8, "quantised": True, "precision": "fp32"}
    with pytest.raises(InputError, match=r"compute\.sharding: shard, with model\.method qlora"):
        chosen("shard", torch.nn.Linear(2, 2), Group(0, 2), settings)
    with pytest.raises(InputError, match=r"training\.precision: fp16"):
        chosen("shard", torch.nn.Linear(2, 2), Group(0, 2), {**settings, "quantised": False, "precision": "fp16"})
    assert not chosen("shard", torch.nn.Linear(2, 2), Group(), settings)
