"""Figures of written answers: worked by hand, and against slow definitions."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelwright.data.parts import objects
from modelwright.evaluation import texts
from modelwright.evaluation.compare import compare
from modelwright.evaluation.intervals import interval, wilson
from modelwright.evaluation.judged import judge, judged_from
from modelwright.evaluation.metrics import METRICS, metrics_for, score, weigh
from modelwright.evaluation.report.render import render
from modelwright.evaluation.report.worst import worst_errors
from modelwright.models.predictors import Predictions
from modelwright.records import Column, Dataset, Report, Schema, Seal, plain

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


MODELLED = Schema("language-modeling", "text", (Column("text", "text"),), "bytes")


def modelled() -> tuple[pl.DataFrame, Predictions]:
    """Forty texts of 10 to 49 bytes; each takes 2 bits a byte, but for one of 30 bytes that takes 6."""
    sizes_N = np.arange(10, 50)
    bits_N = np.where(sizes_N == 30, 6.0, 2.0) * sizes_N
    bits_N[0] = 100.0  # ten bytes at 10 bits each: too short to be shown
    frame = pl.DataFrame({"text": ["x" * size for size in sizes_N], "bytes": sizes_N.astype(float)})
    return frame.with_row_index("__position__"), Predictions(values_N=bits_N)


def test_a_language_model_is_judged_over_all_bytes_and_shown_text_by_text() -> None:
    """All bits over all bytes: (2 * 1180 + 4 * 30 + 8 * 10) / 1180, where 1180 = 10 + ... + 49."""
    examples, answers = modelled()
    found = judge("bits_per_byte", MODELLED, examples, answers)
    assert found.metrics["bits_per_byte"].value == pytest.approx((2 * 1180 + 4 * 30 + 8 * 10) / 1180)
    assert sum(size for _, size in found.picture.spread) == 40
    assert judged_from(plain(found)) == found
    first = worst_errors(MODELLED, examples, answers, "bits_per_byte")[0]
    assert (first.position, first.how) == (20, "6.00 bits per byte: 180 bits for 30 bytes")


def test_written_answers_are_shown_with_what_was_right(tmp_path: Path) -> None:
    truth_N = sample(40, 1)
    given_N = truth_N.copy()
    given_N[7] = "something <b>else</b>"
    examples = pl.DataFrame({"q": [f"ask {n}" for n in range(40)], "a": truth_N.tolist()})
    answers = Predictions(texts_N=given_N)
    errors = worst_errors(WRITTEN, examples, answers, "token_f1")
    assert [(each.cells, each.truth, each.answer) for each in errors] == [
        ((("q", "ask 7"),), truth_N[7], "something <b>else</b>")
    ]
    judged = judge("token_f1", WRITTEN, examples, answers, baseline=("constant", Predictions(texts_N=sample(40, 2))))
    assert judged.compared is not None and judged.compared.real
    report = Report("r", "neighbours", "validation", 40, "token_f1", judged.metrics, (), None, {}, judged.compared)
    data = Dataset("d", "", WRITTEN, {"train": 1}, (), {}, (), Seal(1, 0, 20), "a.csv", "0", "80/10/10", 1.0)
    page = render(report, dataset=data, goal=None, picture=judged.picture, errors=errors, to=tmp_path).read_text()
    assert "least in common" in page
    assert "something &lt;b&gt;else&lt;/b&gt;" in page
    assert "From text to text" in page
