from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from modelwright.errors import IntegrityError
from modelwright.records import Dataset, Estimate, Interval, Plan, Run, identify
from modelwright.training import basis as room
from modelwright.training.basis import Basis, basis_of, begun, not_exact
from modelwright.training.finish import finished, keep

BASIS = Basis("p", "t", "v", "m", "0.1.0+aaa", {"torch": "2.13.0", "peft": "absent"}, "cpu AVX2", 2, layout="whole")
OLD = dataclasses.asdict(BASIS)


def test_the_same_is_exact(tmp_path: Path) -> None:
    assert not_exact(OLD, BASIS, step=7, folder=tmp_path) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"versions": {"torch": "2.14.0", "peft": "absent"}}, "torch 2.14.0 (before: 2.13.0)"),
        ({"code": "0.2.0+bbb"}, "Modelwright 0.2.0+bbb (before: 0.1.0+aaa)"),
        ({"threads": 1}, "threads: 1 (before: 2)"),
        ({"device": "cpu AVX512"}, "device cpu AVX512 (before: cpu AVX2)"),
        ({"processes": 2}, "processes: 2 (before: 1)"),
        ({"compiler": "g++ 12"}, "compiler: g++ 12 (before: none)"),
        ({"layout": "sharded"}, "weights sharded (before: whole)"),
    ],
)
def test_what_rounds_otherwise_is_said(changed: dict[str, object], said: str, tmp_path: Path) -> None:
    now = dataclasses.replace(BASIS, **changed)
    assert not_exact(OLD, now, step=7, folder=tmp_path) == [f"it went on after step 7 with {said}"]


@pytest.mark.parametrize(
    ("name", "said"),
    [("plan", "another plan"), ("train", "train.parquet"), ("validation", "validation.parquet"), ("model", "model")],
)
def test_another_run_is_refused(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=rf"after step 7 began with .*{said}.*--force"):
        not_exact({**OLD, name: "other"}, BASIS, step=7, folder=tmp_path)


def test_what_is_not_known_is_not_called_exact(tmp_path: Path) -> None:
    assert not_exact(None, BASIS, step=7, folder=tmp_path) != []


def test_reasons_are_kept_from_call_to_call(tmp_path: Path) -> None:
    assert begun(tmp_path, BASIS, step=0) == []
    one = dataclasses.replace(BASIS, threads=1)
    first = begun(tmp_path, one, step=3)
    assert len(first) == 1
    assert begun(tmp_path, one, step=5) == first
    assert begun(tmp_path, BASIS, step=6) == [*first, "it went on after step 6 with threads: 2 (before: 1)"]
    assert begun(tmp_path, BASIS, step=0) == []


@pytest.mark.parametrize(
    ("device", "exact"), [("cpu AVX2", True), ("cuda H100", False), ("cuda H100, deterministic", True)]
)
def test_what_goes_on_on_a_gpu_is_not_called_exact(device: str, exact: bool, tmp_path: Path) -> None:
    """Nor is a search that does; one that is over does not go on."""
    basis = dataclasses.replace(BASIS, device=device)
    said = [] if exact else ["it went on after step 7 on a GPU, which adds up in no certain order"]
    assert not_exact(dataclasses.asdict(basis), basis, step=7, folder=tmp_path) == said
    begun(tmp_path, basis, step=0)
    assert [begun(tmp_path, basis, step=7) for _ in range(2)] == [said, said]
    run = identify(Run("", "p", str(tmp_path), "00", "completed", 9, 9, 0.1, {}, 1.0, 1, {}))
    (tmp_path / "predictor").mkdir()
    keep(run, basis, tmp_path)
    assert finished(basis, tmp_path) == run


@pytest.mark.parametrize(("mode", "named"), [(0, "cuda H100"), (1, "cuda H100"), (2, "cuda H100, deterministic")])
def test_a_gpu_is_certain_where_torch_fails_rather_than_round_at_random(
    mode: int, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mode 1 warns, 2 fails, as torch.set_deterministic_debug_mode has it."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "H100")
    monkeypatch.setattr(torch, "get_deterministic_debug_mode", lambda: mode)
    assert room._device() == named


def some_plan() -> Plan:
    zero = Interval(0.0)
    return Plan("p", "d", "m", "full", {}, Estimate(zero, zero, zero), ())


def test_every_file_that_a_model_is_read_from_counts(text_dataset: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "additional_chat_templates").mkdir(parents=True)
    names = ("config.json", "model.safetensors", "merges.txt", "tokenizer.model", "chat_template.jinja")
    seen = [basis_of(text_dataset, some_plan(), folder).model]
    for name in (*names, "additional_chat_templates/tool_use.jinja"):
        (folder / name).write_text(name)
        seen.append(basis_of(text_dataset, some_plan(), folder).model)
    assert len(set(seen)) == 7
    (folder / "README.md").write_text("no part of it")
    assert basis_of(text_dataset, some_plan(), folder).model == seen[-1]


@pytest.mark.parametrize("base", [None, "bert-2x128"])
def test_a_part_that_is_lost_or_was_altered_is_said(base: str | None, text_dataset: Dataset) -> None:
    """A dataset that has no hashes of its parts is believed."""
    path = Path(text_dataset.path) / "train.parquet"
    hashed = dataclasses.replace(text_dataset, parts_sha256={"train": basis_of(text_dataset, some_plan()).train})
    assert basis_of(hashed, some_plan(), base) == basis_of(text_dataset, some_plan(), base)
    path.write_bytes(path.read_bytes()[:-1])
    assert basis_of(text_dataset, some_plan(), base).train != hashed.parts_sha256["train"]
    with pytest.raises(IntegrityError, match=r"train\.parquet: altered .*`modelwright prepare --force`"):
        basis_of(hashed, some_plan(), base)
    path.unlink()
    with pytest.raises(IntegrityError, match=r"train\.parquet: .*No such file.*`modelwright prepare --force`"):
        basis_of(text_dataset, some_plan(), base)
