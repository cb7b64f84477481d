"""A language model that is shown, before each prompt, how the nearest known prompts were answered.

Which examples are shown matters much: those nearest to the prompt beat a random draw clearly (Liu et al. 2022, "What
Makes Good In-Context Examples for GPT-3?", section 4), and nothing is fitted. The nearest stands last, by the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from modelwright.models.chat import Turn, questions_of
from modelwright.models.features.stored import load_state, save_state
from modelwright.models.predictors import Predictions, load_predictor, save_predictor
from modelwright.models.predictors.language_model import LanguageModel
from modelwright.models.predictors.nearest_answer import NearestAnswer
from modelwright.records import Schema

MODEL, KNOWN = "model", "known"


class FewShot:
    """Answers by a language model after so many worked examples, fewer where they do not fit before a prompt."""

    kind: ClassVar[str] = "few_shot"

    def __init__(self, language: LanguageModel, known: NearestAnswer, talks: Sequence[list[Turn]], shots: int) -> None:
        """`talks` are the known prompts with their answers as turns, in the order of `known`."""
        self.schema = language.schema
        self._language = language
        self._known = known
        self._talks = list(talks)
        self._shots = min(shots, len(self._talks))

    @property
    def describes(self) -> str:
        """How it answers, in a line."""
        which = f"up to {self._shots} of {len(self._talks):,} examples before each prompt"
        return f"{self._language.describes}, with {which}, the nearest by {self._known.likeness}"

    def prompts(self, examples: pl.DataFrame) -> list[list[int]]:
        """What the model is asked, as tokens."""
        nearest_NK = self._known.nearest_NK(examples, self._shots)
        shown = [[self._talks[place] for place in reversed(places)] for places in nearest_NK.tolist()]
        return self._language.asking.after(questions_of(self.schema, examples), shown, room=self._language.room)

    def predict(self, examples: pl.DataFrame) -> Predictions:
        """The answer to each prompt, in their order."""
        return self._language.answered(self.prompts(examples))

    def longest_seconds(self, prompts: Sequence[Sequence[int]]) -> float:
        """About what answering these takes: see the language model's."""
        return self._language.longest_seconds(prompts)

    def complete(self, prompts: Sequence[str], **options: Any) -> list[str]:
        """What the model itself goes on with: see there."""
        return self._language.complete(prompts, **options)

    def save(self, folder: Path) -> None:
        """Write `few_shot.json`, the model into `model/`, and what nearness is judged by into `known/`."""
        save_state(folder, self.kind, {"shots": self._shots, "talks": self._talks})
        save_predictor(self._language, folder / MODEL)
        save_predictor(self._known, folder / KNOWN)

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> FewShot:
        """The predictor saved in `folder`.

        Raises:
            IntegrityError: it is not what was saved.
        """
        state = load_state(folder, cls.kind)
        language, known = load_predictor(folder / MODEL), load_predictor(folder / KNOWN)
        assert isinstance(language, LanguageModel) and isinstance(known, NearestAnswer)
        return cls(language, known, state["talks"], state["shots"])
