"""Instruction and chat sets as they are published -> what a generator learns from: turns, and the answer to them.

Forms: `messages`, ShareGPT, Alpaca, self-instruct. Each becomes a column `messages`, the JSON text of the turns before
the answer, and a column with the answer. Two columns of plain texts (a prompt and its completion) need no conversion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from modelwright.data.conversations.forms import Form, form_of
from modelwright.data.conversations.turns import (
    SPEAKER,
    Turn,
    Unfit,
    answered_with,
    asked_and_answered,
    clean_text,
    encoded,
    parsed,
    turns_of,
    with_tools,
)
from modelwright.data.inferred import FEWEST_EXAMPLES, Inferred
from modelwright.data.sources.chunks import Dropped
from modelwright.errors import Fault, SourceError
from modelwright.records import POSITION, Column

MESSAGES = "messages"
"""The column of turns, and the kind of it."""


@dataclass(frozen=True, slots=True)
class Conversations:
    """A frame whose examples ask and answer, what had to be left out, and what was assumed.

    `frame` has MESSAGES and `output`, a text, beside the columns that the form does not use.
    """

    frame: pl.DataFrame
    dropped: tuple[Dropped, ...]
    output: str
    notes: tuple[str, ...]


def conversations(
    frame: pl.DataFrame, *, task: str, output: str | None = None, inputs: str | tuple[str, ...] = "*"
) -> Conversations | None:
    """The conversations of a raw frame, or None where it holds none, or the person wants something else.

    Args:
        frame: As a source gives it, with POSITION: lists and objects are JSON text.
        task: As the problem says; only "auto" and "generation" are for conversations.
        output: The column that the person wants predicted; None where it is not said. A column beside the turns is what
            generation answers, in place of the assistant's last words.
        inputs: The columns that the person wants it predicted from; "*" where it is not said.
    """
    form = form_of(frame, stated=task == "generation") if task in ("auto", "generation") else None
    if form is None:
        return None
    beside = output if output in frame.columns and output not in form.columns.values() else None
    name = beside or form.output_in(frame.columns)
    if beside and (task != "generation" or beside == MESSAGES):
        return None
    if output not in (None, name, form.columns.get("turns")):
        return None
    named = (inputs,) if isinstance(inputs, str) else inputs
    if "*" not in named and named != (MESSAGES,) and set(named) - set(form.columns.values()):
        return None
    asked: list[str | None] = []
    answers: list[str | None] = []
    dropped: list[Dropped] = []
    extra = 0
    read, used = _READERS[form.name], list(form.columns.values())
    given = frame[beside].to_list() if beside else [None] * len(frame)
    for position, row, right in zip(frame[POSITION], frame.select(used).iter_rows(), given, strict=True):
        try:
            turns = read(dict(zip(form.columns, row, strict=True)))
            turns = answered_with(turns, right) if beside else turns
            before, answer = asked_and_answered(turns)
        except Unfit as unfit:
            dropped.append(Dropped(position, unfit.reason, f"example {position}: {unfit.found}"))
            asked.append(None)
            answers.append(None)
            continue
        extra += len(turns) > len(before) + 1
        asked.append(encoded(before))
        answers.append(answer)
    others = frame.drop(used)
    columns = [pl.Series(MESSAGES, asked, pl.String), pl.Series(name, answers, pl.String)]
    found = others.drop({MESSAGES, name} & set(others.columns)).with_columns(columns)
    kept = found.filter(pl.col(MESSAGES).is_not_null())
    told = [
        (beside, f"{beside!r} is what is answered, in place of the assistant's last words"),
        (MESSAGES in others.columns, f"the column {MESSAGES!r} is left out: the turns take its name"),
        (extra, f"in {extra:,} of them turns after the last answer are left out"),
    ]
    notes = [_said(form), *(note for holds, note in told if holds)]
    return Conversations(kept, tuple(dropped), name, tuple(notes))


def inferred_from(found: Conversations) -> Inferred:
    """Task, kind of input, columns and output, as `infer` gives them for other frames.

    Raises:
        SourceError: too few conversations are left.
    """
    used = {POSITION, found.output, MESSAGES}
    excluded = {name: "is no part of the conversation" for name in found.frame.columns if name not in used}
    count = found.frame[found.output].count()
    if count < FEWEST_EXAMPLES:
        reasons = ", ".join(sorted({each.reason for each in found.dropped})) or "nothing was left out"
        what = f"only {count} conversations have an answer ({reasons})"
        raise SourceError(Fault("data.source", what, f"at least {FEWEST_EXAMPLES}", "collect more, or mend these"))
    return Inferred("generation", "text", (Column(MESSAGES, "messages"),), found.output, excluded, found.notes)


def _said(form: Form) -> str:
    return f"generation, because the data has the form {form.name}: {form.why}"


def _listed(row: dict[str, Any]) -> list[Turn]:
    """A list of turns, perhaps with the system's words or tools beside it."""
    turns = turns_of(parsed(row["turns"], "the conversation"))
    system = str(row.get("system") or "")
    if system.strip() and not (turns and turns[0]["role"] == "system"):
        turns = [{"role": "system", "content": clean_text(system)}, *turns]
    return with_tools(turns, row.get("tools"))


def _paired(row: dict[str, Any]) -> list[Turn]:
    """A list of turns and the list of those that follow."""
    after = _turns_or_text(row["more"])
    return turns_of([*parsed(row["turns"], "the prompt"), *after])


def _turns_or_text(more: Any) -> list[Any]:
    """What follows a prompt: turns, where it is a list of them; else one answer, which may begin like a list."""
    try:
        found = parsed(more, "the completion")
    except Unfit:
        found = []
    if found and all(isinstance(each, dict) and each.keys() & SPEAKER for each in found):
        return found
    return [{"role": "assistant", "content": more}]


def _instructed(row: dict[str, Any]) -> list[Turn]:
    """Alpaca: what to do, perhaps what to do it with, what was said before, and the answer."""
    said = [str(row[name]) for name in ("question", "input", "context") if row.get(name) is not None]
    turns = turns_of([{"role": "system", "content": row.get("system")}])
    for number, pair in enumerate(parsed(row["history"], "the history") if row.get("history") else [], start=1):
        if not isinstance(pair, list) or len(pair) != 2:
            raise Unfit("unreadable", f"exchange {number} of the history is no pair of question and answer")
        turns += turns_of([{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}])
    question = {"role": "user", "content": "\n\n".join(each for each in said if each.strip())}
    return turns + turns_of([question, {"role": "assistant", "content": row["answer"]}])


def _instances(row: dict[str, Any]) -> list[Turn]:
    """Self-instruct: what to do, and a list of things to do it with, the first of which is taken."""
    first = next(iter(parsed(row["instances"], "the list of instances")), None)
    if not isinstance(first, dict):
        raise Unfit("no_assistant_turn", "there is no instance of the instruction")
    return _instructed({"question": row["question"], "input": first.get("input"), "answer": first.get("output")})


_READERS: dict[str, Callable[[dict[str, Any]], list[Turn]]] = {
    "messages": _listed,
    "sharegpt": _listed,
    "prompt and completion": _paired,
    "alpaca": _instructed,
    "self-instruct": _instances,
}
