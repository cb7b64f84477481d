"""Every truncation and a thousand flipped bits of a checkpoint are noticed, and the one before is used."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from modelwright.training import checkpoint

BLOCK_BYTES = 4096
FLIPS = 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints of random weights, moments and state: what the files hold does not matter to their hashes."""
    import torch

    place = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    for step in (1, 2):
        tensors = {"network": {"w": torch.randn(90, 100)}, "optimizer": {"0.0.exp_avg": torch.randn(180, 100)}}
        state = {"step": step, "history": list(range(3000))}
        checkpoint.save(place, checkpoint.Checkpoint(step, tensors, state))
    return place


@pytest.fixture
def newest(folder: Path) -> Iterator[Path]:
    yield checkpoint.place(folder, 2)
    assert checkpoint.newest_sound(folder) == (checkpoint.place(folder, 2), []), "the test put everything back"


def passed_over(folder: Path) -> bool:
    return checkpoint.newest_sound(folder) == (checkpoint.place(folder, 1), ["step-000000002"])


def test_every_truncation_is_noticed(folder: Path, newest: Path) -> None:
    """36,000, 72,000 and 16,890 bytes and the manifest's few hundred: 9 + 18 + 5 + 1 cuts at multiples of 4,096."""
    cuts = 0
    for path in sorted(newest.iterdir()):
        sound = path.read_bytes()
        for length in range(0, len(sound), BLOCK_BYTES):
            path.write_bytes(sound[:length])
            assert passed_over(folder), f"{path.name} cut at {length}"
            cuts += 1
        path.write_bytes(sound)
    assert cuts == 33


def test_every_missing_or_added_file_is_noticed(folder: Path, newest: Path) -> None:
    for path in sorted(newest.iterdir()):
        sound = path.read_bytes()
        path.unlink()
        assert passed_over(folder), f"{path.name} removed"
        path.write_bytes(sound)
    (newest / "more.safetensors").write_bytes(b"")
    assert passed_over(folder)
    (newest / "more.safetensors").unlink()


def test_a_thousand_flipped_bits_are_noticed(folder: Path, newest: Path) -> None:
    """Half of them anywhere in the checkpoint, half of them spread evenly over its files, the small ones too."""
    generator = np.random.default_rng(0)
    paths = sorted(newest.iterdir())
    sizes = np.array([path.stat().st_size for path in paths])
    chosen = [generator.choice(len(paths), p=sizes / sizes.sum()) for _ in range(FLIPS // 2)]
    chosen += [number % len(paths) for number in range(FLIPS // 2)]
    for number in chosen:
        bit = int(generator.integers(sizes[number] * 8))
        flip(paths[number], bit)
        assert passed_over(folder), f"{paths[number].name}, bit {bit}"
        flip(paths[number], bit)


def flip(path: Path, bit: int) -> None:
    with path.open("r+b") as opened:
        opened.seek(bit // 8)
        held = opened.read(1)[0]
        opened.seek(-1, os.SEEK_CUR)
        opened.write(bytes([held ^ 1 << bit % 8]))


def test_what_is_used_instead_is_whole(folder: Path) -> None:
    flip(checkpoint.place(folder, 2) / "network.safetensors", 12_345)
    found, damaged = checkpoint.newest(folder)
    assert found is not None and found.step == 1 and damaged == ["step-000000002"]
    assert {name: sum(each.numel() for each in group.values()) for name, group in found.tensors.items()} == {
        "network": 9000,
        "optimizer": 18000,
    }
