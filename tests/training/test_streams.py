"""A tokenizer of one's own, and the stream that a language model learns from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from modelwright.models.vocabulary import END, learn_tokenizer
from modelwright.training.streams import Stream, stream_of

TEXTS = ["the cat sat on the mat", "the dog sat on the log", "naïve café, 東京 🙂\n\ttabs"] * 20


def test_every_text_comes_back_whole(tmp_path: Path) -> None:
    tokenizer = learn_tokenizer(TEXTS, size=300)
    assert len(tokenizer) <= 300
    for text in [*TEXTS[:3], "unseen: Ω≠∞ \r\n  spaces  ", ""]:
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer("the cat sat on the mat")["input_ids"]) < 12
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]
    assert again.eos_token == END and again.pad_token_id is not None
    assert learn_tokenizer(TEXTS, size=300).get_vocab() == tokenizer.get_vocab()


def test_texts_are_ended_and_joined() -> None:
    tokenizer = learn_tokenizer(TEXTS, size=300)
    stream = stream_of(tokenizer, TEXTS[:2], length=4)
    end = tokenizer.eos_token_id
    first, second = (tokenizer(text)["input_ids"] for text in TEXTS[:2])
    assert stream.flat.tolist() == [*first, end, *second, end]


@pytest.mark.parametrize("length", [4, 7, 16])
def test_an_epoch_takes_blocks_once_in_whole_batches_and_targets_are_the_next_tokens(length: int) -> None:
    stream = Stream(np.arange(203, dtype=np.int32), length)
    sizes, offsets = set(), set()
    for epoch in range(6):
        batches = stream.order(batch_size=3, seed=1, epoch=epoch)
        sizes.add(len(batches))
        starts = np.sort(np.concatenate(batches))
        assert (np.diff(starts) % length == 0).all() and len(set(starts.tolist())) == len(stream) // 3 * 3
        assert {len(each) for each in batches} == {3}
        offsets.add(int(starts[0]))
        for each in batches:
            batch = stream.batch(each)
            assert (batch.targets == batch.inputs["input_ids"] + 1).all() and batch.targets.max() < 203
    assert len(sizes) == 1 and len(offsets) > 2
    again = stream.order(batch_size=3, seed=1, epoch=2)
    assert all((a == b).all() for a, b in zip(again, stream.order(batch_size=3, seed=1, epoch=2), strict=True))


def test_a_stream_shorter_than_a_block_is_one_block() -> None:
    stream = Stream(np.arange(9, dtype=np.int32), 64)
    (only,) = stream.order(batch_size=4, seed=0, epoch=0)
    batch = stream.batch(only)
    assert batch.inputs["input_ids"].tolist() == [list(range(8))]
    assert batch.targets.tolist() == [list(range(1, 9))]
