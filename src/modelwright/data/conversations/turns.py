"""One conversation as it is published -> turns of {"role", "content"}, checked: what a chat template can render.

Roles are system, user, assistant and tool. Calls of tools are the assistant's words, as JSON; what a tool answers is
the tool's turn. `Unfit` says why a conversation cannot be learned from, in words for the person whose data it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Turn = dict[str, str]

ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bing", "bard", "bot", "model", "ai"), "assistant"),
    **dict.fromkeys(("function_call", "tool_call"), "assistant"),
    **dict.fromkeys(("tool", "observation", "function", "function_response", "tool_response", "ipython"), "tool"),
}
"""What public sets call a role, and what it is."""

SPEAKER = frozenset(("role", "from"))
"""Where a turn says who speaks: in OpenAI's form, and in ShareGPT's."""

TOOLS = "Tools that can be called, described as JSON:\n"
"""What stands in the system turn before the descriptions that a set keeps beside the turns."""

encoded = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
"""The one JSON text of plain lists and objects: as `records.canonical`, without its walk through them."""


class Unfit(Exception):
    """A conversation that cannot be learned from: `reason` as in dropped.parquet, and what was found."""

    def __init__(self, reason: str, found: str) -> None:
        super().__init__(found)
        self.reason, self.found = reason, found


def parsed(value: Any, what: str) -> list[Any]:
    """The list that `value`, a JSON text, holds.

    Raises:
        Unfit: it is no JSON, or no list.
    """
    if value is None:
        raise Unfit("no_assistant_turn", f"{what} is empty")
    try:
        found = json.loads(str(value))
    except (ValueError, RecursionError) as error:
        raise Unfit("unreadable", f"{what} is not JSON ({error})") from error
    if not isinstance(found, list):
        raise Unfit("unreadable", f"{what} holds no list of turns but {type(found).__name__}")
    return found


def turns_of(listed: list[Any]) -> list[Turn]:
    """The turns of a list of {role, content} (OpenAI's form) or {from, value} (ShareGPT's).

    Raises:
        Unfit: a turn is no object, has an unknown role, or holds something other than text.
    """
    return [turn for number, each in enumerate(listed, start=1) if (turn := _turn(each, f"turn {number}"))]


def _turn(found: Any, what: str) -> Turn | None:
    """The turn, or None where it is a system turn that says nothing."""
    if not isinstance(found, dict):
        raise Unfit("unreadable", f"{what} is no object with a role and a content")
    given = found.get("role", found.get("from"))
    role = ROLES.get(str(given).strip().casefold())
    if role is None:
        raise Unfit("unknown_role", f"{what} has the role {str(given)[:40]!r}")
    content = _text(found.get("content", found.get("value")), what)
    calls = found.get("tool_calls") or ([found["function_call"]] if found.get("function_call") else [])
    content = "\n".join([*([content] if content.strip() else []), *_calls(calls, what)]) if calls else content
    return None if role == "system" and not content.strip() else {"role": role, "content": clean_text(content)}


def _text(content: Any, what: str) -> str:
    """The text of a turn: as it is, or the pieces of a list of {type: text, text}."""
    if isinstance(content, list):
        if not all(isinstance(each, dict) and isinstance(each.get("text"), str) for each in content):
            raise Unfit("not_text", f"{what} holds something other than text")
        return "".join(each["text"] for each in content)
    if isinstance(content, dict):
        return encoded(content)
    return "" if content is None else str(content)


def _calls(calls: Any, what: str) -> Iterator[str]:
    """Each call of a tool as a line of JSON with the name and the arguments."""
    for each in calls if isinstance(calls, list) else [calls]:
        call = each.get("function", each) if isinstance(each, dict) else None
        if not isinstance(call, dict) or "name" not in call:
            raise Unfit("unreadable", f"{what} calls a tool without a name")
        arguments = call.get("arguments", {})
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments)
            except (ValueError, RecursionError):
                arguments = str(arguments)  # models write arguments that are no JSON; it stays what was said
        yield json.dumps({"name": call["name"], "arguments": arguments}, ensure_ascii=False)


def clean_text(text: str) -> str:
    """`text` with lone halves of surrogate pairs, which are no text, as question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def with_tools(turns: list[Turn], tools: str | None) -> list[Turn]:
    """`turns` with the descriptions of the tools at the end of the system turn."""
    if tools is None or tools.strip() in ("", "[]", "{}", "null"):
        return turns
    said = TOOLS + clean_text(tools.strip())
    if turns and turns[0]["role"] == "system":
        return [{"role": "system", "content": f"{turns[0]['content']}\n\n{said}"}, *turns[1:]]
    return [{"role": "system", "content": said}, *turns]


def answered_with(turns: list[Turn], answer: Any) -> list[Turn]:
    """`turns` with `answer` in place of the assistant's words that they end with, or after the last turn."""
    before = turns[:-1] if turns and turns[-1]["role"] == "assistant" else turns
    return [*before, {"role": "assistant", "content": "" if answer is None else clean_text(str(answer))}]


def asked_and_answered(turns: list[Turn]) -> tuple[list[Turn], str]:
    """The turns before the last one of the assistant, and its content.

    Raises:
        Unfit: there is no such turn, or the turns do not follow one another as in a conversation.
    """
    last = max((place for place, turn in enumerate(turns) if turn["role"] == "assistant"), default=None)
    if last is None:
        raise Unfit("no_assistant_turn", f"none of {len(turns)} turns is the assistant's")
    for number, turn in enumerate(turns[: last + 1], start=1):
        before = turns[number - 2]["role"] if number > 1 else "system"
        if turn["role"] == "system":
            if number > 1:
                raise Unfit("misplaced_turn", f"turn {number} is the system's, but not the first")
        elif turn["role"] == before != "tool":
            raise Unfit("role_twice", f"turns {number - 1} and {number} are both the {before}'s")
        elif before == "system" and turn["role"] != "user":
            raise Unfit("misplaced_turn", f"turn {number} is the {turn['role']}'s, before the user said anything")
        if not turn["content"].strip():
            reason = "empty_answer" if number == last + 1 else "empty_turn"
            raise Unfit(reason, f"turn {number}, the {turn['role']}'s, is empty")
    return turns[:last], turns[last]["content"]
