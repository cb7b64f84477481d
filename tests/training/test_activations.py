"""When blocks are repeated: where what they leave for the backward pass takes more than half of the memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelwright.training import sharding
from modelwright.training.activations import activation_bytes, checkpointing

SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}


def test_bytes_of_a_batch(tmp_path: Path) -> None:
    """2 · n 2 · T 8 · L 3 · (34 · 16 + 5 · 2 · 8) = 96 · 624 = 59,904."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps(SIZES))
    assert activation_bytes(config, examples=2, tokens=8) == 59_904
    config.write_text(json.dumps({"dim": 16, "n_layers": 3, "n_heads": 2}))  # as DistilBERT calls them
    assert activation_bytes(config, examples=2, tokens=8) == 59_904


def test_blocks_are_repeated_where_memory_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three blocks leave 59,904 bytes, of which half of the memory may be taken: all, two thirds, a third, none."""
    (tmp_path / "config.json").write_text(json.dumps(SIZES))
    for free, expected in ((120_000, 0), (119_000, 1), (80_000, 1), (79_000, 2), (40_000, 2), (39_000, 3)):
        monkeypatch.setattr(sharding, "memory_bytes", lambda free=free: float(free))
        assert checkpointing(tmp_path, examples=2, tokens=8).value == expected
    assert checkpointing("resnet-small", examples=64, tokens=0).value == 0
