"""A language model: says how many bits a text takes, and goes on with a prompt."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from modelwright.data.parts import objects
from modelwright.models.generate import generated
from modelwright.models.portions import by_length
from modelwright.models.predictors import Predictions
from modelwright.models.predictors.prepared import load_preparation, save_preparation
from modelwright.records import Schema

if TYPE_CHECKING:
    from modelwright.models.asking import Asking
    from modelwright.models.language import Language
    from modelwright.models.windows import Windows

TOGETHER = 16
"""Prompts that are gone on with at once. Chosen."""
PROBED = 8
"""Tokens that are written to know what one takes. Chosen."""


@dataclass(frozen=True, slots=True)
class Wording:
    """How an example becomes tokens, and an answer ends.

    Args:
        max_length: Tokens that the model reads at once.
        max_new_tokens: Of an answer, at most; generation only.
        plain: Prompts are put as questions, to a model that only goes on with texts (`chat.PLAIN`); else by the
            tokenizer's chat template.
        ends: Texts at which an answer is over too, beside the tokens that end one.
        describes: What the model is, in a line.
    """

    max_length: int = 256
    max_new_tokens: int = 64
    plain: bool = False
    ends: tuple[str, ...] = ()
    describes: str = ""


class LanguageModel:
    """Answers by a causal language model on the device that it lies on; weights float32.

    Args:
        schema: What goes in and out.
        network: Its model is saved in transformers' own layout.
        preparation: See there.
        tokenizer: A fast one of transformers.
    """

    kind: ClassVar[str] = "language_model"

    def __init__(self, schema: Schema, network: Language, preparation: Wording, tokenizer: Any) -> None:
        self.schema = schema
        self.network = network
        self.preparation = preparation
        self.tokenizer = tokenizer
        self._asking: Asking | None = None

    @property
    def describes(self) -> str:
        """How it answers, in a line."""
        return self.preparation.describes

    @property
    def asking(self) -> Asking:
        """How prompts are put."""
        return self._asking or self.settle_asking(model="this model")

    def settle_asking(self, *, model: str, roles: Iterable[str] = ()) -> Asking:
        """How prompts are put from now on; their template is tried here, and not again.

        Args:
            model: What the person called it, for messages.
            roles: Those of the data.

        Raises:
            InputError: the template does not do what learning needs.
        """
        from modelwright.models.asking import asking

        own = self.network.model.generation_config.eos_token_id
        given = () if own is None else (own,) if isinstance(own, int) else own
        plain = self.preparation.plain
        self._asking = asking(self.schema, self.tokenizer, plain=plain, model=model, roles=roles, given=given)
        return self._asking

    def prepare(self, examples: pl.DataFrame) -> Windows:
        """The examples as the network takes them: long texts in windows that share half their tokens."""
        from modelwright.models.text import texts_of
        from modelwright.models.windows import Windows, windows_of

        length = self.preparation.max_length
        if self.schema.task == "generation":
            learnt = self.asking.learnt(examples, max_length=length)
            return Windows(learnt.tokens, learnt.targets_flat, np.arange(len(learnt)), len(learnt))
        return windows_of(self.tokenizer, texts_of(self.schema, examples), length=length, overlap=length // 2)

    def predict(self, examples: pl.DataFrame) -> Predictions:
        """The answer to each prompt, or the bits that each text takes, in their order."""
        if self.schema.task == "generation":
            return self.answered(self.prompts(examples))
        return self.answers(self.outputs(self.prepare(examples)))

    @property
    def room(self) -> int:
        """Tokens that a prompt may take, so that an answer has its place behind it."""
        return self.preparation.max_length - self.preparation.max_new_tokens

    def prompts(self, examples: pl.DataFrame) -> list[list[int]]:
        """What the model is asked, as tokens."""
        return self.asking.prompts(examples, room=self.room)

    def answered(self, prompts: Sequence[Sequence[int]]) -> Predictions:
        """The answers to prompts that `asking` put into tokens, without what the template puts before their words."""
        how, stops, lead = self.preparation, self.asking.stops(), self.asking.template.lead
        texts = self._continued(prompts, max_tokens=how.max_new_tokens, stops=stops, ends=how.ends)
        return Predictions(texts_N=objects([text.strip().removeprefix(lead).strip() for text in texts]))

    def outputs(self, features: Windows) -> np.ndarray:
        """Nats that the targets of each example take, and how many there are: float64 (N, 2)."""
        found_N2 = np.zeros((len(features), 2))
        for chosen in by_length(features.lengths_W):
            np.add.at(found_N2, features.owner_W[chosen], self.portion(features, chosen))
        return found_N2

    def portion(self, features: Windows, chosen: np.ndarray) -> np.ndarray:
        """The same of the windows at `chosen`, which are read at once, in float32 arithmetic: (w, 2).

        Leaves the network in evaluation mode.
        """
        from modelwright.models.language import surprises

        return surprises(self.network, features, chosen)

    def drawn(self, features: Windows, seed: int = 0) -> np.ndarray:
        """Outputs for these examples, drawn at random: to see how long what follows takes."""
        return np.random.default_rng(seed).uniform(1, 10, size=(len(features), 2))

    def writing_seconds(self, count: int) -> float:
        """What answering so many prompts takes where each answer is as long as one may be."""
        if self.schema.task != "generation":
            return 0.0
        began = time.perf_counter()
        self.complete(["?"] * TOGETHER, max_tokens=self.preparation.max_new_tokens)
        return (time.perf_counter() - began) * count / TOGETHER

    def longest_seconds(self, prompts: Sequence[Sequence[int]]) -> float:
        """About what answering these takes where each answer is as long as one may be; a few tokens are written."""
        taken = []
        for tokens in (1, 1 + PROBED):
            began = time.perf_counter()
            self._continued(prompts, max_tokens=tokens, stops=self.asking.stops())
            taken.append(time.perf_counter() - began)
        each = max(0.0, taken[1] - taken[0]) / PROBED
        return taken[0] + each * (self.preparation.max_new_tokens - 1)

    def answers(self, outputs: np.ndarray) -> Predictions:
        """Bits instead of nats."""
        return Predictions(values_N=outputs[:, 0] / math.log(2))

    def loss(self, outputs: np.ndarray, truth_N: np.ndarray) -> float:
        """Nats per token."""
        return float(outputs[:, 0].sum() / max(1.0, outputs[:, 1].sum()))

    def complete(
        self, prompts: Sequence[str], *, max_tokens: int = 64, temperature: float = 0.0, seed: int = 0
    ) -> list[str]:
        """What the model goes on with, to its end token or `max_tokens`.

        Args:
            prompts: The beginnings; of a long one the last tokens are read.
            max_tokens: At most so many are added, and no more than the model reads at once.
            temperature: 0 takes the likeliest token each time; higher, draws more freely.
            seed: Of the draws.
        """
        start = self.tokenizer.eos_token_id if self.tokenizer.bos_token_id is None else self.tokenizer.bos_token_id
        max_tokens = min(max_tokens, self.preparation.max_length - 1)
        room = self.preparation.max_length - max_tokens - 1
        found = self.tokenizer(list(prompts), add_special_tokens=False, return_attention_mask=False)["input_ids"]
        ids = [[start, *each[max(0, len(each) - room) :]] for each in found]
        return self._continued(ids, max_tokens=max_tokens, temperature=temperature, seed=seed)

    def _continued(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        stops: Sequence[int] = (),
        ends: Sequence[str] = (),
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[str]:
        """The texts that the model puts after these tokens; prompts of like length are taken together."""
        import torch

        self.network.eval()
        torch.manual_seed(seed)
        order = sorted(range(len(prompts)), key=lambda position: len(prompts[position]))
        found = [""] * len(prompts)
        for first in range(0, len(order), TOGETHER):
            chosen = order[first : first + TOGETHER]
            ended = list(stops) or [self.tokenizer.eos_token_id]
            rows = generated(
                self.network.model,
                [prompts[position] for position in chosen],
                pad=int(self.tokenizer.pad_token_id),
                stops=ended,
                max_tokens=max_tokens,
                temperature=temperature,
                over=partial(self._over, stops=ended, ends=ends) if ends else None,
            )
            for position, text in zip(chosen, self._texts(rows, ended), strict=True):
                found[position] = _before(text, ends)
        return found

    def _texts(self, rows: Sequence[Sequence[int]], stops: Sequence[int]) -> list[str]:
        texts: list[str] = self.tokenizer.batch_decode([_until(row, stops) for row in rows], skip_special_tokens=True)
        return texts

    def _over(self, rows: Sequence[Sequence[int]], *, stops: Sequence[int], ends: Sequence[str]) -> list[bool]:
        """Which answers go no further, by what was written of them."""
        return [_before(text, ends) != text.lstrip() for text in self._texts(rows, stops)]

    def save(self, folder: Path) -> None:
        """Write the model and the tokenizer in transformers' own layout, and the preparation.

        The tokens that end an answer are listed here: after a training with adapters the model is another object.
        """
        from modelwright.models.language import save_language

        if self.schema.task == "generation":
            self.network.model.generation_config.eos_token_id = list(self.asking.stops())
        save_language(self.network, self.tokenizer, folder)
        save_preparation(self.preparation, folder)

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> LanguageModel:
        """The predictor that `save` wrote.

        Raises:
            IntegrityError: `preparation.json` is not one.
        """
        from modelwright.models.language import language_in
        from modelwright.models.text import tokenizer_from

        preparation = load_preparation(Wording, folder)
        return cls(schema, language_in(folder, "causal").eval(), preparation, tokenizer_from(folder))


def _before(text: str, ends: Sequence[str]) -> str:
    """The text before the first that ends it; the space before its first word is none."""
    if not ends:
        return text
    begun = text.lstrip()
    return begun[: min((place for end in ends if (place := begun.find(end)) >= 0), default=len(begun))]


def _until(tokens: Sequence[int], ends: Sequence[int]) -> Sequence[int]:
    """The tokens before the first that ends an answer."""
    return tokens[: next((at for at, token in enumerate(tokens) if token in ends), len(tokens))]
