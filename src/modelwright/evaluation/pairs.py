"""What is taken for what: the commonest mistakes, as pairs of what was true and what was answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from modelwright.models.predictors import Predictions
from modelwright.records import Schema, Span

PAIRS = 10
"""Most frequent pairs that are kept."""

NOTHING = "nothing"
OTHER_ENDS = "{}, other ends"


@dataclass(frozen=True, slots=True)
class Pair:
    """Examples of one class that were answered with another."""

    truth: str
    answer: str
    count: int
    share: float  # of the examples of the true class


def taken_for(schema: Schema, truth_N: np.ndarray, predictions: Predictions) -> tuple[Pair, ...]:
    """The commonest mistakes where an answer is several labels or spans, most frequent first.

    Of sets, a label that is missed pairs with each that is too many in the same example, or with nothing; of spans,
    one that is missed pairs with those answered in its place.
    """
    mistakes: Counter[tuple[str, str]] = Counter()
    truths: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    if schema.task == "multilabel":
        each = (
            ([schema.classes[c] for c in np.flatnonzero(truth)], [schema.classes[c] for c in np.flatnonzero(answer)])
            for truth, answer in zip(truth_N, predictions.answered_NC, strict=True)
        )
        for truth, answer in each:
            truths.update(truth)
            answered.update(answer)
            mistakes.update(_of_sets(truth, answer))
    else:
        assert predictions.spans_N is not None
        for spans, found in zip(truth_N, predictions.spans_N, strict=True):
            truths.update(span.label for span in spans)
            answered.update(span.label for span in found)
            mistakes.update(_of_spans(spans, found))
    most = sorted(mistakes.items(), key=lambda item: (-item[1], item[0]))[:PAIRS]
    return tuple(
        Pair(truth, answer, count, count / (answered[answer] if truth == NOTHING else truths[truth]))
        for (truth, answer), count in most
    )


def _of_sets(truth: Sequence[str], answer: Sequence[str]) -> Iterator[tuple[str, str]]:
    missed = [name for name in truth if name not in answer] or [NOTHING]
    wrong = [name for name in answer if name not in truth] or [NOTHING]
    yield from ((one, other) for one in missed for other in wrong if (one, other) != (NOTHING, NOTHING))


def _of_spans(truth: Sequence[Span], answer: Sequence[Span]) -> Iterator[tuple[str, str]]:
    missed, wrong = ([each for each in one if each not in other] for one, other in ((truth, answer), (answer, truth)))
    for span in missed:
        instead = [each for each in wrong if each.start < span.end and span.start < each.end]
        if not instead:
            yield span.label, NOTHING
        for each in instead:
            same = each.label == span.label
            yield span.label, OTHER_ENDS.format(each.label) if same else each.label
    for span in wrong:
        if not any(each.start < span.end and span.start < each.end for each in truth):
            yield NOTHING, span.label
