"""Golden cases: stored answers that must come out again wherever the package is loaded.

They catch what a version number does not: another library, another processor, a tokenizer that changed,
a value that is read differently from JSON than from the data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from modelwright.data.labels import kinds_of
from modelwright.data.values import NO_VALUE
from modelwright.deployment.answers import answers
from modelwright.deployment.cells import as_sent
from modelwright.deployment.inputs import read
from modelwright.deployment.signature import Signature
from modelwright.errors import InputError
from modelwright.models.predictors import Predictions, Predictor
from modelwright.records import Schema, Span

CASES = 64  # ../DESIGN.md section 5
TOLERANCE = 1e-3  # of a probability, or of the spread of the values: float32 on another processor; chosen
TEXTS_APART = 0.05  # of written answers, what may differ: on another processor a close call may fall otherwise; chosen
BYTES = 32 * 2**20  # of all cases together: photographs are large; chosen, not measured


def draw(examples: pl.DataFrame, schema: Schema, seed: int) -> pl.DataFrame:
    """At most `CASES` of `examples`: every class before any twice, or evenly over the range of values."""
    if len(examples) <= CASES:
        return examples
    generator = np.random.default_rng(seed)
    if schema.output not in examples.columns:
        return examples[np.sort(generator.choice(len(examples), CASES, replace=False))]
    if schema.task in ("regression", "language-modeling"):
        order_N = examples[schema.output].arg_sort(nulls_last=True).to_numpy()
        chosen = [int(generator.choice(stratum)) for stratum in np.array_split(order_N, CASES)]
        return examples[sorted(chosen)]
    shuffled_N = generator.permutation(len(examples))
    labels = kinds_of(examples[schema.output]).to_list()
    seen: dict[Any, int] = {}
    turns: list[tuple[int, int, int]] = []
    for index in shuffled_N:
        seen[labels[index]] = turn = seen.get(labels[index], -1) + 1
        turns.append((turn, len(turns), int(index)))
    return examples[sorted(index for _, _, index in sorted(turns)[:CASES])]


def lines(predictor: Predictor, examples: pl.DataFrame, signature: Signature) -> Iterator[str]:
    """golden.jsonl: one line for each of `examples`, with the predictor's own answer to it.

    The answer is the one to the frame; the input is what a caller would send. So the first load proves
    that both ways give the same.
    """
    examples = _sendable(examples, signature)
    predictions = predictor.predict(examples)
    spread = float(np.std(predictions.values_N)) if predictions.values_N is not None else 1.0
    used = 0
    found = answers(predictions, predictor.schema, examples)
    for example, answer in zip(examples.select(signature.names).iter_rows(named=True), found, strict=True):
        given = {name: as_sent(value) for name, value in example.items()}
        tolerance = TOLERANCE * spread
        if predictions.values_N is not None:
            tolerance = max(tolerance, 1e-6 * abs(_told(answer)))
        line = json.dumps({"input": given, "output": answer, "tolerance": tolerance or 1e-9}, ensure_ascii=False)
        used += len(line.encode())
        if used > BYTES:
            return
        yield line


def _sendable(examples: pl.DataFrame, signature: Signature) -> pl.DataFrame:
    """Those of `examples` that a caller can send; values that JSON has no word for are missing ones."""
    columns = []
    for field in signature.fields:
        column = pl.col(field.name)
        if field.type == "Float64":
            column = column.cast(pl.Float64)
            column = pl.when(column.is_finite()).then(column)
        elif field.type == "String":
            column = column.cast(pl.String).str.strip_chars()
            if field.kind != "text":
                column = pl.when(~column.is_in(["", *NO_VALUE])).then(column)
        columns.append(column.alias(field.name))
    examples = examples.with_columns(columns)
    given = examples.select(signature.names).iter_rows(named=True)
    return examples.filter(pl.Series([_can_send(example, signature) for example in given], dtype=pl.Boolean))


def _can_send(example: dict[str, Any], signature: Signature) -> bool:
    try:
        read([{name: as_sent(value) for name, value in example.items()}], signature)
    except InputError:
        return False
    return True


def bearable(schema: Schema, count: int) -> int:
    """How many of `count` cases may differ: none, but for a few written answers."""
    return int(count * TEXTS_APART) if schema.task == "generation" else 0


def differences(predictor: Predictor, cases: list[dict[str, Any]], signature: Signature) -> Iterator[str]:
    """One phrase for each case whose answer is not the stored one, saying by how much.

    Raises:
        InputError: a case is no longer an input that the package takes.
    """
    batch = 32  # a photograph in each case should not need all of them in memory at once; chosen
    for start in range(0, len(cases), batch):
        part = cases[start : start + batch]
        frame = read([case["input"] for case in part], signature).frame
        predictions = predictor.predict(frame)
        for offset, case in enumerate(part):
            difference = _difference(predictions, offset, predictor.schema, case["output"])
            if not difference <= case["tolerance"]:  # NaN differs too
                one = slice(offset, offset + 1)
                got = answers(predictions.take(one), predictor.schema, frame[one])[0]
                yield (
                    f"case {start + offset + 1}: {_said(got)} instead of {_said(case['output'])}, "
                    f"off by {difference:.3g} where {case['tolerance']:.3g} is allowed"
                )


def _said(answer: dict[str, Any]) -> str:
    """The answer without how sure it is."""
    if "spans" in answer:
        return repr([(each["start"], each["end"], each["label"]) for each in answer["spans"]])
    return repr(answer.get("output", answer.get("outputs", answer.get("bits"))))


def _difference(predictions: Predictions, index: int, schema: Schema, expected: dict[str, Any]) -> float:
    """The largest difference of any figure of the answer."""
    if predictions.values_N is not None:
        return abs(float(predictions.values_N[index]) - float(_told(expected)))
    if predictions.texts_N is not None:
        return float(predictions.texts_N[index] != expected["output"])
    if predictions.spans_N is not None:
        return _of_spans(predictions.take(slice(index, index + 1)), expected["spans"])
    assert predictions.probabilities_NC is not None
    shares = dict(zip(schema.classes, predictions.probabilities_NC[index].tolist(), strict=True))
    off = max(abs(shares[name] - share) for name, share in expected["probabilities"].items())
    if schema.task == "multilabel":
        answered_C = predictions.answered_NC[index]
        stored_C = np.isin(schema.classes, expected["outputs"])
        threshold_C = 0.5 if predictions.thresholds_C is None else predictions.thresholds_C
        near_C = np.abs(predictions.probabilities_NC[index] - threshold_C)  # what changed sides may be no further off
        return float(max(off, near_C[answered_C != stored_C].max(initial=0.0)))
    weights_C = np.ones(len(schema.classes)) if predictions.weights_C is None else predictions.weights_C
    ours = schema.classes.index(expected["output"])
    lead = float((predictions.probabilities_NC[index] * weights_C).max() / weights_C[ours])
    return float(max(off, lead - shares[expected["output"]]))  # another class may lead, but by no more


def _told(answer: dict[str, Any]) -> Any:
    """The figure or the text of an answer."""
    return answer["bits"] if "bits" in answer else answer["output"]


def _of_spans(predictions: Predictions, expected: list[dict[str, Any]]) -> float:
    """How far confidences are off, and 1 where the spans are others."""
    assert predictions.spans_N is not None
    found, stored = predictions.spans_N[0], [Span(each["start"], each["end"], each["label"]) for each in expected]
    if list(found) != stored:
        return 1.0
    if predictions.confidences_N is None:
        return 0.0
    pairs = zip(predictions.confidences_N[0], expected, strict=True)
    return max((abs(share - each["confidence"]) for share, each in pairs), default=0.0)
