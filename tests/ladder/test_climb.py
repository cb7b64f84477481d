from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelwright.data.parts import read_part, targets_N
from modelwright.errors import RefusedError
from modelwright.evaluation.metrics import score
from modelwright.ladder import climb as room
from modelwright.ladder.climb import climb
from modelwright.ladder.rungs import RUNGS
from modelwright.models.predictors import load_predictor
from modelwright.models.predictors.out_of_sample import load_out_of_sample
from modelwright.problem import Constraints
from modelwright.records import POSITION, Dataset, Progress, Verdict

Make = Callable[..., Dataset]


def climbed(dataset: Dataset, folder: Path, **options: Any) -> Verdict:
    metric = "accuracy" if dataset.schema.task == "classification" else "r2"
    settings = {"goal": None, "constraints": Constraints(), "seed": 0, "budget_seconds": 60.0, "metric": metric}
    return climb(dataset, folder=folder, **{**settings, **options})


MADE_FOR_CLASSES = [name for name in RUNGS if "classification" in RUNGS[name].tasks]


def test_every_rung_is_measured_or_says_why_not(made: Make, tmp_path: Path) -> None:
    told: list[Progress] = []
    verdict = climbed(made(), tmp_path / "ladder", progress=told.append)
    assert [rung.name for rung in verdict.rungs] == [*MADE_FOR_CLASSES, "prompt", "few_shot", "rag"]
    for rung in verdict.rungs:
        assert (rung.score is None) == (rung.skipped is not None)
        if rung.score is not None:
            assert rung.score.low is not None and rung.score.low <= rung.score.value <= rung.score.high
            assert rung.latency_ms.p50 > 0 and rung.cost_per_1000 > 0 and rung.fit_seconds > 0 and rung.describes
            assert {"accuracy", "macro_f1", "log_loss"} <= set(rung.metrics)
    assert verdict.scored_on == "40 validation examples and, out of fold (5 folds), 120 train examples"
    assert [each.what for each in told] == [*MADE_FOR_CLASSES, "deciding"]
    linear = next(rung for rung in verdict.rungs if rung.name == "linear")
    assert linear.score.value > 0.9


def test_the_score_is_that_of_the_kept_answers(made: Make, tmp_path: Path) -> None:
    dataset = made()
    verdict = climbed(dataset, tmp_path / "ladder")
    rung = next(each for each in verdict.rungs if each.name == "rule")
    positions_N, answers = load_out_of_sample(Path(rung.path))
    assert sorted(positions_N) == list(range(160))
    truths = {}
    for part in ("train", "validation"):
        examples = read_part(dataset, part)
        truths |= dict(zip(examples[POSITION].to_list(), targets_N(dataset.schema, examples), strict=True))
    truth_N = np.array([truths[place] for place in positions_N])
    assert score("accuracy", dataset.schema, truth_N, answers) == pytest.approx(rung.score.value)
    validation = read_part(dataset, "validation")
    loaded = load_predictor(Path(rung.path)).predict(validation)
    np.testing.assert_array_equal(loaded.probabilities_NC, answers.probabilities_NC[:40])


def test_a_killed_climb_goes_on_with_what_is_finished(
    made: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, folder = made(), tmp_path / "ladder"
    fitted: list[str] = []
    real = room._fitted

    def killed_at_neighbours(ground: Any, name: str, rung: Any, to: Path) -> Any:
        fitted.append(name)
        if name == "neighbours":
            raise KeyboardInterrupt
        return real(ground, name, rung, to)

    monkeypatch.setattr(room, "_fitted", killed_at_neighbours)
    with pytest.raises(KeyboardInterrupt):
        climbed(dataset, folder)
    assert fitted == ["constant", "rule", "linear", "neighbours"]
    fitted.clear()
    monkeypatch.setattr(room, "_fitted", lambda *given: (fitted.append(given[1]), real(*given))[1])
    verdict = climbed(dataset, folder)
    assert fitted == ["neighbours", "trees"]
    fitted.clear()
    assert climbed(dataset, folder) == verdict and fitted == []
    climbed(dataset, folder, seed=1)
    assert "linear" in fitted, "another seed is another climb"


def test_a_damaged_score_file_is_measured_again(made: Make, tmp_path: Path) -> None:
    dataset = made()
    climbed(dataset, tmp_path / "ladder")
    (tmp_path / "ladder" / "rule" / "score.json").write_text('{"key": "abc', encoding="utf-8")
    climbed(dataset, tmp_path / "ladder")
    assert "score" in json.loads((tmp_path / "ladder" / "rule" / "score.json").read_text(encoding="utf-8"))


def test_without_time_only_what_all_are_measured_against_is_fitted(made: Make, tmp_path: Path) -> None:
    verdict = climbed(made(), tmp_path / "ladder", budget_seconds=0.0)
    measured = [rung.name for rung in verdict.rungs if rung.score is not None]
    assert measured == ["constant", "rule"]
    linear = next(rung for rung in verdict.rungs if rung.name == "linear")
    assert "are left" in (linear.skipped or "")


def test_a_rung_that_fails_is_named_and_the_others_stand(
    made: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = room._fitted

    def broken(ground: Any, name: str, rung: Any, to: Path) -> Any:
        if name == "trees":
            raise RuntimeError("out of luck")
        return real(ground, name, rung, to)

    monkeypatch.setattr(room, "_fitted", broken)
    verdict = climbed(made(), tmp_path / "ladder")
    trees = next(rung for rung in verdict.rungs if rung.name == "trees")
    assert trees.skipped == "failed: RuntimeError: out of luck"
    assert verdict.chosen in ("rule", "linear", "neighbours")


def test_where_every_rung_fails_it_says_how_each_did(
    made: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(ground: Any, name: str, rung: Any, to: Path) -> Any:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(room, "_fitted", broken)
    with pytest.raises(RefusedError) as refused:
        climbed(made(), tmp_path / "ladder")
    said = str(refused.value)
    assert said.startswith("ladder: no rung could be scored by accuracy (constant: failed: RuntimeError: out of luck;")
    assert "expected one that can on 40 validation examples" in said
    assert said.endswith("see the log for where the rungs failed")


def test_a_metric_that_has_no_value_here_is_said_to_have_none(made: Make, tmp_path: Path) -> None:
    """The area is a share of pairs of examples of unlike classes, and all are of one here: 0 of 0 pairs."""
    dataset = made(split="80/20 by time (day)")
    for part in ("train", "validation"):
        path = Path(dataset.path) / f"{part}.parquet"
        pl.read_parquet(path).with_columns(big=pl.lit("no")).write_parquet(path)
    with pytest.raises(RefusedError, match=r"constant: its roc_auc is no number.*name another metric"):
        climbed(dataset, tmp_path / "ladder", metric="roc_auc")


def test_a_split_by_time_or_by_groups_is_scored_on_validation_alone(made: Make, tmp_path: Path) -> None:
    verdict = climbed(made(split="80/10/10 by time (day)"), tmp_path / "ladder", budget_seconds=0.0)
    assert verdict.scored_on == "40 validation examples"


def test_values_are_climbed_too(made: Make, tmp_path: Path) -> None:
    """value = 3 size + 4 red + noise of deviation 0.5: variance 9 + 4 + 0.25, so R² can reach about 0.98."""
    verdict = climbed(made("regression"), tmp_path / "ladder")
    linear = next(rung for rung in verdict.rungs if rung.name == "linear")
    assert 0.95 < linear.score.value < 1
    assert verdict.decision == "train" and verdict.chosen == "linear"
