"""Instruction and chat sets in the forms that people publish: each becomes turns and the answer to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from modelwright.data import sources
from modelwright.data.conversations import Conversations, conversations, inferred_from
from modelwright.data.gather import gather
from modelwright.errors import SourceError
from modelwright.problem import parse
from modelwright.records import Column

COUNT = 30


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def shared(role: str, value: str) -> dict[str, str]:
    return {"from": role, "value": value}


CALL = {"type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
FORMS: dict[str, tuple[dict[str, Any], list[tuple[str, str]], str]] = {
    "messages": (
        {"messages": [said("system", "Be kind."), said("user", "Hi"), said("assistant", "Hello"), said("user", "Bye")]},
        [("system", "Be kind."), ("user", "Hi")],
        "Hello",
    ),
    "pieces": (
        {
            "messages": [
                said("user", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
                said("model", [{"type": "text", "text": "c"}]),
            ]
        },
        [("user", "ab")],
        "c",
    ),
    "tools": (
        {
            "messages": [
                said("user", "Is it warm?"),
                said("assistant", None, tool_calls=[CALL]),
                said("tool", "31 degrees", name="weather"),
                said("tool", {"sun": True}),
                said("assistant", "Very."),
            ]
        },
        [
            ("user", "Is it warm?"),
            ("assistant", '{"name": "weather", "arguments": {"city": "Rome"}}'),
            ("tool", "31 degrees"),
            ("tool", '{"sun":true}'),
        ],
        "Very.",
    ),
    "sharegpt": (
        {
            "conversations": [
                shared("human", "Is it warm?"),
                shared("function_call", '{"name": "weather"}'),
                shared("observation", "31"),
                shared("gpt", "Very."),
            ],
            "system": "",
            "tools": '[{"name": "weather"}]',
        },
        [
            ("system", 'Tools that can be called, described as JSON:\n[{"name": "weather"}]'),
            ("user", "Is it warm?"),
            ("assistant", '{"name": "weather"}'),
            ("tool", "31"),
        ],
        "Very.",
    ),
    "alpaca": (
        {"instruction": "Translate.", "input": "Hund", "output": "dog", "system": "You translate.", "history": []},
        [("system", "You translate."), ("user", "Translate.\n\nHund")],
        "dog",
    ),
    "alpaca with a history": (
        {"instruction": "And cat?", "input": "", "output": "Katze", "history": [["What is dog?", "Hund"]]},
        [("user", "What is dog?"), ("assistant", "Hund"), ("user", "And cat?")],
        "Katze",
    ),
    "dolly": (
        {"instruction": "Who?", "context": "Ann came.", "response": "Ann", "category": "qa"},
        [("user", "Who?\n\nAnn came.")],
        "Ann",
    ),
    "self-instruct": (
        {"instruction": "Add.", "instances": [{"input": "1 2", "output": "3"}, {"input": "2 2", "output": "4"}]},
        [("user", "Add.\n\n1 2")],
        "3",
    ),
    "prompt and completion as turns": (
        {"prompt": [said("user", "Hi")], "completion": [said("assistant", "Hello")]},
        [("user", "Hi")],
        "Hello",
    ),
    "turns and a completion that begins as a list does": (
        {"prompt": [said("user", "Where?")], "completion": "[docs](https://here.test) tells"},
        [("user", "Where?")],
        "[docs](https://here.test) tells",
    ),
    "turns and a completion that is a list": (
        {"prompt": [said("user", "Which?")], "completion": '[{"colour": "red"}, 3]'},
        [("user", "Which?")],
        '[{"colour": "red"}, 3]',
    ),
}


def converted(rows: list[dict[str, Any]], folder: Path, *, ending: str = "jsonl", **options: Any) -> Conversations:
    path = folder / f"set.{ending}"
    if ending == "parquet":
        pl.DataFrame(rows).write_parquet(path)
    elif ending == "json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    frame = pl.concat([chunk.frame for chunk in sources.read(str(path), folder=folder)])
    found = conversations(frame, **{"task": "generation", **options})
    assert found is not None
    return found


@pytest.mark.parametrize("ending", ["json", "jsonl", "parquet"])
@pytest.mark.parametrize("name", FORMS)
def test_every_form_becomes_turns_and_an_answer(name: str, ending: str, tmp_path: Path) -> None:
    row, before, answer = FORMS[name]
    if ending == "parquet" and name == "tools":
        pytest.skip("a column of Parquet has one type of content")
    found = converted([row] * 3, tmp_path, ending=ending)
    first = found.frame.to_dicts()[0]
    assert [(turn["role"], turn["content"]) for turn in json.loads(first["messages"])] == before
    assert (first[found.output], found.dropped, len(found.frame)) == (answer, (), 3)
    assert found.output == {"alpaca": "output", "alpaca with a history": "output", "dolly": "response"}.get(
        name, "answer"
    )
    assert any("form" in note for note in found.notes)


BROKEN = [
    ("[{", "unreadable"),
    ("{}", "unreadable"),
    ('["hello"]', "unreadable"),
    ("[]", "no_assistant_turn"),
    (None, "no_assistant_turn"),
    (json.dumps([said("user", "Hi")]), "no_assistant_turn"),
    (json.dumps([said("user", "Hi"), said("assistant", " ")]), "empty_answer"),
    (json.dumps([said("user", ""), said("assistant", "a")]), "empty_turn"),
    (json.dumps([said("user", "Hi"), said("pirate", "a")]), "unknown_role"),
    (json.dumps([said("user", "Hi"), said("user", "Hi"), said("assistant", "a")]), "role_twice"),
    (json.dumps([said("assistant", "a")]), "misplaced_turn"),
    (json.dumps([said("user", "Hi"), said("system", "b"), said("assistant", "a")]), "misplaced_turn"),
    (json.dumps([said("user", [{"type": "image_url"}]), said("assistant", "a")]), "not_text"),
    ("[" * 100_000, "unreadable"),
]


def test_what_cannot_be_learned_from_is_left_out_with_a_reason() -> None:
    good = json.dumps([said("user", "Hi"), said("assistant", "\ud800 a")])
    values = [good] * 40 + [value for value, _ in BROKEN]
    frame = pl.DataFrame({"messages": values, "__position__": range(100, 100 + len(values))})
    found = conversations(frame, task="auto")
    assert found is not None
    assert [each.reason for each in found.dropped] == [reason for _, reason in BROKEN]
    assert [each.position for each in found.dropped] == list(range(140, 140 + len(BROKEN)))
    assert found.frame["__position__"].to_list() == list(range(100, 140))
    assert found.frame["answer"][0] == "? a"
    assert "turn 2 has the role 'pirate'" in found.dropped[8].where


def test_half_a_surrogate_pair_in_a_nested_list_stops_nothing(tmp_path: Path) -> None:
    row = {"messages": [said("user", "a \ud800 b"), said("assistant", "c")]}
    assert json.loads(converted([row], tmp_path).frame["messages"][0]) == [said("user", "a ? b")]


def test_other_tables_are_left_alone() -> None:
    texts = [f"say {n} in {n % 7} other words" for n in range(COUNT)]
    turns = [json.dumps([said("user", text), said("assistant", text)]) for text in texts]
    base = {"__position__": range(COUNT)}
    labelled = pl.DataFrame({"instruction": texts, "output": ["ab"[n % 2] for n in range(COUNT)], **base})
    assert conversations(labelled, task="auto") is None
    assert conversations(labelled, task="generation") is not None
    assert conversations(labelled, task="classification") is None
    rated = pl.DataFrame({"messages": turns, "label": ["ab"[n % 2] for n in range(COUNT)], **base})
    assert conversations(rated, task="auto") is None
    pairs = pl.DataFrame({"messages": turns, "chosen": texts, "rejected": texts, **base})
    assert conversations(pairs, task="auto") is None
    plain = pl.DataFrame({"messages": turns, "mood": texts, **base})
    assert conversations(plain, task="auto", output="mood") is None
    assert conversations(plain, task="generation", output="answer", inputs="mood") is None
    found = conversations(plain, task="auto", output="messages")
    assert found is not None
    inferred = inferred_from(found)
    assert (inferred.task, inferred.inputs) == ("generation", (Column("messages", "messages"),))
    assert set(inferred.excluded) == {"mood"}
    with pytest.raises(SourceError, match="only 2 conversations have an answer"):
        inferred_from(Conversations(found.frame.head(2), (), found.output, ()))


def test_a_problem_of_conversations_is_gathered(tmp_path: Path) -> None:
    rows = [{"messages": [said("user", f"{n}?"), said("assistant", f"{n}!")], "id": n} for n in range(COUNT)]
    rows[7]["messages"] = [said("user", "7?")]
    (tmp_path / "chat.json").write_text(json.dumps(rows))
    (tmp_path / "test.json").write_text(json.dumps(rows[:5]))
    problem, _ = parse(
        {
            "name": "chat",
            "task": "generation",
            "input": "messages",
            "output": "answer",
            "data": {"source": "chat.json", "test": "test.json"},
        }
    )
    found = gather(problem, folder=tmp_path, progress=None)
    assert found.schema.inputs == (Column("messages", "messages"),)
    assert found.examples["answer"].to_list() == [f"{n}!" for n in range(COUNT) if n != 7]
    assert json.loads(found.examples["messages"][0]) == [said("user", "0?")]
    assert found.test is not None and found.test["answer"].to_list() == [f"{n}!" for n in range(5)]
    assert found.dropped.select("position", "reason").rows() == [(7, "no_assistant_turn")]
    assert found.count == COUNT + 5


def solved(*turns: str) -> str:
    """A conversation of the user and the assistant in turn."""
    return json.dumps([said(("user", "assistant")[number % 2], text) for number, text in enumerate(turns)])


def test_a_column_beside_the_turns_is_the_answer_where_the_problem_says_so() -> None:
    """A worked solution is not the answer then; a conversation that ends with the user is answered as it stands."""
    turns = [solved("6 x 7?", "It is 42."), solved("6 x 7?"), solved("Hi", "Hello", "6 x 7?", "42, of course."), "[]"]
    frame = pl.DataFrame({"messages": turns, "answer": [42, 42, None, 42], "__position__": range(4)})
    found = conversations(frame, task="generation", output="answer")
    assert found is not None and found.output == "answer"
    assert found.frame["answer"].to_list() == ["42", "42"]
    assert [json.loads(each) for each in found.frame["messages"]] == [[said("user", "6 x 7?")]] * 2
    assert [(each.position, each.reason) for each in found.dropped] == [(2, "empty_answer"), (3, "misplaced_turn")]
    assert "'answer' is what is answered, in place of the assistant's last words" in found.notes
    assert conversations(frame, task="auto", output="answer") is None  # a number, or a label, of the whole


def test_no_column_gives_way_to_the_conversation_in_silence() -> None:
    frame = pl.DataFrame(
        {
            "conversations": [solved("6 x 7?", "It is 42.")],
            "answer": ["42"],
            "answer_2": ["43"],
            "messages": ["2"],
            "__position__": [0],
        }
    )
    found = conversations(frame, task="auto")
    assert found is not None and found.output == "answer_3"
    assert found.frame.select("answer", "answer_2", "answer_3").row(0) == ("42", "43", "It is 42.")
    assert "the column 'messages' is left out: the turns take its name" in found.notes
    again = conversations(frame, task="generation", output="answer_3", inputs="messages")
    assert again is not None and again.frame.equals(found.frame)


def test_a_problem_whose_answers_stand_beside_the_turns_is_gathered(tmp_path: Path) -> None:
    rows = [{"messages": json.loads(solved(f"{n}?", f"It is {n * n}.")), "answer": n * n} for n in range(COUNT)]
    (tmp_path / "chat.json").write_text(json.dumps(rows))
    (tmp_path / "test.json").write_text(json.dumps(rows[:5]))
    stated = {"name": "chat", "task": "generation", "output": "answer"}
    problem, _ = parse({**stated, "data": {"source": "chat.json", "test": "test.json"}})
    found = gather(problem, folder=tmp_path, progress=None)
    assert found.schema.inputs == (Column("messages", "messages"),)
    assert found.examples["answer"].to_list() == [str(n * n) for n in range(COUNT)]
    assert found.test is not None and found.test["answer"].to_list() == [str(n * n) for n in range(5)]
    assert json.loads(found.examples["messages"][0]) == [said("user", "0?")]
    untold, _ = parse({"name": "chat", "output": "answer", "data": {"source": "chat.json"}})
    with pytest.raises(SourceError, match="or set task: generation if it lists the turns"):
        gather(untold, folder=tmp_path, progress=None)
