"""How an example of generation is put to a language model: as a conversation, by a template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from modelwright.models.chat import (
    ChatTemplate,
    Turn,
    chat_template,
    plain_template,
    questions_of,
    talks_of,
)
from modelwright.models.completions import Completions, chats
from modelwright.models.endings import stop_ids
from modelwright.models.marking import Encoder
from modelwright.models.written import shorter
from modelwright.records import Schema

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_ANSWERS = 0.99
"""Of the known answers, what an answer of the model may be as long as. Chosen."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Puts examples to a model.

    Args:
        schema: Of generation.
        tokenizer: With an end token (models/endings.py).
        template: What writes conversations down.
        encoder: The tokenizer without its wrapping.
        given: Tokens at which the model itself ends answers, beside that of the template.
    """

    schema: Schema
    tokenizer: Any
    template: ChatTemplate
    encoder: Encoder
    given: tuple[int, ...] = ()

    def learnt(self, examples: pl.DataFrame, *, max_length: int) -> Completions:
        """The examples with their answers as tokens, of which the answers carry loss.

        Raises:
            InputError: none can be learned from.
        """
        return chats(self.template, self.tokenizer, talks_of(self.schema, examples), max_length=max_length)

    def prompts(self, examples: pl.DataFrame, *, room: int) -> list[list[int]]:
        """What the model is asked, as tokens, `room` of them at most; what is too long is shortened as in `after`."""
        return self.after(questions_of(self.schema, examples), [()] * len(examples), room=room)

    def after(
        self, asked: Sequence[list[Turn]], shown: Sequence[Sequence[list[Turn]]], *, room: int
    ) -> list[list[int]]:
        """What the model is asked after it was shown how others were answered, as tokens, `room` of them at most.

        Of what is too long the first examples go first; then it is shortened as what is learnt is: the oldest exchanges
        go, then the beginning of the question. Only what does not fit with next to no question loses its first tokens.

        Args:
            asked: The turns of each question.
            shown: Before each, whole conversations, each of which ends in an answer; the system turn is the question's.
            room: In tokens.
        """
        found: list[list[int]] = [[] for _ in asked]
        left = {place: (list(before), turns) for place, (before, turns) in enumerate(zip(shown, asked, strict=True))}
        while left:
            texts = [self.template.render(_led_up_to(*each), ask=True).text for each in left.values()]
            for place, ids in zip(list(left), self.encoder.ids(texts), strict=True):
                before, turns = left[place]
                if len(ids) <= room:
                    found[place] = ids
                    del left[place]
                elif before:
                    left[place] = before[1:], turns
                elif less := shorter(turns, length=len(ids), max_length=room):
                    left[place] = before, less[0]
                else:
                    found[place] = ids[len(ids) - room :]
                    del left[place]
        return found

    def answer_tokens(self, examples: pl.DataFrame, *, max_length: int) -> int:
        """How many tokens an answer may take: what nearly all of these do and a few more, half of `max_length` at most.

        What the template puts before the answer's words is written too.

        Args:
            examples: With their answers.
            max_length: Tokens that the model reads at once.
        """
        answers = self.encoder.ids(examples[self.schema.output].cast(pl.String).fill_null("").to_list())
        (lead,) = self.encoder.ids([self.template.lead])
        longest = int(np.quantile([len(each) for each in answers], LONGEST_ANSWERS)) + 8
        return min(len(lead) + longest, max_length // 2)

    def stops(self) -> tuple[int, ...]:
        """The tokens at which an answer ends."""
        return stop_ids(self.tokenizer, self.template, self.given)

    def around_tokens(self) -> int:
        """How many tokens the template puts around a question and its answer."""
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
        (ids,) = self.encoder.ids([self.template.render(turns).text])
        return len(ids)


def _led_up_to(shown: Sequence[list[Turn]], asked: list[Turn]) -> list[Turn]:
    """The turns of the question, with those of the examples put between its system turn and the rest."""
    system = [turn for turn in asked[:1] if turn["role"] == "system"]
    before = [turn for turns in shown for turn in turns if turn["role"] != "system"]
    return [*system, *before, *asked[len(system) :]]


def asking(
    schema: Schema, tokenizer: Any, *, plain: bool, model: str, roles: Iterable[str] = (), given: Iterable[int] = ()
) -> Asking:
    """How examples of `schema` are put to a model with this tokenizer.

    Args:
        schema: Of generation.
        tokenizer: With an end token.
        plain: As questions and answers in turn, to a model that was taught neither; else by the tokenizer's chat
            template, or ours where it has none.
        model: What the person called it.
        roles: Those of the data.
        given: Tokens at which the model itself ends answers.

    Raises:
        InputError: the template does not do what learning needs.
    """
    template = plain_template(tokenizer, model=model) if plain else chat_template(tokenizer, model=model, roles=roles)
    return Asking(schema, tokenizer, template, Encoder(tokenizer, template.stop), tuple(given))
