"""A language model as it is: how it is asked, when its answer is over, and what it is shown before."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelwright.models.fitting import nearest_answer
from modelwright.models.fitting.prompted import fit_few_shot, fit_prompt
from modelwright.models.predictors import load_predictor, save_predictor
from modelwright.models.predictors.few_shot import FewShot
from modelwright.models.predictors.language_model import LanguageModel, _before
from modelwright.models.predictors.nearest_answer import NearestAnswer
from modelwright.models.text import texts_of, tokenizer_in
from modelwright.records import Column, Schema
from modelwright.training.stand_ins import STAND_INS

SCHEMA = Schema("generation", "text", (Column("ask", "text"),), "say")
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token if m.role == 'assistant' }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def by_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sentence encoder is at hand: nearness goes by words, and can be worked out by hand."""
    monkeypatch.setattr(nearest_answer, "find_encoder", lambda: None)


def asked(predictor: LanguageModel | FewShot, examples: pl.DataFrame) -> list[str]:
    """The prompts as text."""
    language = predictor._language if isinstance(predictor, FewShot) else predictor
    return language.tokenizer.batch_decode(predictor.prompts(examples))


def test_a_model_without_a_template_is_asked_as_a_question_and_knows_what_it_learnt(
    knowing_model: Path, colour_questions: pl.DataFrame
) -> None:
    predictor = fit_prompt(SCHEMA, colour_questions, seed=0, base=knowing_model)
    assert asked(predictor, colour_questions[:1]) == ["Q: a red cat: which colour\nA:"]
    assert predictor.predict(colour_questions).texts_N.tolist() == colour_questions["say"].to_list()
    assert "as it is, asked as questions" in predictor.describes


def test_a_model_with_a_template_is_asked_by_it(
    knowing_model: Path, tmp_path: Path, by_words: None, colour_questions: pl.DataFrame
) -> None:
    tokenizer = tokenizer_in(knowing_model)
    tokenizer.chat_template = TEMPLATE
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(knowing_model / name)
    tokenizer.save_pretrained(tmp_path)
    end = tokenizer.eos_token
    assert asked(fit_prompt(SCHEMA, colour_questions, seed=0, base=tmp_path), colour_questions[:1]) == [
        "<user>a red cat: which colour<assistant>"
    ]
    shown = fit_few_shot(SCHEMA, colour_questions[:2], seed=0, base=tmp_path)
    assert asked(shown, colour_questions[:1]) == [
        f"<user>a blue cat: which colour<assistant>blue{end}<user>a red cat: which colour<assistant>red{end}"
        "<user>a red cat: which colour<assistant>"
    ]


def test_the_nearest_examples_are_shown_the_nearest_last(knowing_model: Path, by_words: None) -> None:
    """By words "a red kite" is nearest to itself, then to what shares a word with it, and never to a green hat."""
    train = pl.DataFrame({"ask": ["green hat", "red hat", "red kite"], "say": ["1", "2", "3"]})
    predictor = fit_few_shot(SCHEMA, train, seed=0, base=knowing_model)
    (prompt,) = asked(predictor, pl.DataFrame({"ask": ["red kite"]}))
    assert prompt == "Q: green hat\nA: 1\n\nQ: red hat\nA: 2\n\nQ: red kite\nA: 3\n\nQ: red kite\nA:"


def test_what_does_not_fit_before_a_prompt_is_left_out_the_farthest_first(
    knowing_model: Path, by_words: None, colour_questions: pl.DataFrame
) -> None:
    """The model reads 128 tokens, of which an answer may take 9 or 10: eight examples take more than what is left."""
    predictor = fit_few_shot(SCHEMA, colour_questions, seed=0, base=knowing_model)
    (tokens,) = predictor.prompts(colour_questions[:1])
    text = predictor._language.tokenizer.decode(tokens)
    whole = predictor._language.tokenizer.encode("Q: a red cat: which colour\nA: red\n\n", add_special_tokens=False)
    fitting = text.count("Q: ") - 1
    assert 1 <= fitting < 8 and len(tokens) <= predictor._language.room < len(tokens) + len(whole)
    assert text.endswith("Q: a red cat: which colour\nA: red\n\nQ: a red cat: which colour\nA:")
    alone = pl.DataFrame({"ask": ["kite " * 200]})
    (tokens,) = predictor.prompts(alone)
    text = predictor._language.tokenizer.decode(tokens)  # not even the prompt fits: the question's end, and no example
    assert text.startswith("Q: ") and text.endswith("kite kite\nA:") and text.count("Q: ") == 1
    assert predictor._language.room - 10 < len(tokens) <= predictor._language.room


@pytest.mark.parametrize(
    ("text", "ends", "found"),
    [
        (" red\n\nQ: a", ("\nQ:", "\n"), "red"),
        ("\nred", ("\nQ:", "\n"), "red"),
        ("one\ntwo\nQ: a", ("\nQ:",), "one\ntwo"),
        ("one Q: two", ("\nQ:", "\n"), "one Q: two"),
        (" kept ", (), " kept "),
    ],
)
def test_an_answer_is_over_where_its_text_says_so(text: str, ends: tuple[str, ...], found: str) -> None:
    assert _before(text, ends) == found


def test_a_line_ends_an_answer_only_where_all_known_ones_have_one(
    knowing_model: Path, colour_questions: pl.DataFrame
) -> None:
    assert fit_prompt(SCHEMA, colour_questions, seed=0, base=knowing_model).preparation.ends == ("\nQ:", "\n")
    longer = colour_questions.with_columns(say=pl.lit("red\nand warm"))
    assert fit_prompt(SCHEMA, longer, seed=0, base=knowing_model).preparation.ends == ("\nQ:",)


def test_nothing_is_written_behind_the_end_of_an_answer(
    knowing_model: Path, monkeypatch: pytest.MonkeyPatch, colour_questions: pl.DataFrame
) -> None:
    """An answer is a token and the break of a line; ten tokens may be written, and two or three are."""
    from modelwright.models.predictors import language_model

    rows: list[list[list[int]]] = []
    real = language_model.generated

    def kept(*given: object, **options: object) -> list[list[int]]:
        rows.append(real(*given, **options))
        return rows[-1]

    monkeypatch.setattr(language_model, "generated", kept)
    predictor = fit_prompt(SCHEMA, colour_questions, seed=0, base=knowing_model)
    predictor.predict(colour_questions)
    assert predictor.preparation.max_new_tokens >= 9
    assert max(len(row) for row in rows[0]) <= 4


def test_the_nearest_of_several_are_those_of_a_full_sort(by_words: None, colour_questions: pl.DataFrame) -> None:
    train = colour_questions
    found = nearest_answer.fit_nearest_answer(SCHEMA, train, seed=0)
    like_NM = (found._known_MD @ found._known_MD.T).toarray()
    expected = np.argsort(-like_NM, axis=1, kind="stable")[:, :3]
    assert found.nearest_NK(train, 3).tolist() == expected.tolist()


def talks(*asked: str) -> pl.DataFrame:
    """Conversations that ask this, after an exchange that all of them have."""
    before = [("system", "Be brief."), ("user", "Hello"), ("assistant", "Hi")]
    turns = [[{"content": text, "role": role} for role, text in (*before, ("user", each))] for each in asked]
    return pl.DataFrame({"messages": [json.dumps(each) for each in turns]})


TALKS = Schema("generation", "text", (Column("messages", "messages"),), "say")


@pytest.mark.parametrize("fit", [partial(nearest_answer.fit_nearest_answer, seed=0), STAND_INS["generation"].fit])
def test_conversations_are_near_by_what_is_said(fit: Callable[..., NearestAnswer], by_words: None) -> None:
    train = talks("where is the red kite", "how old is the grey cat", "why is the hat so green")
    found = fit(TALKS, train.with_columns(say=pl.Series(["1", "2", "3"])))
    assert found.predict(talks("a cat", "is it green", "a kite")).texts_N.tolist() == ["2", "3", "1"]


def test_an_encoder_reads_what_is_said_the_question_first(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[list[str]] = []

    def embed(folder: Path, texts: list[str]) -> np.ndarray:
        read.append(texts)
        return np.eye(len(texts), 2)

    monkeypatch.setattr(nearest_answer, "find_encoder", lambda: Path("encoder"))
    monkeypatch.setattr("modelwright.models.predictors.nearest_answer.embed", embed)
    train = talks("where is it", "how old is it").with_columns(say=pl.Series(["1", "2"]))
    nearest_answer.fit_nearest_answer(TALKS, train, seed=0)
    assert read == [["where is it\nHi\nHello\nBe brief.", "how old is it\nHi\nHello\nBe brief."]]
    odd = pl.DataFrame({"messages": ["no turns", "[1]", None]})
    assert texts_of(TALKS, odd) == ["no turns", "[1]", ""]


def test_with_its_examples_it_is_saved_and_answers_alike(
    knowing_model: Path, tmp_path: Path, by_words: None, colour_questions: pl.DataFrame
) -> None:
    predictor = fit_few_shot(SCHEMA, colour_questions, seed=0, base=knowing_model)
    save_predictor(predictor, tmp_path)
    again = load_predictor(tmp_path)
    assert isinstance(again, FewShot) and again.prompts(colour_questions) == predictor.prompts(colour_questions)
    assert again.predict(colour_questions).texts_N.tolist() == predictor.predict(colour_questions).texts_N.tolist()
    assert again.complete(["Q: a"], max_tokens=3, temperature=0.0, seed=0) == predictor.complete(
        ["Q: a"], max_tokens=3, temperature=0.0, seed=0
    )
