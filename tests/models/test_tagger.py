"""Tokens that know their words: windows, carriers, and a network that tags."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelwright.models.fitting import tag_head
from modelwright.models.pieces import Pieces, pieces_of
from modelwright.models.predictors import load_predictor, save_predictor
from modelwright.models.predictors.tagger import Reading, Tagger
from modelwright.models.text import Tokens
from modelwright.records import Column, Schema

SCHEMA = Schema("tagging", "text", (Column("text", "text"),), "spans", ("kind", "place"))
TEXTS = ["lost my card please", "help", "", "  the late fee up top rate cash lost card my help please " * 3]


@pytest.fixture(scope="module")
def tagger(tiny_encoder: Path) -> Tagger:
    import torch

    from modelwright.models.networks import pretrained
    from modelwright.models.text import tokenizer_from

    torch.manual_seed(1)
    network = pretrained(tiny_encoder, outputs=5, pooled=False).eval()
    torch.nn.init.normal_(network.head.weight, std=1.0)
    return Tagger(SCHEMA, network, Reading(max_length=16), tokenizer_from(tiny_encoder))


def carried(pieces: Pieces, tokenizer: object, n: int) -> list[str]:
    first = sum(len(each) for each in pieces.places_N[:n])
    ids = pieces.tokens.flat[pieces.carrier_V[first : first + len(pieces.places_N[n])]]
    return tokenizer.convert_ids_to_tokens(ids)  # type: ignore[attr-defined]


def test_every_word_of_a_long_text_is_carried_by_its_own_token(tagger: Tagger) -> None:
    pieces = tagger.prepare(pl.DataFrame({"text": TEXTS}))
    assert len(pieces) == 4 and pieces.owner_W.tolist() == [0, 1, 2, 3, 3, 3, 3]
    for n, text in enumerate(TEXTS):
        assert carried(pieces, tagger.tokenizer, n) == text.split()
    assert max(pieces.tokens.lengths_N) == 16


def test_of_two_windows_the_one_that_shows_more_carries(tagger: Tagger) -> None:
    """14 words fit beside two special tokens; windows share 4. Word 11 stands in the first window 3 tokens from the
    end, in the second 2 from the start; word 12 is 2 from the end and 3 from the start."""
    pieces = pieces_of(tagger.tokenizer, ["card " * 20], length=16, overlap=4)
    assert pieces.carrier_V[11] == 12 and pieces.carrier_V[12] == 16 + 3


def test_targets_stand_once_for_each_word(tagger: Tagger) -> None:
    pieces = tagger.prepare(pl.DataFrame({"text": TEXTS}))
    targets = pieces.targets(np.arange(len(pieces.carrier_V)), nothing=-100)
    assert sorted(targets[targets >= 0]) == list(range(len(pieces.carrier_V)))


def test_taking_texts_takes_their_windows_and_words(tagger: Tagger) -> None:
    pieces = tagger.prepare(pl.DataFrame({"text": TEXTS}))
    taken = pieces.take(np.array([3, 0]))
    assert [carried(taken, tagger.tokenizer, n) for n in (0, 1)] == [TEXTS[3].split(), TEXTS[0].split()]


def test_answers_are_the_same_alone_and_in_a_crowd_and_when_loaded(tagger: Tagger, tmp_path: Path) -> None:
    together = tagger.predict(pl.DataFrame({"text": TEXTS}))
    alone = [tagger.predict(pl.DataFrame({"text": [text]})).array[0] for text in TEXTS]
    assert together.array.tolist() == alone and any(alone) and together.array[2] == ()
    save_predictor(tagger, tmp_path)
    assert load_predictor(tmp_path).predict(pl.DataFrame({"text": TEXTS})).array.tolist() == alone


def test_a_word_that_the_tokenizer_drops_is_outside(tagger: Tagger) -> None:
    pieces = tagger.prepare(pl.DataFrame({"text": ["card lost"]}))
    gone = Pieces(pieces.tokens, pieces.owner_W, pieces.places_N, np.array([pieces.carrier_V[0], -1]))
    assert tagger.outputs(gone).logits_VK[1].argmax() == 0


def test_as_many_texts_are_drawn_for_a_head_as_have_enough_words(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = [3, 0, 5, 1, 4]
    starts = np.append(0, np.cumsum([count + 2 for count in counts]))
    targets = np.full(starts[-1], -100)
    for start, count in zip(starts, counts, strict=False):
        targets[start + 1 : start + 1 + count] = 0
    tokens = Tokens(np.zeros(starts[-1], dtype=np.int32), starts, 0)
    everything, count = tag_head.drawn(tokens, targets, seed=1)
    assert sorted(everything) == [0, 1, 2, 3, 4] and count == 13
    monkeypatch.setattr(tag_head, "ENOUGH", 6)
    some, count = tag_head.drawn(tokens, targets, seed=1)
    assert some.tolist() == everything[: len(some)].tolist()
    assert count == sum(counts[n] for n in some) >= 6 > count - counts[some[-1]]
