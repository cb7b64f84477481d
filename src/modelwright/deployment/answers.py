"""Predictions -> the answers that callers get, one JSON object each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from modelwright.data.hidden import asked_bytes
from modelwright.deployment.signature import TOP, TOP_CLASSES
from modelwright.models.predictors import Predictions
from modelwright.models.words import texts_in
from modelwright.records import Schema

DIGITS = 6  # of a probability: beyond them is rounding noise of float32 sums


def answers(predictions: Predictions, schema: Schema, examples: pl.DataFrame) -> list[dict[str, Any]]:
    """One answer per example, by task.

    - a number: `output`;
    - a class: `output`, its `confidence`, and `probabilities`, likeliest first. The output need not be the likeliest:
      see `models.predictors.decision`;
    - several labels: `outputs`, in the order of the schema, and `probabilities`, likeliest first;
    - a text: `output`;
    - of a language model: the `bits` that the text takes, or its hidden words, and `bits_per_byte`, which an empty text
      has none of;
    - spans: `spans`, each with `start`, `end`, `label`, the `text` between them and, where the predictor says it, its
      `confidence`.

    Up to 20 classes every probability is given, else those of the five likeliest and of the answer.

    Args:
        predictions: Of the examples.
        schema: Of the predictor.
        examples: What was asked; the texts are cut from it.
    """
    if schema.task == "language-modeling":
        sizes_N = asked_bytes(schema, examples).to_list()
        pairs = zip(predictions.array.tolist(), sizes_N, strict=True)
        return [{"bits": bits, "bits_per_byte": bits / size if size else None} for bits, size in pairs]
    if predictions.texts_N is not None:
        return [{"output": str(text)} for text in predictions.texts_N]
    if predictions.values_N is not None:
        return [{"output": float(value)} for value in predictions.values_N]
    if predictions.spans_N is not None:
        return _spans(predictions, texts_in(schema, examples))
    return _labels(predictions, schema) if schema.task == "multilabel" else _classes(predictions, schema)


def _classes(predictions: Predictions, schema: Schema) -> list[dict[str, Any]]:
    assert predictions.probabilities_NC is not None
    found = []
    for probabilities_C, answered in zip(predictions.probabilities_NC, predictions.indices_N, strict=True):
        confidence = round(float(probabilities_C[answered]), DIGITS)
        shares = _likeliest(probabilities_C, schema)
        found.append({"output": schema.classes[answered], "confidence": confidence, "probabilities": shares})
    return found


def measure(answer: Mapping[str, Any]) -> float:
    """What is watched of an answer that is no class: the number, the characters of a text, or bits per byte."""
    if "bits" in answer:
        return float(answer["bits_per_byte"] or 0.0)
    output = answer["output"]
    return float(len(output) if isinstance(output, str) else output)


def _labels(predictions: Predictions, schema: Schema) -> list[dict[str, Any]]:
    assert predictions.probabilities_NC is not None
    found = []
    for probabilities_C, answered_C in zip(predictions.probabilities_NC, predictions.answered_NC, strict=True):
        said = [schema.classes[c] for c in np.flatnonzero(answered_C)]
        told = {name: round(float(probabilities_C[schema.classes.index(name)]), DIGITS) for name in said}
        found.append({"outputs": said, "probabilities": _likeliest(probabilities_C, schema) | told})
    return found


def _likeliest(probabilities_C: np.ndarray, schema: Schema) -> dict[str, float]:
    shown = len(schema.classes) if len(schema.classes) <= TOP_CLASSES else TOP
    order_C = (-probabilities_C).argsort(kind="stable")[:shown]
    return {schema.classes[c]: round(float(probabilities_C[c]), DIGITS) for c in order_C}


def _spans(predictions: Predictions, texts: list[str]) -> list[dict[str, Any]]:
    assert predictions.spans_N is not None
    found = []
    for n, (spans, text) in enumerate(zip(predictions.spans_N, texts, strict=True)):
        told = [{**span._asdict(), "text": text[span.start : span.end]} for span in spans]
        if predictions.confidences_N is not None:
            shares = [round(float(share), DIGITS) for share in predictions.confidences_N[n]]
            told = [{**each, "confidence": share} for each, share in zip(told, shares, strict=True)]
        found.append({"spans": told})
    return found
