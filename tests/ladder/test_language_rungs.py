"""A language model as it is among the rungs: measured, left out with the reason, packaged."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from modelwright.deployment.load import load_package
from modelwright.deployment.package import package
from modelwright.ladder.climb import climb
from modelwright.ladder.rung import text_characters
from modelwright.ladder.rungs import NO_LANGUAGE_MODEL, language_model
from modelwright.models.fitting import nearest_answer
from modelwright.models.predictors import load_predictor
from modelwright.models.predictors.language_model import LanguageModel
from modelwright.problem import Constraints, Problem, parse
from modelwright.records import POSITION, Column, Dataset, RungScore, Schema, Seal, Verdict
from modelwright.workflow.base import language_base, stamp


@pytest.fixture(autouse=True)
def by_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sentence encoder is at hand: it would take longer to read than all else here."""
    monkeypatch.setattr(nearest_answer, "find_encoder", lambda: None)


def on_disk(folder: Path, schema: Schema, train: pl.DataFrame, validation: pl.DataFrame) -> Dataset:
    folder.mkdir()
    both = pl.concat([train, validation]).with_row_index(POSITION).with_columns(pl.col(POSITION).cast(pl.Int64))
    both[: len(train)].write_parquet(folder / "train.parquet")
    both[len(train) :].write_parquet(folder / "validation.parquet")
    parts = {"train": len(train), "validation": len(validation), "test": 0}
    return Dataset("d", str(folder), schema, parts, (), {}, (), Seal(0, 0, 20), "", "", "", 0.0)


@pytest.fixture
def questions(tmp_path: Path, colour_questions: pl.DataFrame) -> Dataset:
    """Things of three kinds are known, kites are asked for."""
    schema = Schema("generation", "text", (Column("ask", "text"),), "say")
    return on_disk(tmp_path / "questions", schema, colour_questions[:12], colour_questions[12:])


@pytest.fixture
def texts(tmp_path: Path, colour_questions: pl.DataFrame) -> Dataset:
    found = [f"Q: {asked}\nA: {answer}\n\n" for asked, answer in colour_questions.rows()]
    frame = pl.DataFrame({"text": found, "bytes": [float(len(each)) for each in found]})
    schema = Schema("language-modeling", "text", (Column("text", "text"),), "bytes")
    return on_disk(tmp_path / "texts", schema, frame[:12], frame[12:])


def climbed(dataset: Dataset, base: Path | str, folder: Path, **options: Any) -> Verdict:
    metric = "exact_match" if dataset.schema.task == "generation" else "bits_per_byte"
    settings = {"goal": None, "constraints": Constraints(), "seed": 0, "budget_seconds": 120.0, "metric": metric}
    return climb(dataset, base=base, folder=folder, **{**settings, **options})


def rung(verdict: Verdict, name: str) -> RungScore:
    return next(each for each in verdict.rungs if each.name == name)


def test_a_model_that_knows_the_answers_needs_no_training(
    questions: Dataset, knowing_model: Path, tmp_path: Path
) -> None:
    """It was made to answer these; what was answered to the nearest prompt is right where the colour is the same."""
    verdict = climbed(questions, knowing_model, tmp_path / "ladder", goal=0.95)
    names = [each.name for each in verdict.rungs]
    assert names == ["constant", "neighbours", "prompt", "few_shot", "rag"]
    found = rung(verdict, "prompt")
    assert found.score is not None and found.score.value == 1.0 and found.latency_ms is not None
    assert rung(verdict, "few_shot").score is not None
    assert rung(verdict, "rag").skipped == "there are no documents to look answers up in"
    assert "prompt and few_shot on validation alone" in verdict.scored_on
    assert verdict.decision == "stop"
    assert climbed(questions, knowing_model, tmp_path / "ladder", goal=0.95) == verdict  # as it was kept


@pytest.mark.parametrize("name", ["prompt", "few_shot"])
def test_its_package_holds_all_that_it_answers_with(
    name: str, questions: Dataset, knowing_model: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(knowing_model, base)
    verdict = climbed(questions, base, tmp_path / "ladder")
    chosen = rung(verdict, name)
    assert chosen.path is not None
    predictor = load_predictor(Path(chosen.path))
    examples = pl.read_parquet(Path(questions.path) / "validation.parquet")
    made = package(predictor, name="colours", to=tmp_path / "packages", examples=examples, lineage={}, seed=0)
    shutil.rmtree(base)
    shutil.rmtree(tmp_path / "ladder")
    found = load_package(Path(made.path))
    assert found.golden.passed == found.golden.count == 4
    asked = examples["ask"].to_list()
    assert [each["output"] for each in found.predict(asked)] == predictor.predict(examples).texts_N.tolist()


def test_a_model_reads_texts_before_any_training(texts: Dataset, knowing_model: Path, tmp_path: Path) -> None:
    """It learnt these very texts, though not how one begins or ends; frequencies alone know nothing of what follows."""
    verdict = climbed(texts, knowing_model, tmp_path / "ladder")
    assert [each.name for each in verdict.rungs] == ["constant", "ngram", "base"]
    found, constant = rung(verdict, "base").score, rung(verdict, "constant").score
    assert found is not None and constant is not None
    assert found.value < 0.5 * constant.value


def test_what_would_take_too_long_is_left_out_and_says_so(
    questions: Dataset, knowing_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer takes a hundred seconds: eight alone and a quarter of a portion are 825, which the first one tells."""
    timed: list[int] = []

    def slow(predictor: LanguageModel, prompts: list[list[int]]) -> float:
        timed.append(len(prompts))
        return 100.0

    monkeypatch.setattr(LanguageModel, "longest_seconds", slow)
    verdict = climbed(questions, knowing_model, tmp_path / "ladder")
    for name in ("prompt", "few_shot"):
        skipped = rung(verdict, name).skipped
        assert skipped is not None and skipped.startswith("answering 4 examples would take about 825 s, and 1")
        assert not (tmp_path / "ladder" / name).exists()
    assert timed == [1, 1]
    verdict = climbed(questions, knowing_model, tmp_path / "none", budget_seconds=0.0)
    assert "0 s are left" in (rung(verdict, "prompt").skipped or "")


def test_a_model_that_cannot_be_asked_says_why(
    questions: Dataset, knowing_model: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "reads texts in both directions" in (
        rung(climbed(questions, tiny_encoder, tmp_path / "encoder"), "prompt").skipped or ""
    )
    monkeypatch.setattr(language_model, "available_bytes", lambda: 1000)
    assert "GB of memory are free" in (
        rung(climbed(questions, knowing_model, tmp_path / "large"), "few_shot").skipped or ""
    )
    verdict = climbed(questions, "x/y is not on this machine", tmp_path / "absent")
    assert [rung(verdict, name).skipped for name in ("prompt", "few_shot", "rag")] == ["x/y is not on this machine"] * 3


def test_a_broken_template_is_told_in_a_line(questions: Dataset, knowing_model: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(knowing_model, base)
    (base / "chat_template.jinja").write_text("{{ raise_exception('no') }}", encoding="utf-8")
    skipped = rung(climbed(questions, base, tmp_path / "ladder"), "prompt").skipped
    assert skipped is not None and "its chat template fails" in skipped and "\n" not in skipped


def problem(base: str) -> Problem:
    found, _ = parse(
        {"name": "t", "task": "generation", "output": "say", "data": {"source": "-"}, "model": {"base": base}}
    )
    return found


def test_the_base_is_the_model_that_training_would_start_from(
    questions: Dataset, knowing_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def base(name: str) -> Path | str:
        return language_base(questions, problem(name), folder=tmp_path)

    assert base(str(knowing_model)) == knowing_model
    assert "starts from scratch" in str(base("llama-2x128"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert "is not on this machine" in str(base("nobody/nothing-of-the-kind"))
    monkeypatch.setattr("modelwright.training.consider.on_this_machine", lambda entry: None)
    assert base("auto") == NO_LANGUAGE_MODEL


def test_conversations_are_characters_to_read() -> None:
    schema = Schema("generation", "text", (Column("messages", "messages"),), "say")
    assert text_characters(schema, pl.DataFrame({"messages": ["[{}]", None, "[]"]})) == 6


def test_other_weights_are_another_model(knowing_model: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(knowing_model, base)
    before = stamp(base)
    assert stamp(base) == before
    with (base / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    assert stamp(base) != before
