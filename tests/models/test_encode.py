"""What the frozen encoder has read is remembered, by content."""

from pathlib import Path

import numpy as np
import pytest

from modelwright.models import encode
from modelwright.models.networks import pretrained
from modelwright.models.text import Tokens, tokenize, tokenizer_from


@pytest.fixture(autouse=True)
def nothing_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "_READ", {})


def tokens(folder: Path, count: int = 100) -> Tokens:
    said = ["card lost help please"[: 4 + number % 17] for number in range(count)]
    return tokenize(tokenizer_from(folder), said, max_length=encode.MAX_TOKENS)


def test_a_second_reading_costs_nothing_and_gives_the_same(tiny_encoder: Path) -> None:
    network, inputs = pretrained(tiny_encoder, outputs=2), tokens(tiny_encoder)
    ticks: list[int] = []
    first = encode.frozen_features(network, inputs, precision="fp32", tick=ticks.append)
    assert ticks[-1] == 100
    ticks.clear()
    again = encode.frozen_features(pretrained(tiny_encoder, outputs=3), inputs, precision="fp32", tick=ticks.append)
    assert not ticks
    assert (first == again).all()
    assert encode.has_read(100)
    again.zero_()
    assert (encode.frozen_features(network, inputs, precision="fp32") == first).all()


def test_what_was_read_by_other_weights_or_of_other_texts_is_not_taken(tiny_encoder: Path) -> None:
    import torch

    network, inputs = pretrained(tiny_encoder, outputs=2), tokens(tiny_encoder)
    encode.frozen_features(network, inputs, precision="fp32")
    assert encode.is_remembered(network, inputs, precision="fp32")
    assert not encode.is_remembered(network, inputs, precision="bf16")
    assert not encode.is_remembered(network, inputs.take(np.arange(99)), precision="fp32")
    with torch.no_grad():
        next(network.encoder.parameters()).add_(1e-3)
    assert not encode.is_remembered(network, inputs, precision="fp32")


def test_the_memory_is_bounded(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "REMEMBERED_BYTES", 250 * 32 * 4)
    network = pretrained(tiny_encoder, outputs=2)
    for count in (100, 101, 102):
        encode.frozen_features(network, tokens(tiny_encoder, count), precision="fp32")
    assert [encode.has_read(count) for count in (100, 101, 102)] == [False, True, True]
    encode.frozen_features(network, tokens(tiny_encoder, 20), precision="fp32")
    assert not encode.has_read(20)


def test_features_do_not_depend_on_the_batch(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, inputs = pretrained(tiny_encoder, outputs=2), tokens(tiny_encoder)
    together = encode.frozen_features(network, inputs, precision="fp32")
    monkeypatch.setattr(encode, "_READ", {})
    monkeypatch.setattr(encode, "BATCH", 7)
    apart = encode.frozen_features(network, inputs, precision="fp32")
    np.testing.assert_allclose(together, apart, atol=1e-5)
