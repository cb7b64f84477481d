"""Predictions -> the answers that callers get, one JSON object each."""

from __future__ import annotations

from typing import Any

from modelwright.deployment.signature import TOP, TOP_CLASSES
from modelwright.models.predictors import Predictions
from modelwright.records import Schema

DIGITS = 6  # of a probability: beyond them is rounding noise of float32 sums


def answers(predictions: Predictions, schema: Schema) -> list[dict[str, Any]]:
    """One answer per example: `output`, and for a class its `confidence` and the `probabilities`.

    Up to 20 classes every probability is given, else those of the five likeliest; likeliest first. The output
    need not be the likeliest: see `models.predictors.decision`.
    """
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
