"""Everything that answers. A rule, a linear model, boosted trees and a fine-tuned transformer are all a
`Predictor`, so the same code judges, times, compares, packages and serves them.

The ladder and training make predictors; this room holds what they make and how it is saved and loaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import polars as pl

from modelwright.errors import IntegrityError
from modelwright.records import Column, Schema, Task, plain
from modelwright.registry import Table

PREDICTORS = Table(
    "predictor",
    {
        "constant": "modelwright.models.predictors.constant:Constant",
        "rule": "modelwright.models.predictors.rule:Rule",
        "linear": "modelwright.models.predictors.linear:Linear",
        "neighbours": "modelwright.models.predictors.neighbours:Neighbours",
        "trees": "modelwright.models.predictors.trees:Trees",
        "blend": "modelwright.models.predictors.blend:Blend",
        "decision": "modelwright.models.predictors.decision:Decision",
        "nearest_answer": "modelwright.models.predictors.nearest_answer:NearestAnswer",
        "few_shot": "modelwright.models.predictors.few_shot:FewShot",
        "ngram": "modelwright.models.predictors.ngram:NGram",
        "each": "modelwright.models.predictors.each:Each",
        "lexicon": "modelwright.models.predictors.lexicon:Lexicon",
        "chain": "modelwright.models.predictors.chain:Chain",
        "tagger": "modelwright.models.predictors.tagger:Tagger",
        "transformer": "modelwright.models.predictors.transformer:Transformer",
        "language_model": "modelwright.models.predictors.language_model:LanguageModel",
        "masked_model": "modelwright.models.predictors.masked_model:MaskedModel",
        "fake": "modelwright.models.predictors.fake:Fake",
    },
)
"""kind -> class with `load(folder, schema)`; the class's `kind` is its name here."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """The answers to N examples. Exactly one of the first four is set.

    Args:
        probabilities_NC: float64, columns in the order of `schema.classes`. Classification: rows sum to 1.
            Multilabel: each class by itself.
        values_N: float64. Regression: in the output's own unit. Language modeling: bits that the text takes, or its
            hidden words.
        spans_N: Tagging: for each example a tuple of `Span`, in the order of the text; dtype object.
        texts_N: Generation: strings; dtype object.
        weights_C: Classification: multiplies the probabilities before the largest decides which class is answered;
            None: the likeliest class is.
        thresholds_C: Multilabel: every class whose probability is at least this is answered; None: one half.
        confidences_N: Tagging: for each example a tuple of numbers from 0 to 1, one for each of its spans; dtype
            object. None where the predictor cannot say.
    """

    probabilities_NC: np.ndarray | None = None
    values_N: np.ndarray | None = None
    spans_N: np.ndarray | None = None
    texts_N: np.ndarray | None = None
    weights_C: np.ndarray | None = None
    thresholds_C: np.ndarray | None = None
    confidences_N: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.array)

    @property
    def array(self) -> np.ndarray:
        """Whichever of the first four is set; its first axis is the examples."""
        return next(each for each in self.forms() if each is not None)

    def forms(self) -> tuple[np.ndarray | None, ...]:
        """Everything that has one entry for each example, in a fixed order."""
        return self.probabilities_NC, self.values_N, self.spans_N, self.texts_N, self.confidences_N

    @property
    def indices_N(self) -> np.ndarray:
        """The class that is answered to each example, as an index into `schema.classes`."""
        assert self.probabilities_NC is not None
        weights_C = 1.0 if self.weights_C is None else self.weights_C
        return np.asarray((self.probabilities_NC * weights_C).argmax(axis=1))

    @property
    def answered_NC(self) -> np.ndarray:
        """Multilabel: whether each class is answered, bool (N, C)."""
        assert self.probabilities_NC is not None
        return np.asarray(self.probabilities_NC >= (0.5 if self.thresholds_C is None else self.thresholds_C))

    def take(self, chosen: np.ndarray | slice) -> Predictions:
        """The answers at `chosen` alone: places, flags or a slice."""
        return self._with(None if each is None else each[chosen] for each in self.forms())

    def _with(self, forms: Iterable[np.ndarray | None]) -> Predictions:
        probabilities_NC, values_N, spans_N, texts_N, confidences_N = forms
        return Predictions(
            probabilities_NC, values_N, spans_N, texts_N, self.weights_C, self.thresholds_C, confidences_N
        )


def as_predictions(schema: Schema, answers: np.ndarray) -> Predictions:
    """The array as what the task asks for: probabilities, values, spans or texts."""
    form = _FORMS.get(schema.task)
    return Predictions(answers) if form is None else Predictions(**{form: answers})


_FORMS: dict[Task, str] = {
    "regression": "values_N",
    "language-modeling": "values_N",
    "tagging": "spans_N",
    "generation": "texts_N",
}
"""How answers are kept where they are no probabilities."""


def softmax(scores_NC: np.ndarray) -> np.ndarray:
    """exp(score) over the sum of exp(scores) of the example, float64."""
    shifted_NC = np.asarray(scores_NC, dtype=np.float64)
    shifted_NC = shifted_NC - shifted_NC.max(axis=1, keepdims=True)
    powers_NC = np.exp(shifted_NC)
    return np.asarray(powers_NC / powers_NC.sum(axis=1, keepdims=True))


def sigmoid(scores: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-score)), float64."""
    return np.asarray(1 / (1 + np.exp(-np.clip(np.asarray(scores, dtype=np.float64), -500, 500))))


def label_loss(probabilities_NC: np.ndarray, fits_NC: np.ndarray) -> float:
    """The mean over examples of -ln of what was given to each label's fitting or not, floored at 1e-12."""
    given_NC = np.where(fits_NC, probabilities_NC, 1 - probabilities_NC)
    return float(-np.log(np.maximum(given_NC, 1e-12)).sum(axis=1).mean())


def log_loss(probabilities_NC: np.ndarray, classes_N: np.ndarray) -> float:
    """The mean of -ln of the probability of the true class, floored at 1e-12."""
    true_N = probabilities_NC[np.arange(len(classes_N)), classes_N]
    return float(-np.log(np.maximum(true_N, 1e-12)).mean())


def joined(parts: Sequence[Predictions]) -> Predictions:
    """The answers of all parts, one after the other; one predictor gave them all."""
    forms = zip(*(part.forms() for part in parts), strict=True)
    whole = ([form for form in each if form is not None] for each in forms)  # what one part lacks, the whole lacks
    return parts[0]._with(np.concatenate(each) if len(each) == len(parts) else None for each in whole)


class Predictor(Protocol):
    """Examples in, predictions out.

    `predict` takes a frame with at least the columns of `schema.inputs` (others are ignored), any number
    of rows, and answers in the same order. It is deterministic: the answer to an example does not depend
    on the others in the frame beyond rounding. `save` writes what `load` of the same class reads back;
    files are safetensors, JSON, Parquet or ONNX only.
    """

    @property
    def kind(self) -> str:
        """The predictor's name in PREDICTORS."""

    @property
    def schema(self) -> Schema:
        """What goes in and what comes out."""

    def predict(self, examples: pl.DataFrame) -> Predictions:
        """The answers to `examples`, in their order."""

    def save(self, folder: Path) -> None:
        """Write the predictor's own files into `folder`, which exists."""


class Completer(Protocol):
    """What goes on with a text, besides being a Predictor: the kinds in COMPLETERS are both."""

    def complete(self, prompts: Sequence[str], *, max_tokens: int, temperature: float, seed: int) -> list[str]:
        """What each prompt goes on with, without the prompt; the same seed gives the same.

        Args:
            prompts: Any texts; an empty one begins a new text.
            max_tokens: Tokens to write at most, of whatever the model takes for one; the text may end before.
            temperature: 0 takes the likeliest token each time, 1 draws by the model's chances, more is wilder.
            seed: Of the draws; a prompt's text also depends on its place among the prompts.
        """


COMPLETERS = frozenset({"language_model", "few_shot", "ngram"})
"""Kinds of predictors whose class is a Completer too."""


def completer_of(predictor: Predictor) -> Completer | None:
    """`predictor` as a Completer, where its kind is one and it was not made to guess hidden words."""
    goes_on = predictor.kind in COMPLETERS and not predictor.schema.masked
    return cast(Completer, predictor) if goes_on else None


def save_predictor(predictor: Predictor, folder: Path) -> None:
    """Write `predictor` and its schema into `folder` so that `load_predictor` gives it back."""
    folder.mkdir(parents=True, exist_ok=True)
    predictor.save(folder)
    about = {"kind": predictor.kind, "schema": plain(predictor.schema)}
    (folder / "predictor.json").write_text(json.dumps(about, indent=2, ensure_ascii=False), encoding="utf-8")


def load_predictor(folder: Path) -> Predictor:
    """The predictor that `save_predictor` wrote into `folder`.

    Raises:
        IntegrityError: `predictor.json` is missing or is not one.
        UnknownNameError: the kind of predictor is not in the table.
    """
    try:
        about = json.loads((folder / "predictor.json").read_text(encoding="utf-8"))
        schema = schema_from(about["schema"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{folder} holds no predictor: {error}") from error
    kind = PREDICTORS[about["kind"]]
    try:
        loaded: Predictor = kind.load(folder, schema)
    except (OSError, ValueError, KeyError, TypeError) as error:
        found = f"{type(error).__name__}: {error}"
        raise IntegrityError(f"{folder} was not saved by this version, or is damaged: {found}") from error
    return loaded


def schema_from(found: dict[str, Any]) -> Schema:
    """The Schema that `records.plain` turned into `found`."""
    inputs = tuple(Column(**column) for column in found["inputs"])
    return Schema(**{**found, "inputs": inputs, "classes": tuple(found["classes"])})
