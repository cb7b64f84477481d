"""Step 2 where the answer is text: plain files, prompts with answers, and texts that a language model learns."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelwright.data.infer import infer
from modelwright.data.parts import read_part, targets_N
from modelwright.data.prepare import prepare
from modelwright.data.sources import Chunk, read
from modelwright.errors import SourceError
from modelwright.problem import parse
from modelwright.records import POSITION, Dataset

WORDS = [
    "river",
    "stone",
    "cloud",
    "letter",
    "garden",
    "window",
    "silver",
    "morning",
    "harbour",
    "candle",
    "winter",
    "bridge",
]
RNG = np.random.default_rng(0)


def sentence(count: int) -> str:
    return " ".join(RNG.choice(WORDS, count))


PARAGRAPHS = [f"Speaker {n}:\n{sentence(8)},\n{sentence(6)}." for n in range(100)]
PROMPTS = [f"What comes after {n} and before {n + 2}, please?" for n in range(100)]
ANSWERS = [f"After {n} comes {n + 1}, and then {n + 2}." for n in range(100)]


def dataset(folder: Path, source: str, **stated: Any) -> Dataset:
    stated = {"name": "p", **stated, "data": {"source": source, **stated.pop("data", {})}}
    problem, _ = parse(stated)
    return prepare(problem, folder=folder, to=folder / "made")


def chunk(folder: Path, text: str | bytes, name: str = "a.txt") -> Chunk:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    (found,) = read(name, folder=folder)
    return found


def test_a_running_text_is_read_by_paragraphs(tmp_path: Path) -> None:
    found = chunk(tmp_path, "\n\n  One,\r\ntwo,\n \nthree\n\n\n\nfour, five,\n")
    assert found.frame["text"].to_list() == ["  One,\ntwo,", "three", "four, five,"]
    assert found.frame[POSITION].to_list() == [0, 1, 2]
    assert found.running
    assert "paragraph" in found.notes[0]


def test_a_list_is_read_by_lines(tmp_path: Path) -> None:
    found = chunk(tmp_path, "emma\nolivia\nemma\nzoë\n")
    assert found.frame["text"].to_list() == ["emma", "olivia", "emma", "zoë"]
    assert not found.running


def test_one_blank_line_in_a_long_list_makes_no_paragraphs(tmp_path: Path) -> None:
    """201 lines in two paragraphs: more than 100 lines each, so the lines are the examples."""
    found = chunk(tmp_path, "\n".join(["emma"] * 150) + "\n\n" + "\n".join(["other"] * 51))
    assert len(found.frame) == 201
    assert not found.running


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("a,b\n1,2\n3,4\n", ["a", "b"]),
        ("ham\tsee you\nspam\twin now\nham\tok\n", ["column_1", "column_2"]),
        ("text\nfirst one\nsecond one\n", ["text"]),
        ("Well, then.\n\nGo, now.\n\nStay, here.\n", ["text"]),
    ],
)
def test_tables_called_txt_stay_tables(text: str, columns: list[str], tmp_path: Path) -> None:
    found = chunk(tmp_path, text)
    assert [name for name in found.frame.columns if name != POSITION] == columns
    assert found.frame.height == 3 - text.startswith(("a,", "text"))


def test_a_paragraph_goes_on_in_the_next_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelwright.data.sources.encoding.BLOCK_BYTES", 24)
    found = chunk(tmp_path, "one\n\nfirst line\nsecond line\nlast line\n\nthird\n", "a.md")
    assert found.frame["text"].to_list() == ["one", "first line\nsecond line\nlast line", "third"]


def test_a_running_text_keeps_its_order_across_the_parts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n\n".join([*PARAGRAPHS[:50], PARAGRAPHS[3], *PARAGRAPHS[50:]]))
    made = dataset(tmp_path, "a.txt", task="language-modeling")
    assert made.schema.task == "language-modeling"
    assert (made.schema.names, made.schema.output, made.classes) == (["text"], "bytes", ())
    assert made.dropped == {"exact_duplicate": 1}
    train, validation = read_part(made, "train"), read_part(made, "validation")
    assert train["text"].to_list() == PARAGRAPHS[:80]
    assert validation["text"].to_list() == PARAGRAPHS[80:90]
    assert targets_N(made.schema, validation).tolist() == [float(len(each)) for each in PARAGRAPHS[80:90]]
    assert "in the order of the text" in made.split


def test_bytes_are_those_of_utf8(tmp_path: Path) -> None:
    """`ë` takes two bytes, `…` three."""
    (tmp_path / "a.txt").write_text("\n".join(f"zoë… {n:02}" for n in range(40)), encoding="utf-8")
    train = read_part(dataset(tmp_path, "a.txt", task="language-modeling"), "train")
    assert set(train["bytes"]) == {2 + 2 + 3 + 3}


def test_a_list_is_split_at_random(tmp_path: Path) -> None:
    names = [f"name{n * 7919 % 1000}" for n in range(200)]
    (tmp_path / "a.txt").write_text("\n".join(names))
    made = dataset(tmp_path, "a.txt", task="language-modeling")
    validation = read_part(made, "validation")
    assert made.parts == {"train": 160, "validation": 20, "test": 20}
    assert validation[POSITION].to_list() != list(range(160, 180))
    assert "stratified by length" in made.split


def test_numbers_stay_as_they_are_written_where_they_are_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n".join(f"{n:03}.50" for n in range(40)))
    assert read_part(dataset(tmp_path, "a.txt", task="language-modeling"), "train")["text"][0].endswith(".50")


def test_prompts_and_answers_make_a_generation(tmp_path: Path) -> None:
    rows = [{"question": q, "answer": a} for q, a in zip(PROMPTS, ANSWERS, strict=True)]
    rows += [rows[0], {"question": PROMPTS[1], "answer": "Two."}, {"question": PROMPTS[2], "answer": " "}]
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as stream:
        stream.write("\n".join(map(json.dumps, rows)))
    made = dataset(tmp_path, "a.jsonl.gz", output="answer")
    assert (made.schema.task, made.schema.names) == ("generation", ["question"])
    assert made.dropped == {"exact_duplicate": 1, "missing_output": 1}
    assert sum(made.parts.values()) == 101
    assert made.parts["test"] >= 9  # answers that stand once are no class: none of them must be in train
    two = [finding for finding in made.findings if finding.kind == "conflicting_label"]
    assert two[0].severity == "info"
    train = read_part(made, "train")
    assert targets_N(made.schema, train).tolist() == train["answer"].to_list()


def test_an_official_test_file_of_texts_is_counted_too(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n".join(f"name{n}" for n in range(60)))
    (tmp_path / "b.txt").write_text("\n".join(f"other{n}" for n in range(10)))
    made = dataset(tmp_path, "a.txt", task="language-modeling", data={"test": "b.txt"})
    assert made.parts["test"] == 10


def table(**columns: object) -> pl.DataFrame:
    return pl.DataFrame(columns)


def test_the_task_is_inferred_and_said() -> None:
    alone = infer(table(id=[f"{n:05}-a" for n in range(100)], text=PROMPTS), output=None)
    assert (alone.task, [each.name for each in alone.inputs], list(alone.excluded)) == (
        "language-modeling",
        ["text"],
        ["id"],
    )
    paired = infer(table(prompt=PROMPTS, completion=ANSWERS), output=None)
    assert (paired.task, paired.output) == ("generation", "completion")
    named = infer(table(a=PROMPTS, b=ANSWERS), output="b")
    assert named.task == "generation"
    assert any("free text" in note for note in named.notes)
    labelled = infer(table(text=PROMPTS, label=["ab"[n % 2] for n in range(100)]), output=None)
    assert labelled.task == "classification"


def test_a_task_that_is_stated_is_believed() -> None:
    short = infer(table(ask=[f"{n}+1" for n in range(40)], say=list(range(1, 41))), output="say", task="generation")
    assert (short.task, [each.kind for each in short.inputs]) == ("generation", ["text"])
    labels = table(text=PROMPTS, label=["ab"[n % 2] for n in range(100)])
    assert infer(labels, output=None, task="language-modeling").excluded == {"label": "is not the text"}
    with pytest.raises(SourceError, match="set task: generation"):
        infer(table(a=PROMPTS, b=ANSWERS), output="b", task="classification")


@pytest.mark.parametrize(
    ("frame", "task", "output", "said"),
    [
        (table(a=PROMPTS, b=ANSWERS), "language-modeling", None, "columns of text: a, b"),
        (table(a=list(range(100)), b=list(range(100))), "language-modeling", None, "no column of text"),
        (table(text=PROMPTS[:10]), "language-modeling", None, "10 texts"),
        (table(a=PROMPTS, b=ANSWERS), "generation", None, "could be 'a', 'b'"),
        (table(a=PROMPTS, b=["yes"] * 100), "generation", "b", "always the same"),
        (table(a=list(range(100)), b=ANSWERS), "generation", "b", "no column of text to write"),
        (table(a=PROMPTS, b=ANSWERS), "auto", None, "task: generation"),
        (table(a=list(range(100))), "auto", None, "only one column"),
    ],
)
def test_what_cannot_be_written_is_refused(frame: pl.DataFrame, task: str, output: str | None, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        infer(frame, output=output, task=task)


def test_texts_that_say_nothing_are_reported(tmp_path: Path) -> None:
    """Three strokes hold no letter; one sentence forty times over packs to .04 of its bytes; 60,000 bytes are long."""
    odd = ["***", "The same is said again and again. " * 40, " ".join(RNG.choice(WORDS, 9000))]
    (tmp_path / "a.txt").write_text("\n\n".join([*PARAGRAPHS, *odd]))
    made = dataset(tmp_path, "a.txt", task="language-modeling")
    found = {finding.kind: finding.count for finding in made.findings}
    assert {name: found.get(name) for name in ("empty_text", "repeated_text", "long_text")} == {
        "empty_text": 1,
        "repeated_text": 1,
        "long_text": 1,
    }
