"""Conversations as text: written down by a template, with the places of their answers; shortened where they must be."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from modelwright.errors import InputError
from modelwright.models.chat import ChatTemplate, Turn

REWRITTEN = "have an earlier answer that the template rewrites: it carries no loss"
CUT_TURNS = "lost their oldest turns"
CUT_QUESTION = "lost the beginning of the question"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A conversation that cannot be learned from: its place among those given, why, and what was found."""

    index: int
    reason: str
    where: str


class Unfit(Exception):
    """A conversation that cannot be learned from: `reason` as in `LeftOut`, and what was found."""

    def __init__(self, reason: str, found: str) -> None:
        super().__init__(found)
        self.reason = reason


@dataclass(slots=True)
class Account:
    """What became of conversations that are not learnt from as they are: left out, or counted under what was done."""

    dropped: list[LeftOut] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)

    def drop(self, index: int, unfit: Unfit) -> None:
        """Note that the conversation at `index` is left out."""
        self.dropped.append(LeftOut(index, unfit.reason, str(unfit)))


@dataclass(frozen=True, slots=True)
class Written:
    """A conversation as text.

    `answers` are the characters of each answer that is learnt, from where its prompt ends to behind its end token;
    `spans` those that the template marks as the model's; `done` what was done to it, in words.
    """

    index: int
    turns: Sequence[Turn]
    text: str
    answers: tuple[tuple[int, int], ...]
    spans: tuple[tuple[int, int], ...]
    done: frozenset[str] = frozenset()


def written_down(
    template: ChatTemplate,
    conversations: Iterable[tuple[int, Sequence[Turn]]],
    control: re.Pattern[str],
    account: Account,
) -> Iterator[Written]:
    """Each conversation as text; those that cannot be learned from go into the account.

    Args:
        template: How it is written down.
        conversations: With their places; each ends in an answer.
        control: Finds tokens that would part a text where nobody meant it.
        account: Added to.
    """
    for index, turns in conversations:
        try:
            for number, turn in enumerate(turns, start=1):
                if control.search(turn["content"]):
                    raise Unfit("control_token", f"turn {number} holds a control token of the model in its text")
            yield _write(template, index, turns)
        except Unfit as unfit:
            account.drop(index, unfit)


def shortened(template: ChatTemplate, each: Written, *, length: int, max_length: int) -> Written:
    """`each` without its oldest exchanges, or with less of its question; it may have to be shortened again.

    Args:
        template: How it is written down.
        each: A conversation that is too long.
        length: Its tokens.
        max_length: Those that it may have.

    Raises:
        Unfit: what is left is the answer and what must stand before it.
    """
    less = shorter(each.turns, length=length, max_length=max_length)
    if less is None:
        raise Unfit("too_long", f"without its question it takes more than {max_length:,} tokens")
    turns, how = less
    found = _write(template, each.index, turns)
    return replace(found, done=found.done | each.done | {how})


def shorter(turns: Sequence[Turn], *, length: int, max_length: int) -> tuple[list[Turn], str] | None:
    """The turns without the oldest exchanges, or with less of the only question left, and which of the two.

    They may still be too long, as characters are counted and not tokens. None where nothing is left to be shortened.

    Args:
        turns: What is asked, or with an answer to it at the end; the system turn stays.
        length: Their tokens, as the template writes them.
        max_length: Those that they may have.
    """
    system = [turn for turn in turns[:1] if turn["role"] == "system"]
    rest = list(turns[len(system) :])
    users = [place for place, turn in enumerate(rest) if turn["role"] == "user"]
    excess = (length - max_length) * sum(len(turn["content"]) for turn in turns) / length  # in characters, or less
    if len(users) > 1:
        sizes = {place: sum(len(turn["content"]) for turn in rest[:place]) for place in users[1:]}
        oldest = next((place for place, size in sizes.items() if size >= excess), users[-1])
        return [*system, *rest[oldest:]], CUT_TURNS
    if users != [0]:
        return None
    question = rest[0]["content"]
    less = question[min(int(excess) + 1, len(question) - 1) :].lstrip()
    if not less or less == question:
        return None
    return [*system, {"role": "user", "content": less}, *rest[1:]], CUT_QUESTION


def _write(template: ChatTemplate, index: int, turns: Sequence[Turn]) -> Written:
    """The conversation as text, with the places of its answers.

    Raises:
        Unfit: the template fails on it, or does not go on from the last prompt.
    """
    try:
        whole = template.render(turns)
        places = [place for place, turn in enumerate(turns) if turn["role"] == "assistant"]
        prompts = [template.render(turns[:place], ask=True).text for place in places]
        alone = [*(template.render(turns[: place + 1]).text for place in places[:-1]), whole.text]
    except InputError as error:
        raise Unfit("template_fails", error.faults[0].found) from error
    if turns[-1]["content"].strip() not in whole.text:
        raise Unfit("not_a_prefix", "the template changes the answer")
    answers = []
    for prompt, told in zip(prompts, alone, strict=True):
        begin = len(prompt)
        end = told.find(template.stop, begin) + len(template.stop)
        if told.startswith(prompt) and end >= begin + len(template.stop) and whole.text.startswith(told[:end]):
            answers.append((begin, end))
    if not answers or answers[-1][0] != len(prompts[-1]):
        raise Unfit("not_a_prefix", "the template renders the answer in another way than the prompt leads up to")
    done = frozenset({REWRITTEN} if len(answers) < len(places) else ())
    return Written(index, turns, whole.text, tuple(answers), whole.spans, done)
