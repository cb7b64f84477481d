from pathlib import Path

import pytest

from modelwright.errors import ResourceError
from modelwright.training import checkpoint


def make(step: int) -> checkpoint.Checkpoint:
    import torch

    tensors = {"network": {"w": torch.full((2000,), float(step))}, "optimizer": {"0.step": torch.tensor(float(step))}}
    return checkpoint.Checkpoint(step, tensors, {"step": step, "note": "x"})


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, make(7))
    found, damaged = checkpoint.newest(tmp_path)
    assert found is not None and found.step == 7 and damaged == []
    assert found.tensors["network"]["w"].tolist() == [7.0] * 2000
    assert found.state == {"step": 7, "note": "x"}


def test_two_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4, 5):
        checkpoint.save(tmp_path, make(step), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000002", "step-000000004", "step-000000005"]


def test_a_damaged_checkpoint_is_not_one_of_the_two_that_are_kept(tmp_path: Path) -> None:
    """30 is damaged, so the run goes on from 20 and comes to 25: were 30 counted, 20 would go."""
    for step in (10, 20, 30):
        checkpoint.save(tmp_path, make(step))
    (tmp_path / "step-000000030/state.json").write_text("{}")
    found, damaged = checkpoint.newest(tmp_path)
    assert found is not None and found.step == 20 and damaged == ["step-000000030"]
    (tmp_path / ".writing-killed").mkdir()
    checkpoint.save(tmp_path, make(25))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000020", "step-000000025"]


def test_a_write_cut_short_leaves_nothing_that_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path, make(1))
    calls = 0

    def full(path: Path) -> None:
        nonlocal calls
        calls += 1
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "sync", full)
    with pytest.raises(ResourceError, match="No space left"):
        checkpoint.save(tmp_path, make(2))
    assert calls == 1
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]
