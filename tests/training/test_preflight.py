"""Before a run: what is shown, what is refused, and that the weights that train are untouched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelwright.data.parts import read_part
from modelwright.errors import RefusedError
from modelwright.models.text import Tokens
from modelwright.problem import Problem
from modelwright.records import Dataset
from modelwright.training import preflight as before
from modelwright.training.job import Inputs
from modelwright.training.plan import plan
from modelwright.training.preflight import marked


def planned(dataset: Dataset, problem: Problem, folder: Path, **training: object):
    asked = problem.model_copy(update={"training": problem.training.model_copy(update=training)})
    return plan(dataset, asked, folder=folder, metric="accuracy", budget_seconds=600)


def test_what_carries_loss_is_marked() -> None:
    """A question of two tokens and an answer of two: the answer alone is learnt."""
    names = {1: "Why", 2: "?", 3: " Because", 4: "."}
    assert marked([1, 2, 3, 4], [False, False, True, True], lambda ids: "".join(names[i] for i in ids)) == (
        "Why?« Because.»"
    )


def test_a_plan_shows_what_the_network_sees(text_dataset: Dataset, problem: Problem, tmp_path: Path) -> None:
    seen = planned(text_dataset, problem, tmp_path).preflight
    train = read_part(text_dataset, "train")
    assert sum(seen.labels.values()) == 180 and set(seen.labels) == {"class 0", "class 1", "class 2"}
    texts = dict(zip(train["text"], train["label"], strict=True))
    for each in seen.shown:
        words = each.text.removeprefix("[CLS] ").removesuffix(" [SEP]")
        assert each.text.startswith("[CLS]") and each.label == f"«{texts[words]}»"
    assert seen.examples_cut == 0
    assert seen.last_loss < 0.2 * seen.first_loss


def test_texts_that_are_cut_are_counted(text_dataset: Dataset, problem: Problem, tmp_path: Path) -> None:
    """The encoder reads 64 tokens, 62 words: nine texts of 82 words lose 20 each."""
    path = Path(text_dataset.path) / "train.parquet"
    frame = pl.read_parquet(path)
    long = pl.int_range(pl.len()) < 9
    frame.with_columns(
        text=pl.when(long).then(pl.lit(" ".join(["card"] * 82))).otherwise(pl.col("text"))
    ).write_parquet(path)
    seen = planned(text_dataset, problem, tmp_path).preflight
    assert (seen.examples_cut, seen.tokens_cut) == (9, 20)


def test_a_rate_that_diverges_is_refused_if_asked_for_and_lowered_if_not(
    text_dataset: Dataset, problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RefusedError, match="learning rate of 30 diverges"):
        planned(text_dataset, problem, tmp_path, learning_rate=30.0)
    real = before._losses

    def wild(job, rate, *given, **named):
        return [1.0, 5.0, 9.0] if rate > 2e-5 and "enough" not in named else real(job, rate, *given, **named)

    monkeypatch.setattr(before, "_losses", wild)
    made = planned(text_dataset, problem, tmp_path, learning_rate="auto")
    assert made.settings["learning_rate"].value == pytest.approx(5e-5 / 3)
    assert "diverged" in made.settings["learning_rate"].origin


def test_a_network_that_cannot_learn_is_refused(
    text_dataset: Dataset, problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(before, "RATES", (0.0,))
    with pytest.raises(RefusedError, match="cannot learn even 8 examples by heart"):
        planned(text_dataset, problem, tmp_path)


def test_few_examples_are_of_many_classes(text_dataset: Dataset, problem: Problem, tmp_path: Path) -> None:
    from types import SimpleNamespace

    features = Tokens(np.zeros(780, dtype=np.int32), np.cumsum(np.arange(41)) - np.arange(41), 0)
    targets_N = np.array([0] * 20 + [1] * 15 + [2] * 5)
    few = before._few(SimpleNamespace(train=Inputs(features, targets_N, targets_N)))
    assert len(few) == 8 == len(set(few.tolist())) and set(targets_N[few]) == {0, 1, 2}
