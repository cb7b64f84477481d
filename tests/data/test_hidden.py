"""What is hidden of a text where a masked language model is judged."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from modelwright.data.hidden import asked_bytes, hidden_texts, hidden_words, words_of
from modelwright.data.prepare import prepare
from modelwright.problem import parse
from modelwright.records import Column, Schema

SCHEMA = Schema("language-modeling", "text", (Column("text", "text"),), "bytes", masked=True)


def test_fifteen_in_a_hundred_words_are_hidden_and_always_the_same() -> None:
    """Of 20 words round(.15 x 20) = 3, of 3 words 1 (.45 is rounded to 0, but one it is), of none 0."""
    text = " ".join(f"word{number}," for number in range(20))
    assert [len(hidden_words(each)) for each in (text, "one two three", " \n")] == [3, 1, 0]
    assert hidden_words(text) == hidden_words(text) != hidden_words(text + " more")[:3]
    assert all(text[begin:end] in hidden_texts(text) for begin, end in hidden_words(text))


def test_words_stand_between_spaces_and_chinese_ones_alone() -> None:
    assert [end - begin for begin, end in words_of("it's so: 你好")] == [4, 3, 1, 1]


def test_bytes_are_those_of_what_is_hidden() -> None:
    """One word is hidden whole: "naïve" has 6 bytes; nothing is hidden of nothing."""
    assert asked_bytes(SCHEMA, pl.DataFrame({"text": ["naïve", None, ""]})).to_list() == [6, 0, 0]


def test_prepared_texts_say_how_many_bytes_are_hidden(tmp_path: Path) -> None:
    """Two words of three letters each: one of them is hidden, 3 bytes of 7."""
    pl.DataFrame({"text": [f"a{n:02} b{n:02}" for n in range(60)]}).write_csv(tmp_path / "t.csv")
    problem, _ = parse({"name": "n", "task": "language-modeling", "data": {"source": "t.csv"}})
    for masked, size in ((True, 3), (False, 7)):
        dataset = prepare(problem, folder=tmp_path, to=tmp_path / str(masked), masked=masked)
        assert dataset.schema.masked is masked
        part = pl.read_parquet(tmp_path / str(masked) / "train.parquet")
        assert part[dataset.schema.output].unique().to_list() == [size]
