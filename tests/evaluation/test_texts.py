"""Figures of written answers: worked by hand, and against slow definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from modelwright.data.parts import objects
from modelwright.evaluation import texts
from modelwright.evaluation.compare import compare
from modelwright.evaluation.intervals import interval, wilson
from modelwright.evaluation.metrics import METRICS, metrics_for, score, weigh
from modelwright.models.predictors import Predictions
from modelwright.records import Column, Schema

WRITTEN = Schema("generation", "text", (Column("q", "text"),), "a")
WORDS = ["the", "cat", "sat", "on", "a", "mat", "18", "dogs"]

CASES = {
    # Right: the cat sat on the mat (6 words). Given: the mat sat on a cat (6). Shared: the mat sat on cat, 5.
    "token_f1": ("The cat sat on the mat.", "the mat sat on a cat", 2 * 5 / 12),
    # The longest in the order of both is "the sat on": 3 of 6 and of 6.
    "rouge_l": ("The cat sat on the mat.", "the mat sat on a cat", 2 * 3 / 12),
    # ab against abc. Runs of 1: 2 shared of 2 and 3; of 2: 1 of 1 and 2; of 3: 0 of 0 and 1.
    # P = (2/3 + 1/2 + 0) / 3 = .38889, R = (1 + 1 + 0) / 3 = .66667; F = 5 P R / (4 P + R).
    "chrf": ("ab", "abc", 5 * (7 / 18) * (2 / 3) / (4 * (7 / 18) + 2 / 3)),
    "exact_match": ("Two  words", " two words", 1.0),
    "number_match": ("so 1,018 in all\n#### 1,018", "It is 1018.0", 1.0),
}


def sample(count: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return objects(" ".join(generator.choice(WORDS, generator.integers(1, 9))) for _ in range(count))


def test_every_figure_of_texts_is_worked_by_hand() -> None:
    assert set(CASES) == {name for name, row in METRICS.items() if row.reads == "texts"} == set(metrics_for(WRITTEN))


@pytest.mark.parametrize("name", CASES)
def test_worked_by_hand(name: str) -> None:
    truth, answer, expected = CASES[name]
    assert METRICS[name].function(truth, answer) == pytest.approx(expected, abs=1e-12)
    assert score(name, WRITTEN, objects([truth]), Predictions(texts_N=objects([answer]))) == pytest.approx(expected)


@pytest.mark.parametrize("name", CASES)
def test_perfect_is_best_and_order_says_nothing(name: str) -> None:
    truth_N, given_N = sample(60, 1), sample(60, 2)
    assert score(name, WRITTEN, truth_N, Predictions(texts_N=truth_N)) == 1
    value = score(name, WRITTEN, truth_N, Predictions(texts_N=given_N))
    assert 0 < value < 1
    order_N = np.random.default_rng(3).permutation(60)
    assert score(name, WRITTEN, truth_N[order_N], Predictions(texts_N=given_N[order_N])) == pytest.approx(value)
    again = weigh(METRICS[name], WRITTEN, truth_N, Predictions(texts_N=given_N), np.eye(60)[:2])
    assert again.tolist() == [METRICS[name].function(truth_N[n], given_N[n]) for n in (0, 1)]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    ("truth", "answer", "expected"), [("", "", 1), ("yes", "", 0), ("...", "...", 1), ("!", "?", 0)]
)
def test_texts_without_words(name: str, truth: str, answer: str, expected: int) -> None:
    if name == "number_match":
        expected = 1  # no number in either
    assert METRICS[name].function(truth, answer) == expected


@pytest.mark.parametrize(
    ("truth", "answer", "same"),
    [
        ("#### 18", "the answer is 18", True),
        ("#### 18", "18 ducks, no: 17", False),
        ("#### -3", "\u22123", True),
        ("#### 0.5", ".5", True),
        ("#### 18", "eighteen", False),
    ],
)
def test_the_last_number_counts(truth: str, answer: str, same: bool) -> None:
    assert texts.number_match(truth, answer) == same


def test_signs_of_scripts_without_spaces_are_words() -> None:
    """Two of three signs are shared: 2 * 2 / 6."""
    assert texts.token_f1("東京都", "東京市") == pytest.approx(2 / 3)


def test_the_longest_common_subsequence_is_that_of_the_table() -> None:
    """Against the usual table of lengths, of texts of up to 70 words: more than fit one machine word."""

    def slow(one: list[str], other: list[str]) -> int:
        lengths = np.zeros((len(one) + 1, len(other) + 1), dtype=int)
        for i, a in enumerate(one):
            for j, b in enumerate(other):
                lengths[i + 1, j + 1] = lengths[i, j] + 1 if a == b else max(lengths[i, j + 1], lengths[i + 1, j])
        return int(lengths[-1, -1])

    generator = np.random.default_rng(4)
    for _ in range(20):
        one, other = (generator.choice(list("abcdef"), generator.integers(1, 71)).tolist() for _ in range(2))
        found = texts.rouge_l(" ".join(one), " ".join(other))
        assert found == pytest.approx(2 * slow(one, other) / (len(one) + len(other)))


def test_even_all_right_and_all_wrong_have_an_interval() -> None:
    truth_N = sample(50, 1)
    perfect = interval("token_f1", WRITTEN, truth_N, Predictions(texts_N=truth_N))
    assert (perfect.low, perfect.high) == pytest.approx(wilson(50, 50))
    wrong = interval("exact_match", WRITTEN, truth_N, Predictions(texts_N=objects(["nothing"] * 50)))
    assert (wrong.low, wrong.high) == pytest.approx(wilson(0, 50))


def test_a_gain_in_words_is_told_from_luck() -> None:
    truth_N, given_N = sample(200, 1), sample(200, 2)
    better = objects(t if n % 3 else g for n, (t, g) in enumerate(zip(truth_N.tolist(), given_N.tolist(), strict=True)))
    found = compare("rouge_l", WRITTEN, truth_N, Predictions(texts_N=better), Predictions(texts_N=given_N), to="before")
    assert found.real
    assert math.isclose(
        found.difference,
        score("rouge_l", WRITTEN, truth_N, Predictions(texts_N=better))
        - score("rouge_l", WRITTEN, truth_N, Predictions(texts_N=given_N)),
    )
