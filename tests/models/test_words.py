"""Words, tags and chains: from spans to tags and back, and the best valid chain."""

from itertools import product

import numpy as np
import polars as pl
import pytest

from modelwright.data.spans import SPANS
from modelwright.models.features.context import features_in, form_of
from modelwright.models.fitting.lexicon import fit_lexicon
from modelwright.models.words import best_paths, places_of, spans_of, tags_of
from modelwright.records import Column, Schema, Span

CLASSES = ("name", "place")
TEXT = "Dr. Anna-Lena sings in São Paulo!"


def test_words_are_letters_and_digits_together_and_signs_alone() -> None:
    words = [TEXT[start:end] for start, end in places_of(TEXT)]
    assert words == ["Dr", ".", "Anna", "-", "Lena", "sings", "in", "São", "Paulo", "!"]
    assert places_of("  ") == []


def test_spans_become_tags_and_come_back() -> None:
    spans = (Span(4, 13, "name"), Span(23, 32, "place"))
    places = places_of(TEXT)
    tags_T = tags_of(places, spans, CLASSES)
    assert tags_T.tolist() == [0, 0, 1, 2, 2, 0, 0, 3, 4, 0]
    assert spans_of(places, tags_T, np.full(10, 0.5), CLASSES) == (spans, (0.5, 0.5))


def test_spans_that_touch_stay_two_and_a_cut_word_belongs_whole() -> None:
    places = places_of("Anna Bo")
    tags_T = tags_of(places, (Span(0, 2, "name"), Span(5, 7, "name")), CLASSES)
    assert tags_T.tolist() == [1, 1]
    assert spans_of(places, tags_T, np.array([0.9, 0.4]), CLASSES)[0] == (Span(0, 4, "name"), Span(5, 7, "name"))


def test_how_sure_a_span_is() -> None:
    """The geometric mean of .9 and .4 is .6."""
    found = spans_of(places_of("Anna Bo"), np.array([1, 2]), np.array([0.9, 0.4]), CLASSES)
    assert found == ((Span(0, 7, "name"),), (pytest.approx(0.6),))


def test_the_best_valid_chain_is_the_best_of_all_valid_ones() -> None:
    """Against every chain of 4 words and 5 tags: 625, of which those with a loose I- do not count."""

    def valid(chain: tuple[int, ...]) -> bool:
        return all(
            tag % 2 or tag == 0 or before in (tag, tag - 1) for before, tag in zip((0, *chain), chain, strict=False)
        )

    generator = np.random.default_rng(0)
    logs = [np.log(generator.dirichlet(np.ones(5), size=4)) for _ in range(20)]
    for log_TK, found_T in zip(logs, best_paths(logs), strict=True):
        chains = [chain for chain in product(range(5), repeat=4) if valid(chain)]
        best = max(chains, key=lambda chain: sum(log_TK[t, tag] for t, tag in enumerate(chain)))
        assert found_T.tolist() == list(best)


def test_a_chain_does_not_depend_on_its_neighbours() -> None:
    generator = np.random.default_rng(1)
    logs = [np.log(generator.dirichlet(np.ones(5), size=length)) for length in (3, 0, 7, 1)]
    together = [each.tolist() for each in best_paths(logs)]
    assert together == [next(best_paths([each])).tolist() for each in logs]
    assert [len(each) for each in together] == [3, 0, 7, 1]


def test_the_form_of_a_word() -> None:
    assert [form_of(word) for word in ("Anna", "USA", "iPhone", "1998", "e-mail", "")] == [
        "Xx",
        "X",
        "xXx",
        "d",
        "x-x",
        "",
    ]
    assert all(len(set(row)) > 10 for row in features_in(TEXT, places_of(TEXT)))


def test_the_lexicon_knows_what_is_mostly_labelled_and_takes_the_longest() -> None:
    """New York is a place 2 of 2 times and York a name 1 of 4; may is a name 1 of 3 times, which is too seldom."""
    texts = ["New York", "in New York", "York", "May may may", "a York"]
    cells = [[(0, 8, "place")], [(3, 11, "place")], [(0, 4, "name")], [(0, 3, "name")], []]
    spans = [[{"start": s, "end": e, "label": label} for s, e, label in each] for each in cells]
    schema = Schema("tagging", "text", (Column("text", "text"),), "label", CLASSES)
    lexicon = fit_lexicon(schema, pl.DataFrame({"text": texts, "label": pl.Series(spans, dtype=SPANS)}), seed=0)
    found = lexicon.predict(pl.DataFrame({"text": ["may I see new  york", "York"]}))
    assert found.array.tolist() == [(Span(10, 19, "place"),), ()]
    assert found.confidences_N.tolist() == [(1.0,), ()] and "1 known phrases" in lexicon.describes
