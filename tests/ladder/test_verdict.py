from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from modelwright.evaluation.intervals import interval
from modelwright.evaluation.metrics import metrics_for, score
from modelwright.ladder.verdict import Standing, decide
from modelwright.models.predictors import Predictions
from modelwright.problem import Constraints
from modelwright.records import Column, Dataset, Latency, RungScore, Schema, Seal

SCHEMA = Schema("classification", "table", (Column("a", "number"),), "y", ("no", "yes"), "yes")
COUNT = 400
TRUTH_N = np.arange(COUNT) % 2


def dataset(train: int = 1000, ceiling: float | None = None) -> Dataset:
    parts = {"train": train, "validation": COUNT, "test": 0}
    seal = Seal(0, 0, 20)
    return Dataset("d", "", SCHEMA, parts, SCHEMA.classes, {}, (), seal, "", "", "", 0.0, label_ceiling=ceiling)


def standing(name: str, wrong: int, *, first: int = 0, milliseconds: float = 1.0) -> Standing:
    """A rung that errs on `wrong` examples from `first` on."""
    given_N = TRUTH_N.copy()
    given_N[first : first + wrong] = 1 - given_N[first : first + wrong]
    probabilities_NC = np.where(np.arange(2)[None, :] == given_N[:, None], 0.9, 0.1)
    answers = Predictions(probabilities_NC)
    rung = RungScore(
        name,
        "classical",
        interval("accuracy", SCHEMA, TRUTH_N, answers),
        Latency(milliseconds, milliseconds),
        milliseconds / 100,
        1.0,
        metrics={each: score(each, SCHEMA, TRUTH_N, answers) for each in metrics_for(SCHEMA)},
    )
    return Standing(rung, answers)


def decided(standings: list[Standing], goal: float | None = None, given: Dataset | None = None, **limits: float):
    return decide(given or dataset(), TRUTH_N, standings, "accuracy", goal, Constraints(**limits), seed=0)


def test_stops_at_the_simplest_rung_that_meets_the_goal() -> None:
    rungs = [standing("constant", 200), standing("rule", 30), standing("linear", 10)]
    decision, chosen, reason = decided(rungs, goal=0.9)
    assert (decision, chosen) == ("stop", "rule")
    assert "accuracy 0.925" in reason and "goal of 0.9" in reason


def test_says_whether_the_goal_is_surely_met() -> None:
    """Of 400, 30 errors are .925 with a Wilson interval [.895, .947]: .85 lies below all of it, .9 within."""
    assert "surely" in decided([standing("rule", 30)], goal=0.85)[2]
    assert "likely" in decided([standing("rule", 30)], goal=0.9)[2]


def test_trains_where_the_goal_is_not_met_and_says_what_is_missing() -> None:
    """The best errs on 40 of 400, .900: .05 short of .95."""
    decision, chosen, reason = decided([standing("constant", 200), standing("linear", 40)], goal=0.95)
    assert (decision, chosen) == ("train", "linear")
    assert "0.050 short of the goal of 0.95" in reason


def test_a_rung_that_breaks_a_limit_does_not_meet_the_goal() -> None:
    slow = standing("neighbours", 10, milliseconds=80)
    rungs = [standing("constant", 200), standing("rule", 100), slow]
    assert decided(rungs, goal=0.9, latency_ms=100)[:2] == ("stop", "neighbours")
    assert decided(rungs, goal=0.9, latency_ms=50)[:2] == ("train", "rule")
    assert decided(rungs, goal=0.9, cost_per_1000=0.5)[:2] == ("train", "rule")
    decision, _, reason = decided([slow], goal=0.9, latency_ms=50)
    assert decision == "train" and "takes 80 ms, over the limit of 50" in reason


def test_a_rung_that_errs_too_often_does_not_meet_the_goal() -> None:
    decision, _, reason = decided([standing("linear", 30)], goal=0.9, error_rate=0.05)
    assert decision == "train" and "errs in 7.5%, over the limit of 5.0%" in reason


def test_the_simplest_within_one_standard_error_of_the_best_is_chosen() -> None:
    """linear errs on 0-19 and trees on 2-19: they differ on two examples, all for trees: difference 2/400 = .005,
    its standard error sqrt(.005 - .005²) / 20 = .0035; so linear is behind by more than one. Where each errs on 20
    of its own, the difference is 0 and the simpler is chosen.
    """
    assert decided([standing("linear", 20), standing("trees", 18, first=2)])[1] == "trees"
    assert decided([standing("linear", 20), standing("trees", 20, first=100)])[1] == "linear"


def test_trains_without_a_goal() -> None:
    decision, _, reason = decided([standing("linear", 40)])
    assert decision == "train" and "no goal is set" in reason


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_stops_where_nothing_could_be_shown_to_be_better(wrong: int) -> None:
    decision, _, reason = decided([standing("constant", 200), standing("linear", wrong)])
    assert decision == "stop" and f"leaves {wrong} errors in 400" in reason


def written(metric: str, wrong: int, given: str = "no") -> tuple[str, str, str]:
    """What is decided of a model that writes the right text, of two words, to 100 prompts but for `wrong`."""
    schema = Schema("generation", "text", (Column("ask", "text"),), "say")
    truth_N = np.array(["yes yes"] * 100, dtype=object)
    texts_N = truth_N.copy()
    texts_N[:wrong] = given
    answers = Predictions(texts_N=texts_N)
    figures = {each: score(each, schema, truth_N, answers) for each in metrics_for(schema)}
    rung = RungScore(
        "prompt", "language", interval(metric, schema, truth_N, answers), Latency(1, 1), 0.01, 1.0, metrics=figures
    )
    standings = [Standing(rung, answers)]
    return decide(replace(dataset(), schema=schema), truth_N, standings, metric, None, Constraints(), seed=0)


def test_stops_where_all_that_is_written_is_right() -> None:
    """Of 100 answers to the letter 2 errors are within noise, 6 are not."""
    for metric in ("exact_match", "token_f1", "chrf"):
        decision, chosen, reason = written(metric, 0)
        assert (decision, chosen) == ("stop", "prompt"), reason
        assert f"({metric} 1.000 [" in reason and "nothing could be shown to be better" in reason
    assert written("exact_match", 2)[0] == "stop" and "leaves 2 errors in 100" in written("exact_match", 2)[2]
    assert written("exact_match", 6)[0] == "train"


def test_a_figure_of_words_that_is_nearly_perfect_leaves_nothing_to_train_for() -> None:
    """An answer of a word too many shares 2 words of 3 with 2 of 2: its F1 is .8; one of 100 makes .998, five .99."""
    assert written("token_f1", 1, "yes yes no")[0] == "stop"
    assert written("token_f1", 5, "yes yes no")[0] == "train"


def test_an_error_that_is_nought_cannot_be_beaten() -> None:
    schema = Schema("regression", "table", (Column("a", "number"),), "y")
    truth_N = np.ones(100)
    answers = Predictions(values_N=truth_N.copy())
    figures = {each: score(each, schema, truth_N, answers) for each in ("mae", "rmse")}
    rung = RungScore(
        "constant", "constant", interval("mae", schema, truth_N, answers), Latency(1, 1), 0.01, 1.0, metrics=figures
    )
    given = replace(dataset(), schema=schema)
    assert decide(given, truth_N, [Standing(rung, answers)], "mae", None, Constraints(), seed=0)[0] == "stop"


def test_stops_at_the_ceiling_of_the_labels() -> None:
    given = dataset(ceiling=0.9)
    assert decided([standing("linear", 40)], given=given)[0] == "stop"
    assert decided([standing("linear", 41)], given=given)[0] == "train"


def test_stops_where_there_is_too_little_to_train_on() -> None:
    decision, _, reason = decided([standing("linear", 40)], given=dataset(train=40))
    assert decision == "stop" and "40 training examples" in reason


def test_lower_is_better_where_the_metric_says_so() -> None:
    better, worse = standing("linear", 20), standing("constant", 200)
    rungs = [
        Standing(replace(each.rung, score=interval("log_loss", SCHEMA, TRUTH_N, each.answers)), each.answers)
        for each in (worse, better)
    ]
    decision, chosen, _ = decide(dataset(), TRUTH_N, rungs, "log_loss", 0.3, Constraints(), seed=0)
    assert (decision, chosen) == ("stop", "linear")
    assert decide(dataset(), TRUTH_N, rungs, "log_loss", 0.1, Constraints(), seed=0)[0] == "train"


def test_rungs_that_answered_fewer_are_compared_on_what_both_answered() -> None:
    """The prompt was asked the first 100 alone, and errs on 10 of them; linear errs on 5 of these and on 40 after them.

    By their figures linear, .8875, is behind .9; on the 100 it is ahead, so it is within noise and simpler.
    """
    linear, prompt = standing("linear", 45, first=95), standing("prompt", 10)
    answers = prompt.answers.take(slice(0, 100))
    figure = interval("accuracy", SCHEMA, TRUTH_N[:100], answers)
    assert figure.value == pytest.approx(0.9)
    prompt = Standing(replace(prompt.rung, score=figure), answers)
    assert decided([standing("constant", 200), linear, prompt])[:2] == ("train", "linear")
