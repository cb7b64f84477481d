"""What does not fit into memory is cut into pieces, or refused with what would fit."""

from __future__ import annotations

import dataclasses
import gc
import json
import subprocess
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from modelwright.data.parts import read_part
from modelwright.errors import RefusedError
from modelwright.models import room
from modelwright.models.room import available_bytes
from modelwright.problem import Problem
from modelwright.records import Dataset, Estimate, Interval, Setting
from modelwright.training import memory
from modelwright.training.fit import micro_batches, still_fits
from modelwright.training.memory import Peak, saved_bytes
from modelwright.training.parallel import Group
from modelwright.training.probe import largest_batch
from modelwright.training.sharding import chosen, worker_bytes
from modelwright.training.work import footprint_of_files

SETTINGS = {"batch_size": 16, "max_length": 64, "rank": 0, "quantised": False}


def needed(base: Path, pieces: int) -> float:
    """Bytes for texts of 14 tokens: 12 words and two special ones, the longest of the dataset."""
    return footprint_of_files(base, rank=0, quantised=False, examples=16, length=14).total(micro_batches=pieces)


def test_activations_of_gpt2_are_counted_under_its_own_names(tmp_path: Path) -> None:
    """1.4 times half of the 59,904 bytes that two texts of 8 tokens leave in float32."""
    sizes = {"n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 64}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", **sizes}))
    found = footprint_of_files(tmp_path, rank=0, quantised=False, examples=2, length=8)
    assert found.activations == pytest.approx(1.4 * 59_904 / 2)


def test_a_batch_is_cut_until_it_fits(text_dataset: Dataset, tiny_encoder: Path) -> None:
    train = read_part(text_dataset, "train")
    for pieces in (1, 4, 16):
        free = round(1.001 * needed(tiny_encoder, pieces) / 0.9)
        found = micro_batches(text_dataset.schema, train, tiny_encoder, SETTINGS, held=0, free=free)
        assert found.value == pieces
    assert "memory" in found.origin


def test_what_does_not_fit_is_refused_with_what_would(
    text_dataset: Dataset, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights with gradients and moments take 16 bytes each; with adapters of rank 1 little more than 4."""
    monkeypatch.setattr("modelwright.training.fit.RANK", 1)
    train = read_part(text_dataset, "train")
    free = round(0.8 * needed(tiny_encoder, 16))
    with pytest.raises(RefusedError, match=r"one example at a time.*What would fit: .*lora"):
        micro_batches(text_dataset.schema, train, tiny_encoder, SETTINGS, held=0, free=free)
    with pytest.raises(RefusedError, match="smaller model"):
        micro_batches(text_dataset.schema, train, tiny_encoder, SETTINGS, held=0, free=1000)


@pytest.mark.parametrize("gpu", [False, True])
def test_adapters_need_room_for_the_whole_model_once(gpu: bool, text_dataset: Dataset, tiny_encoder: Path) -> None:
    """It is read, and adapters are merged into it, in float32 on the processor, whatever holds it in between."""
    train, settings = read_part(text_dataset, "train"), {**SETTINGS, "rank": 1, "quantised": True}
    whole = footprint_of_files(tiny_encoder, rank=1, quantised=True, examples=16, length=14).whole
    for share, refused in ((0.99, True), (1.01, False)):
        beside = round(share * whole / 0.9)
        room = {"free": 10**9, "beside": beside} if gpu else {"free": beside}
        if refused:
            with pytest.raises(RefusedError, match="of the processor's memory in float32"):
                micro_batches(text_dataset.schema, train, tiny_encoder, settings, held=0, **room)
        elif gpu:
            assert micro_batches(text_dataset.schema, train, tiny_encoder, settings, held=0, **room).value == 1


def test_memory_that_is_gone_by_then_stops_a_run() -> None:
    estimate = Estimate(Interval(1, 1, 1), Interval(4e9, 3e9, 5e9), Interval(0, 0, 0))
    still_fits(estimate, free=3_500_000_000)
    with pytest.raises(RefusedError, match=r"4\.0 GB"):
        still_fits(estimate, free=2_000_000_000)


def test_a_containers_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 2 GB allowed 1.5 are taken: half a gigabyte is left beside what this process holds already."""
    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    limit.write_text("2000000000\n")
    used.write_text("1500000000\n")
    monkeypatch.setattr(room, "LIMITS", (limit,))
    monkeypatch.setattr(room, "USED", (used,))
    import psutil

    left = available_bytes() - psutil.Process().memory_info().rss
    assert left == pytest.approx(5e8, abs=5e7)
    limit.write_text("max\n")
    assert available_bytes() - psutil.Process().memory_info().rss > 5e8


def test_a_workers_share_is_of_the_containers_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 2 MB allowed 1.4 are taken: 300 kB for each of two, of which half may be filled.

    A layer of 100 x 100 with its gradients and moments takes 16 · 10,100 = 161,600 bytes.
    """
    import torch

    class Two(Group):
        """Two workers of which only this one is asked."""

        def number(self, value: float) -> float:
            return value

    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    limit.write_text("2000000\n")
    used.write_text("1400000\n")
    monkeypatch.setattr(room, "LIMITS", (limit,))
    monkeypatch.setattr(room, "USED", (used,))
    settings = {"rank": 0, "quantised": False, "precision": "fp32"}
    assert worker_bytes(2) == 300_000
    assert chosen("auto", torch.nn.Linear(100, 100), Two(0, 2), settings)
    used.write_text("1300000\n")
    assert not chosen("auto", torch.nn.Linear(100, 100), Two(0, 2), settings)


def test_of_a_gpu_what_is_free_now_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 80 GB others hold 30, and this process reserves 20, of which tensors hold 8: 30 + 12 are free for more.

    It once held 15.
    """
    import torch

    gpu = {"is_available": True, "mem_get_info": (30e9, 80e9), "memory_reserved": 20e9}
    gpu |= {"memory_allocated": 8e9, "max_memory_allocated": 15e9}
    for name, value in gpu.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    assert worker_bytes(2) == 42e9
    assert memory.held_bytes() == 8e9
    assert memory.memory_bytes() == 15e9


def test_a_plan_counts_what_a_gpu_holds_now(
    text_dataset: Dataset, problem: Problem, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelwright.training import plan

    held: list[int] = []

    def pieces(*given: object, **named: int) -> Setting:
        held.append(named["held"])
        return Setting(1, "")

    monkeypatch.setattr(plan, "held_bytes", lambda: 8_000)
    monkeypatch.setattr(plan, "micro_batches", pieces)
    train = read_part(text_dataset, "train")
    plan._needed(text_dataset.schema, train, problem, tiny_encoder, "full")
    assert held == [8_000]


@pytest.mark.parametrize("resident", [False, True])
def test_a_watch_sees_what_was_held_for_a_moment(resident: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 MB that are gone when it is asked; of resident memory also where there is a GPU."""
    import torch

    before = memory.memory_bytes()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: resident)
    with Peak(resident=resident) as peak:
        for _ in range(10):
            np.ones(12_500_000).sum()
        assert peak.bytes > before + 60e6


def test_what_autograd_keeps_is_counted() -> None:
    """y = (x w) summed, squared: x (4 bytes each, 1,000 of them) and the product are kept; w is a weight."""
    import torch

    layer = torch.nn.Linear(1000, 500, bias=False)
    with saved_bytes(layer) as kept:
        (layer(torch.ones(1, 1000)) ** 2).sum()
    assert sum(kept.values()) == 4 * (1000 + 500)


def test_counting_holds_nothing() -> None:
    """An output that no one goes back from, like an encoder's unused pooler, must not keep the weights alive."""
    import torch

    layer = torch.nn.Linear(3, 2)
    with saved_bytes(layer):
        layer(torch.ones(1, 3)).tanh()
    weight = weakref.ref(layer.weight)
    del layer
    gc.collect()
    assert weight() is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the heap of glibc")
def test_what_is_free_is_given_back() -> None:
    """100 MB in pieces of 4 kB, of which every thousandth is kept, so that the heap cannot shrink by itself."""
    pieces = [bytes(4000) for _ in range(25_000)]
    before = memory.memory_bytes()
    kept = pieces[::1000] + pieces[-1:]
    del pieces
    memory.release()
    assert memory.memory_bytes() < before - 60e6
    assert len(kept) == 26


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the heap of glibc")
def test_what_is_freed_is_there_for_the_next_step() -> None:
    """Forty tensors of 40 MB in turn, each of 9,766 pages of 4 kB, or of 20 large ones; then all is given back.

    Some may find their place nibbled at by something small, and take another.
    """
    import resource

    import torch

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(40):
            torch.ones(10_000_000)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    before = faults()
    with memory.pages_kept():
        kept, held = faults(), memory.memory_bytes()
    assert kept < before / 2
    assert memory.memory_bytes() < held - 20e6


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the heap of glibc")
def test_memory_does_not_grow_with_every_new_length() -> None:
    """Products of 100 new shapes after 80 others: their kernels took 110 MB where torch keeps 1,024 of them."""
    program = """
import ctypes
import modelwright, torch

class Heap(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena a b c mapped d e used free top".split()]

library = ctypes.CDLL(None)
library.mallinfo2.restype = Heap
layer = torch.nn.Linear(64, 64).bfloat16()
used = []
for lengths in (range(1, 80), range(80, 180)):
    for length in lengths:
        layer(torch.ones(length, 64, dtype=torch.bfloat16)).sum().backward()
    heap = library.mallinfo2()
    used.append(heap.used + heap.mapped)
print(used[1] - used[0])
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(found.stdout) < 10e6


def test_the_largest_batch_may_come_in_a_later_epoch() -> None:
    """Five texts, the last of 90 tokens; in the first epoch it stands alone in the batch that is left over."""
    epochs = [[[0, 1], [2, 3], [4]], [[0, 4], [1, 2], [3]], [[0, 1], [2, 3], [4]]]
    job: Any = SimpleNamespace(
        train=SimpleNamespace(lengths_N=np.array([5, 6, 7, 8, 90])),
        order=lambda epoch: [np.array(batch) for batch in epochs[epoch]],
    )
    assert largest_batch(job).tolist() == [0, 4]


def test_a_plan_cuts_its_batches_where_memory_is_short(
    text_dataset: Dataset, problem: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelwright.training import fit
    from modelwright.training.plan import plan
    from modelwright.training.train import train

    real = footprint_of_files

    def greedy(*given: object, **named: object) -> object:
        found = real(*given, **named)  # type: ignore[arg-type]
        return dataclasses.replace(found, activations=2.0 * available_bytes())

    monkeypatch.setattr(fit, "footprint_of_files", greedy)
    made = plan(text_dataset, problem, folder=tmp_path, metric="accuracy", budget_seconds=600)  # type: ignore[arg-type]
    assert made.settings["micro_batches"].value > 1 and "memory" in made.settings["micro_batches"].origin
    run = train(text_dataset, made, metric="accuracy", folder=tmp_path / "run", project=tmp_path, budget_seconds=600)
    assert run.status == "completed"


@pytest.mark.parametrize(("free", "said"), [(3e9, "set training.batch_size to 10 or less"), (1e9, "smaller model")])
def test_a_batch_that_does_not_fit_is_refused_before_it_is_taken(
    free: float, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16 examples leave 2.4 GB, .15 each, beside 1.2 GB; of 3 GB 2.7 are used, so 10 examples fit; of 1 GB none."""
    monkeypatch.setattr(memory, "available_bytes", lambda: free)
    with pytest.raises(RefusedError, match=rf"a batch of 16 needs about 3\.6 GB.*{said}"):
        memory.check_batch(1_200_000_000, 2.4e9, examples=16)
    monkeypatch.setattr(memory, "available_bytes", lambda: 4.1e9)
    memory.check_batch(1_200_000_000, 2.4e9, examples=16)


def test_a_plan_from_scratch_takes_no_batch_that_does_not_fit(
    text_dataset: Dataset, problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelwright.training.plan import plan

    model = problem.model.model_copy(update={"base": "bert-2x128", "method": "scratch"})
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    with pytest.raises(RefusedError, match="a batch of 16 needs about"):
        plan(
            text_dataset,
            problem.model_copy(update={"model": model}),
            folder=tmp_path,
            metric="accuracy",
            budget_seconds=600,
        )
