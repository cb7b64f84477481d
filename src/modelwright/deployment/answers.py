"""Predictions -> the answers that callers get, one JSON object each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from modelwright.deployment.signature import TOP, TOP_CLASSES
from modelwright.models.predictors import Predictions
from modelwright.records import Schema

DIGITS = 6  # of a probability: beyond them is rounding noise of float32 sums


def answers(predictions: Predictions, schema: Schema, examples: pl.DataFrame) -> list[dict[str, Any]]:
    """One answer per example: `output`, and for a class its `confidence` and the `probabilities`.

    Up to 20 classes every probability is given, else those of the five likeliest; likeliest first. The output
    need not be the likeliest: see `models.predictors.decision`. A language model answers with the `bits` that the
    text of the example takes and with `bits_per_byte`, which an empty text has none of.
    """
    if schema.task == "language-modeling":
        sizes_N = examples[schema.names[0]].cast(pl.String).fill_null("").str.len_bytes().to_list()
        pairs = zip(predictions.array.tolist(), sizes_N, strict=True)
        return [{"bits": bits, "bits_per_byte": bits / size if size else None} for bits, size in pairs]
    if predictions.texts_N is not None:
        return [{"output": str(text)} for text in predictions.texts_N]
    if predictions.values_N is not None:
        return [{"output": float(value)} for value in predictions.values_N]
    assert predictions.probabilities_NC is not None
    shown = len(schema.classes) if len(schema.classes) <= TOP_CLASSES else TOP
    order_NC = (-predictions.probabilities_NC).argsort(axis=1, kind="stable")[:, :shown]
    found = []
    rows = zip(predictions.probabilities_NC, order_NC, predictions.indices_N, strict=True)
    for probabilities_C, order_C, answered in rows:
        shares = {schema.classes[index]: round(float(probabilities_C[index]), DIGITS) for index in order_C}
        confidence = round(float(probabilities_C[answered]), DIGITS)
        found.append({"output": schema.classes[answered], "confidence": confidence, "probabilities": shares})
    return found


def measure(answer: Mapping[str, Any]) -> float:
    """What is watched of an answer that is no class: the number, the characters of a text, or bits per byte."""
    if "bits" in answer:
        return float(answer["bits_per_byte"] or 0.0)
    output = answer["output"]
    return float(len(output) if isinstance(output, str) else output)
