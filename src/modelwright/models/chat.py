"""Chat templates: how a model wants a conversation written down. A model's own one, checked before it is trusted, or
ours where it has none; both run in the sandbox of models/sandbox.py.

transformers' `apply_chat_template` renders the same text (a test compares them), but it has no limit on what a
template may take, and it gives no place for what went wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from jinja2 import TemplateError

from modelwright.errors import Fault, InputError
from modelwright.models.sandbox import SPAN, compiled
from modelwright.models.text import texts_of
from modelwright.records import Schema

Turn = dict[str, str]

OURS = """\
{%- for message in messages -%}
{{- message.role | capitalize + ':\\n' + message.content | trim -}}
{%- if message.role == 'assistant' -%}{{- eos_token -}}{%- endif -%}
{{- '\\n\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- 'Assistant:\\n' -}}{%- endif -%}
"""
"""The template for tokenizers without one: each turn under the name of who speaks, each answer closed by the end
token. Roles stand on lines of their own: a space at the end of a prompt would be read with the answer's first word."""

PLAIN = """\
{%- for message in messages -%}
{%- if message.role == 'user' -%}{{- 'Q: ' + message.content | trim + '\\n' -}}
{%- elif message.role == 'assistant' -%}{{- 'A: ' + message.content | trim + eos_token + '\\n\\n' -}}
{%- else -%}{{- message.content | trim + '\\n\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- 'A:' -}}{%- endif -%}
"""
"""What a model that only goes on with texts answers as it is: questions and answers in turn, as Brown et al. 2020
("Language Models are Few-Shot Learners", appendix G) put them. It is taught in the same words, so that training starts
from what it knows, and then an answer is closed by the end token."""
NEXT = "\nQ:"
"""Where an answer by `PLAIN` is over: the model asks the next question itself."""

_ASKED, _ANSWERED, _SYSTEM, _TOOL = "What is a kite?", "A toy that flies.", "Be brief and kind.", "31 degrees outside"
_FIRST = [{"role": "user", "content": _ASKED}]
_BOTH = [*_FIRST, {"role": "assistant", "content": _ANSWERED}]
_AGAIN = [*_BOTH, {"role": "user", "content": "And a kettle?"}]
"""What a template is tried on."""

_TODO = "name another model, or remove its chat_template to have ours used"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation written down; `spans` are the characters that the template itself marks as the model's."""

    text: str
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A template that was tried and found to do what learning from conversations needs.

    Args:
        model: Whose it is, for messages.
        source: In jinja2.
        names: The special tokens that it may use: `bos_token`, `eos_token`...
        stop: The token that ends every answer, as text.
        ours: The model has none, so this is ours.
        lead: What it puts between a prompt and the words of the answer (Qwen 3: an empty block of thinking), without
            control tokens and outer space. It is learnt with the answers, and is no part of what is answered.
    """

    model: str
    source: str
    names: dict[str, str]
    stop: str
    ours: bool
    lead: str = ""

    @property
    def marks(self) -> bool:
        """Whether it says itself what of a conversation is the model's."""
        return _marks(self.source)

    def render(self, turns: Sequence[Turn], *, ask: bool = False) -> Rendered:
        """The turns as text.

        Args:
            turns: Of {"role", "content"}.
            ask: End where the assistant's words begin.

        Raises:
            InputError: the template fails; says how.
        """
        return _rendered(self.model, self.source, self.names, turns, ask=ask)


def chat_template(tokenizer: Any, *, model: str, roles: Iterable[str] = ()) -> ChatTemplate:
    """The tokenizer's template, tried on small conversations; ours where it has none.

    Args:
        tokenizer: With an end token (see models/endings.py).
        model: What the person called it.
        roles: Those of the data; a system turn that is dropped matters only where there is one.

    Raises:
        InputError: the template fails, drops a turn, does not go on from the prompt, or ends no answer.
    """
    given = tokenizer.chat_template
    if isinstance(given, dict):
        given = given.get("default")
    names = {name: str(each) for name, each in tokenizer.special_tokens_map.items() if isinstance(each, str)}
    source = given or ("{{- bos_token -}}" if begins_with(tokenizer) else "") + OURS
    _check_syntax(source, model)
    _check_turns(source, names, model, set(roles))
    control = control_pattern(tokenizer)
    stop = _stop(source, names, model, control)
    return ChatTemplate(model, source, names, stop, ours=not given, lead=_lead(source, names, model, control))


def plain_template(tokenizer: Any, *, model: str) -> ChatTemplate:
    """`PLAIN` for a model that was taught nothing; an answer also ends at `NEXT`, which is no token.

    No end token closes the answers that it is shown: to such a model that is where another document begins.

    Args:
        tokenizer: With an end token.
        model: What the person called it.
    """
    names = {name: str(each) for name, each in tokenizer.special_tokens_map.items() if isinstance(each, str)}
    source = plain_source(tokenizer)
    return ChatTemplate(model, source, {**names, "eos_token": ""}, tokenizer.eos_token, ours=True)


def plain_source(tokenizer: Any) -> str:
    """`PLAIN` as the chat template of this tokenizer: what a model without one is taught by."""
    return ("{{- bos_token -}}" if begins_with(tokenizer) else "") + PLAIN


def plain_ends(schema: Schema, train: pl.DataFrame) -> tuple[str, ...]:
    """Where an answer by `PLAIN` is over: at the next question, and at the end of a line, unless a known answer has it.

    Args:
        schema: Of generation.
        train: With the answers.
    """
    answers = train[schema.output].cast(pl.String).fill_null("").str.strip_chars()
    return tuple(end for end in (NEXT, "\n") if not answers.str.contains(end, literal=True).any())


def questions_of(schema: Schema, examples: pl.DataFrame) -> list[list[Turn]]:
    """The turns that each example asks to be answered: those of its column of messages, or its text as the user's."""
    if [column.kind for column in schema.inputs] == ["messages"]:
        return [json.loads(text) for text in examples[schema.names[0]]]
    return [[{"role": "user", "content": text}] for text in texts_of(schema, examples)]


def talks_of(schema: Schema, examples: pl.DataFrame) -> list[list[Turn]]:
    """The turns of each example with its answer as the last one: what `completions.chats` takes."""
    answers = examples[schema.output].to_list()
    asked = questions_of(schema, examples)
    return [[*turns, {"role": "assistant", "content": each}] for turns, each in zip(asked, answers, strict=True)]


def roles_of(talks: Iterable[Sequence[Turn]]) -> set[str]:
    """Who speaks in any of them."""
    return {turn["role"] for turns in talks for turn in turns}


def control_tokens(tokenizer: Any) -> list[str]:
    """The tokens that structure texts instead of standing for words of them, the longest first."""
    added = {str(each.content) for each in tokenizer.added_tokens_decoder.values() if each.special}
    return sorted({*map(str, tokenizer.all_special_tokens), *added}, key=lambda each: (-len(each), each))


def control_pattern(tokenizer: Any) -> re.Pattern[str]:
    """What finds a control token in a text."""
    return re.compile("|".join(map(re.escape, control_tokens(tokenizer))) or r"(?!)")


def begins_with(tokenizer: Any) -> list[int]:
    """The start token, where the tokenizer puts it before every text, else nothing."""
    first = tokenizer("a")["input_ids"][:1]
    return list(first) if tokenizer.bos_token_id is not None and first == [tokenizer.bos_token_id] else []


def _marks(source: str) -> bool:
    return re.search(r"\{%[-+]?\s*generation\s*[-+]?%\}", source) is not None


def _rendered(model: str, source: str, names: dict[str, str], turns: Sequence[Turn], *, ask: bool) -> Rendered:
    variables = {"messages": list(turns), "tools": None, "documents": None, "add_generation_prompt": ask, **names}
    try:
        text = compiled(source)(variables)
    except Exception as error:  # a template is a program: it may raise anything
        roles = ", ".join(turn["role"] for turn in turns)
        found = f"{model}: its chat template fails on turns of {roles}: {str(error) or type(error).__name__}"
        raise InputError(Fault("model.base", found, "a text", _TODO)) from error
    return _unmarked(text) if SPAN[0] in text or SPAN[1] in text else Rendered(text, ())


def _unmarked(text: str) -> Rendered:
    """`text` without the marks, and where they stood."""
    pieces, places, length = re.split(f"([{SPAN[0]}{SPAN[1]}])", text), [], 0
    for piece in pieces:
        if piece in SPAN:
            places.append(length)
        else:
            length += len(piece)
    plain = "".join(piece for piece in pieces if piece not in SPAN)
    return Rendered(plain, tuple(zip(places[::2], places[1::2], strict=False)))


def _check_syntax(source: str, model: str) -> None:
    try:
        compiled(source)
    except (TemplateError, RecursionError) as error:
        found = f"{model}: its chat template is none: {error}"
        raise InputError(Fault("model.base", found, "a template of jinja2", _TODO)) from error


def _check_turns(source: str, names: dict[str, str], model: str, roles: set[str]) -> None:
    """Return if every turn comes out, and answers go on from where the prompt ends.

    Raises:
        InputError: with all that is wrong.
    """

    def text(*turns: Turn, ask: bool = False) -> str:
        return _rendered(model, source, names, turns, ask=ask).text

    def faults() -> Iterator[str]:
        asked, both = text(*_FIRST, ask=True), text(*_BOTH)
        if _ASKED not in asked:
            yield "drops the user's turn"
        if _ANSWERED not in both:
            yield "drops the assistant's turn"
        if not both.startswith(asked):
            yield f"renders the answer in another way than the prompt leads up to: {_differ(asked, both)}"
        if "system" in roles and _SYSTEM not in text({"role": "system", "content": _SYSTEM}, *_FIRST, ask=True):
            yield "drops the system turn, and the data has system turns"
        if "tool" in roles and _TOOL not in text(*_BOTH, {"role": "tool", "content": _TOOL}, ask=True):
            yield "drops what tools answer, and the data has turns of tools"

    wrong = [f"{model}: its chat template {each}" for each in faults()]
    if wrong:
        raise InputError([Fault("model.base", each, "every turn as given", _TODO) for each in wrong])


def _differ(prompt: str, whole: str) -> str:
    """Where two texts part, in words."""
    place = next((i for i, pair in enumerate(zip(prompt, whole, strict=False)) if len(set(pair)) > 1), len(whole))
    return f"{prompt[place : place + 30]!r} before the answer, {whole[place : place + 30]!r} with it"


def _stop(source: str, names: dict[str, str], model: str, control: re.Pattern[str]) -> str:
    """The control token that follows an answer.

    Raises:
        InputError: none does, so that a model would never learn to stop.
    """
    text = _rendered(model, source, names, _BOTH, ask=False).text
    after = text[text.rindex(_ANSWERED) + len(_ANSWERED) :]
    first = control.search(after)
    if first is None:
        what = f"writes {after[:40]!r} after an answer, none of the tokenizer's special tokens" if after.strip() else ""
        found = f"{model}: its chat template {what or 'writes nothing after an answer'}, so the model learns no stop"
        raise InputError(Fault("model.base", found, "an end token after every answer", _TODO))
    return first.group()


def _lead(source: str, names: dict[str, str], model: str, control: re.Pattern[str]) -> str:
    """What a template that was tried puts between a prompt and the words of the answer; see `ChatTemplate`."""
    asked = _rendered(model, source, names, _FIRST, ask=True).text
    both = _rendered(model, source, names, _BOTH, ask=False).text
    return control.sub("", both[len(asked) : both.rindex(_ANSWERED)]).strip()
