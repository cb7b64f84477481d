"""Compiled blocks: which batches they see, when they are worth it, and that a run with them goes on exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from modelwright.errors import InputError, RefusedError
from modelwright.models import compiled
from modelwright.models.compiled import as_they_were, compile_blocks, compiler, drops
from modelwright.models.language import Language, language_from_scratch
from modelwright.problem import Problem, parse
from modelwright.records import POSITION, Column, Dataset, Progress, Schema, Seal, Setting, identify
from modelwright.training import compiling as room
from modelwright.training.compiling import Tried, compiling
from modelwright.training.estimate import Forecast
from modelwright.training.job import Job
from modelwright.training.line import Line
from modelwright.training.objectives.vocabulary import NextToken
from modelwright.training.plan import plan
from modelwright.training.probe import Probe, Stepped
from modelwright.training.streams import Stream
from modelwright.training.train import train
from modelwright.training.work import Cost

SIZES = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
SETTINGS: dict[str, Any] = {
    "stream": True,
    "rank": 0,
    "checkpointing": 0,
    "micro_batches": 1,
    "batch_size": 4,
    "seed": 0,
}


def network(**sizes: Any) -> Language:
    torch.manual_seed(0)
    return language_from_scratch("llama", "causal", SIZES | sizes)


def job(net: Language, **settings: Any) -> Job:
    """Over a stream of 40 blocks of 8 tokens: 10 steps of 4 an epoch, less what the offset takes."""
    stream = Stream(np.arange(8 * 41 + 1, dtype=np.int32) % 40, 8)
    predictor: Any = SimpleNamespace(network=net)
    return Job(predictor, stream, None, None, NextToken(), SETTINGS | settings, "llama")  # type: ignore[arg-type]


def forecast(found: Job) -> Forecast:
    """A step takes 2 s: 4 x 8 tokens of 1/16 s."""
    line = Line(0.0, 1 / 16)
    stepped = Stepped(line, activation_bytes=0, largest_bytes=0)
    probe = Probe(stepped, line, line, line, 0, 0, 0, 0, 0, 0, 1, 1, Cost(1, 0, 1))
    return Forecast(found, probe, build_seconds=1.0, peak_bytes=10, reads=False)


def problem(compile: bool | str = "auto", **compute: Any) -> Problem:
    stated = {"name": "tiny", "task": "language-modeling", "data": {"source": "none"}, "compute": compute}
    found, _ = parse({**stated, "training": {"compile": compile}})
    return found


def decided(found: Job, asked: Problem, *, steps: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Setting, Forecast]:
    """What is decided of a run of so many steps, where compiling takes 60 s, again 8 s, and saves a quarter."""
    monkeypatch.setattr(room, "schedule", lambda *_, **__: {"steps": Setting(steps, "test")})
    monkeypatch.setattr(room, "_tried", lambda *_: Tried(60.0, 8.0, 0.75, 20))
    limits = {"precision": "fp32", "scratch": True, "budget_seconds": 600.0}
    return compiling(forecast(found), asked, **limits, note=lambda what: None)  # type: ignore[arg-type]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes that compiled code is called with; nothing is compiled."""
    seen: list[tuple[int, ...]] = []

    def pretend(forward: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        def quick(block: Any, states: torch.Tensor, **inputs: Any) -> Any:
            seen.append(tuple(states.shape[:2]))
            return forward(block, states, **inputs)

        return quick

    monkeypatch.setattr(torch, "compile", pretend)
    return seen


def test_compiled_code_sees_training_batches_of_one_shape(counted: list[tuple[int, ...]]) -> None:
    """Two blocks; of (4, 8), (3, 8), (4, 5) and an answered (4, 8) only the first is theirs."""
    net = network()
    names = set(net.state_dict())
    compile_blocks(net, (4, 8))
    for shape in ((4, 8), (3, 8), (4, 5)):
        net.train()({"input_ids": torch.zeros(shape, dtype=torch.long)})
    net.eval()({"input_ids": torch.zeros((4, 8), dtype=torch.long)})
    assert counted == [(4, 8), (4, 8)]
    assert set(net.state_dict()) == names
    as_they_were(net)
    net.train()({"input_ids": torch.zeros((4, 8), dtype=torch.long)})
    assert len(counted) == 2


def test_a_compiler_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(forward: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        def quick(*inputs: Any, **more: Any) -> Any:
            raise torch._dynamo.exc.TorchDynamoException("no Python.h\nmany lines")

        return quick

    monkeypatch.setattr(torch, "compile", broken)
    net = network()
    compile_blocks(net, (4, 8))
    with pytest.raises(RefusedError, match=r"no Python\.h\); set training\.compile: false"):
        net.train()({"input_ids": torch.zeros((4, 8), dtype=torch.long)})


def test_a_compiler_is_looked_for_where_torch_looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "c++"
    script.write_text("#!/bin/sh\necho 'mine 1.2'\necho more\n")
    script.chmod(0o755)
    for named, expected in ((str(script), "mine 1.2"), (str(tmp_path / "none"), compiled.NONE)):
        compiler.cache_clear()
        monkeypatch.setenv("CXX", named)
        assert compiler() == expected
    compiler.cache_clear()


def test_dropout_is_seen_in_modules_and_in_configurations() -> None:
    assert not drops(network())
    assert drops(network(attention_dropout=0.1))
    gpt2 = {"vocab_size": 40, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 8}
    assert drops(language_from_scratch("gpt2", "causal", gpt2))


@pytest.mark.parametrize(
    ("settings", "workers", "said"),
    [
        ({"stream": False}, 1, "one stream"),
        ({"rank": 16}, 1, "adapters"),
        ({"checkpointing": 1}, 1, "repeated"),
        ({}, 2, "several workers"),
    ],
)
def test_where_it_cannot_be_it_is_not_and_asking_for_it_is_a_fault(
    settings: dict[str, Any], workers: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = job(network(), **settings)
    setting, _ = decided(found, problem(workers=workers), steps=1000, monkeypatch=monkeypatch)
    assert setting.value is False and said in setting.origin
    with pytest.raises(InputError, match=rf"training\.compile: true, but .*{said}"):
        decided(found, problem(True, workers=workers), steps=1000, monkeypatch=monkeypatch)


def test_without_a_compiler_steps_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "compiler", lambda: compiled.NONE)
    setting, _ = decided(job(network()), problem(), steps=1000, monkeypatch=monkeypatch)
    assert setting.value is False and "no C++ compiler" in setting.origin


def test_it_is_compiled_where_that_pays_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of 2 s becomes one of 1.5 s. 60 s of compiling come back after 120 steps; a run of 87 is not even tried,
    as a fifth of its 174 s is under 35 s. The forecast of 200 steps: 300 s, and 8 s more at the start.
    """
    monkeypatch.setattr(compiled, "compiler", lambda: "g++ 12")
    found = job(network())
    for steps, value, said in ((87, False, "rule"), (120, False, "probe"), (121, True, "probe"), (200, True, "probe")):
        setting, expected = decided(found, problem(), steps=steps, monkeypatch=monkeypatch)
        assert (setting.value, setting.origin.partition(":")[0]) == (value, said)
        assert expected.steps_seconds(steps) == pytest.approx((1.5 if value else 2.0) * steps)
        assert expected.start_seconds == pytest.approx(1.0 + 8.0 * value)
    assert "saves 100 s in 200; compiling takes 60 s" in setting.origin
    assert expected.peak_bytes == 20
    setting, _ = decided(found, problem(True), steps=5, monkeypatch=monkeypatch)
    assert setting.value is True and setting.origin.startswith("problem.yaml")
    assert decided(found, problem(False), steps=9000, monkeypatch=monkeypatch)[0] == Setting(False, "problem.yaml")


def novel(folder: Path) -> Dataset:
    """Texts of 2,000 words of six: a stream."""
    generator = np.random.default_rng(0)
    found = [" ".join(generator.choice(["the", "red", "cat", "sees", "a", "dog"], 2000)) for _ in range(8)]
    frame = pl.DataFrame({"text": found, "bytes": [float(len(text)) for text in found]})
    frame = frame.with_columns(pl.Series(POSITION, np.arange(len(frame))))
    folder.mkdir()
    frame[:6].write_parquet(folder / "train.parquet")
    frame[6:].write_parquet(folder / "validation.parquet")
    schema = Schema("language-modeling", "text", (Column("text", "text"),), "bytes")
    return Dataset("d", str(folder), schema, {"train": 6, "validation": 2}, (), {}, (), Seal(0, 0, 20), "", "", "", 0.0)


class Stop(Exception):
    pass


@pytest.mark.slow
@pytest.mark.skipif(compiler() == compiled.NONE, reason="no C++ compiler is here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_compiled_run_that_was_interrupted_ends_with_the_same_bits(tmp_path: Path) -> None:
    dataset = novel(tmp_path / "novel")
    stated = {"name": "tiny", "task": "language-modeling", "data": {"source": "none"}}
    asked, _ = parse(
        {**stated, "model": {"base": "llama-2x128"}, "training": {"epochs": 1, "precision": "fp32", "batch_size": 8}}
    )
    made = plan(dataset, asked, folder=tmp_path, metric="bits_per_byte", budget_seconds=600)
    assert made.settings["stream"].value is True and made.settings["compile"].value is False, "too short to pay"
    made = identify(replace(made, settings=made.settings | {"compile": Setting(True, "test")}))

    def run(name: str, progress: Any = lambda progress: None) -> Any:
        where = {"folder": tmp_path / name, "project": tmp_path}
        return train(dataset, made, metric="bits_per_byte", **where, budget_seconds=600, progress=progress)

    whole = run("whole")
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1, "one compilation serves all blocks"

    def stop(progress: Progress) -> None:
        if progress.what == "training" and progress.done == whole.steps // 2 + 1:
            raise Stop

    with pytest.raises(Stop):
        run("parts", stop)
    parts = run("parts")
    assert parts.weights_sha256 == whole.weights_sha256 and parts.not_exact == ()
    assert (tmp_path / "parts/log.jsonl").read_bytes() == (tmp_path / "whole/log.jsonl").read_bytes()
