"""When blocks are repeated: where what they leave for the backward pass takes more than half of the memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelwright.models.sizes import Sizes
from modelwright.training import activations
from modelwright.training.activations import activation_bytes, checkpointing

GPT2 = {"model_type": "gpt2", "n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 64}


def test_bytes_of_a_batch() -> None:
    """2 · n 2 · T 8 · L 3 · (34 · 16 + 5 · 2 · 8) = 96 · 624 = 59,904."""
    assert activation_bytes(Sizes(16, 3, 2, 64), examples=2, tokens=8) == 59_904
    assert activation_bytes(Sizes(0, 0, 0, 0), examples=2, tokens=8) == 0


def test_blocks_are_repeated_where_memory_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three blocks leave 59,904 bytes, of which half of the memory may be taken: all, two thirds, a third, none."""
    (tmp_path / "config.json").write_text(json.dumps(GPT2))
    for free, expected in ((120_000, 0), (119_000, 1), (80_000, 1), (79_000, 2), (40_000, 2), (39_000, 3)):
        monkeypatch.setattr(activations, "worker_bytes", lambda free=free: float(free))
        assert checkpointing(tmp_path, examples=2, tokens=8).value == expected
    assert checkpointing("resnet-small", examples=64, tokens=0).value == 0
