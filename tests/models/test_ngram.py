"""N-grams: chances that add up to one, counts worked by hand, and texts that go on."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelwright.errors import IntegrityError
from modelwright.models.fitting import ngram as fitting
from modelwright.models.fitting.ngram import fit_frequencies, fit_ngram
from modelwright.models.ngrams import END, SYMBOLS, bits_N, counted, depths, next_chances, smoothed, stream
from modelwright.models.predictors import COMPLETERS, completer_of, load_predictor, save_predictor
from modelwright.models.predictors.constant import Constant
from modelwright.models.predictors.ngram import NGram
from modelwright.records import Column, Schema

SHARED = Path(os.environ.get("MODELWRIGHT_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
SCHEMA = Schema("language-modeling", "text", (Column("text", "text"),), "bytes")
TEXTS = ["banana", "bandana", "ananas", "", "zoë", "nab"] * 3 + ["cab", "can"]


def frame(texts: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"text": texts})


def test_a_stream_and_how_deep_it_is() -> None:
    """END a b END END c END: nothing is known before the first, then a text's own symbols and the END before it."""
    found = stream(["ab", "", "c"])
    assert found.tolist() == [END, 97, 98, END, END, 99, END]
    assert depths(found).tolist() == [0, 1, 2, 3, 1, 1, 2]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("before", [[END], [END, *b"ban"], list(b"nan"), [END, *b"never"], list("ë".encode()), []])
def test_the_chances_of_all_symbols_add_up_to_one(order: int, before: list[int]) -> None:
    levels = smoothed(counted(stream(TEXTS), order))
    found = next_chances(levels, before)
    assert found.shape == (SYMBOLS,)
    assert found.min() > 0
    assert found.sum() == pytest.approx(1, abs=1e-12)


def test_the_bits_of_a_text_are_those_of_its_symbols_one_by_one() -> None:
    levels = smoothed(counted(stream(TEXTS), 4))
    for text in ("banana", "zany ë", ""):
        symbols = stream([text]).tolist()
        chances = [next_chances(levels, symbols[:n])[symbols[n]] for n in range(1, len(symbols))]
        assert bits_N(levels, [text, "nab"])[0] == pytest.approx(-np.log2(chances).sum())


def test_smoothing_worked_by_hand() -> None:
    """Texts "ab" and "ac": bigrams (END a) 2, (a b) 1, (a c) 1, (b END) 1, (c END) 1.

    Of the five, n1 = 4, n2 = 1, n3 and n4 = 0, which count as 1: Y = 4 / 6, D1 = 1 - 2 * 2/3 * 1/4 = 2/3. After a,
    both b and c keep (1 - 2/3) / 2 = 1/6, and 2 * 2/3 / 2 = 2/3 goes to the unigrams. These count different symbols
    before: a 1 (END), b 1, c 1, END 2 (b, c); n1 = 3, n2 = 1: Y = 3/5, D1 = 1 - 2 * 3/5 * 1/3 = 3/5, and for a count of
    2 D2 = 2 - 3 * 3/5 * 1/1 = 1/5. Of 5, b keeps (1 - 3/5) / 5 = 2/25; (3 * 3/5 + 1/5) / 5 = 2/5 is spread over 257.
    """
    levels = smoothed(counted(stream(["ab", "ac"]), 2))
    assert levels[1].discounts[1] == pytest.approx(2 / 3)
    assert levels[0].discounts[1:3].tolist() == pytest.approx([3 / 5, 1 / 5])
    unigram = 2 / 25 + 2 / 5 / SYMBOLS
    assert next_chances(levels, [END, 97])[98] == pytest.approx(1 / 6 + 2 / 3 * unigram)


def test_frequencies_are_those_of_the_bytes() -> None:
    """With one level there is nothing below to smooth but the same chance for all; commoner bytes stay commoner."""
    levels = counted(stream(TEXTS), 1)
    counts = Counter(stream(TEXTS)[1:].tolist())
    found = next_chances(levels, [])
    ranked = sorted(counts, key=lambda symbol: counts[symbol])
    assert sorted(ranked, key=lambda symbol: found[symbol]) == sorted(ranked, key=lambda symbol: counts[symbol])
    assert fit_frequencies(SCHEMA, frame(TEXTS), seed=0).describes == "bytes at their frequencies"


def test_the_order_is_the_one_that_held_out_texts_ask_for() -> None:
    """Each letter follows from the one before, so looking at one is enough and at none far too little."""
    generator = np.random.default_rng(0)
    chain = {"a": "b", "b": "c", "c": "a"}
    texts = []
    for _ in range(200):
        text = str(generator.choice(list("abc")))
        while generator.random() < 0.9:
            text += chain[text[-1]]
        texts.append(text)
    found = fit_ngram(SCHEMA, frame(texts), seed=0)
    assert found.describes.startswith(("the byte before", "the 2 bytes before"))


def test_a_large_train_is_sampled_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "LEARNT_BYTES", 60)
    found = fit_ngram(SCHEMA, frame(TEXTS), seed=0, order=2)
    assert "% of train" in found.describes
    assert found.predict(frame(["banana"])).values_N is not None


def test_saving_changes_nothing(tmp_path: Path) -> None:
    model = fit_ngram(SCHEMA, frame(TEXTS), seed=0, order=4)
    save_predictor(model, tmp_path)
    loaded = load_predictor(tmp_path)
    asked = frame(["banana", "zebra", "", "ë"])
    assert loaded.predict(asked).array.tolist() == model.predict(asked).array.tolist()
    (tmp_path / "ngram.json").write_text("{}")
    with pytest.raises(IntegrityError):
        load_predictor(tmp_path)


def test_a_text_goes_on_as_it_was_learnt() -> None:
    model = completer_of(fit_ngram(SCHEMA, frame(["one two three four"] * 30), seed=0, order=6))
    assert model is not None
    assert model.complete(["one two"], max_tokens=50, temperature=0, seed=0) == [" three four"]
    assert model.complete(["one two"], max_tokens=6, temperature=0, seed=0) == [" three"]
    assert model.complete(["x"], max_tokens=0, temperature=1, seed=0) == [""]


def test_drawing_repeats_itself_by_its_seed_and_keeps_characters_whole() -> None:
    model = fit_ngram(SCHEMA, frame(["zoë – naïve €", "ëëë", "日本語"] * 9), seed=0, order=3)
    once, again, other = (model.complete(["", "z"], max_tokens=40, temperature=2, seed=seed) for seed in (1, 1, 2))
    assert once == again != other
    many = model.complete([""] * 40, max_tokens=31, temperature=3, seed=5)
    assert not any("\ufffd" in text for text in many)


def test_only_what_is_listed_completes() -> None:
    assert NGram.kind in COMPLETERS
    assert completer_of(Constant(Schema("generation", "text", (), "a"), "yes")) is None


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data is not here")
def test_tinyshakespeare_takes_no_more_than_published() -> None:
    """Witten-Bell 5-grams of characters, first 90% against last 10%, take 1.669 nats or 2.408 bits a character."""
    text = (SHARED / "lm" / "tinyshakespeare.txt").read_text()
    cut = int(len(text) * 0.9)
    model = fit_ngram(SCHEMA, frame([text[:cut]]), seed=0, order=7)
    found = model.predict(frame([text[cut:]])).array
    assert found[0] / len(text[cut:]) < 2.20
