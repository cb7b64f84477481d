from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from modelwright.errors import IntegrityError
from modelwright.training.basis import Basis, begun, not_exact

BASIS = Basis("p", "t", "v", "m", "0.1.0+aaa", {"torch": "2.13.0", "peft": "absent"}, "cpu AVX2", 2)
OLD = dataclasses.asdict(BASIS)


def test_the_same_is_exact(tmp_path: Path) -> None:
    assert not_exact(OLD, BASIS, step=7, folder=tmp_path) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"versions": {"torch": "2.14.0", "peft": "absent"}}, "torch 2.14.0 (before: 2.13.0)"),
        ({"code": "0.2.0+bbb"}, "Modelwright 0.2.0+bbb (before: 0.1.0+aaa)"),
        ({"threads": 1}, "threads: 1 (before: 2)"),
        ({"device": "cuda H100"}, "device cuda H100 (before: cpu AVX2)"),
        ({"processes": 2}, "processes: 2 (before: 1)"),
        ({"compiler": "g++ 12"}, "compiler: g++ 12 (before: none)"),
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
