"""Counts in the text format that Prometheus reads (prometheus.io/docs/instrumenting/exposition_formats)."""

from __future__ import annotations

import bisect
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelwright.deployment.answers import measure

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SHARES = tuple(step / 10 for step in range(1, 11))
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
PATHS = frozenset({"/", "/predict", "/complete", "/health", "/metrics", "/docs", "/docs.css", "/openapi.json", "/try"})


class Histogram:
    """How many values were at most each bound, and their sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(sorted(set(bounds)))
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count `value`."""
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self, name: str) -> Iterator[str]:
        """The lines of the text format: buckets are cumulative."""
        total = 0
        for bound, count in zip((*self.bounds, "+Inf"), self.counts, strict=True):
            total += count
            shown = bound if isinstance(bound, str) else f"{bound:g}"
            yield f'{name}_bucket{{le="{shown}"}} {total}'
        yield f"{name}_sum {self.sum:.9g}"
        yield f"{name}_count {total}"


@dataclass(slots=True)
class Metrics:
    """What the server has done since it started. Used from the event loop only, so without a lock.

    Args:
        about: Labels that say which package answers.
        value_bounds: Buckets of predicted numbers; none for classification.
    """

    about: Mapping[str, str]
    value_bounds: Sequence[float] = ()
    started: float = field(default_factory=time.monotonic)
    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    outputs: Counter[str] = field(default_factory=Counter)
    latency: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    confidence: Histogram = field(default_factory=lambda: Histogram(SHARES))
    batches: Histogram = field(default_factory=lambda: Histogram(SIZES))
    values: Histogram = field(init=False)

    def __post_init__(self) -> None:
        self.values = Histogram(self.value_bounds)

    @property
    def uptime_seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request; unknown paths are counted together, so that callers cannot make up labels."""
        self.requests[path if path in PATHS else "other", status] += 1
        if path in ("/predict", "/complete") and status == 200:
            self.latency.observe(seconds)

    def answered(self, answers: list[dict[str, Any]]) -> None:
        """Count the answers to one request."""
        for answer in answers:
            if "spans" in answer:
                for span in answer["spans"]:
                    self.outputs[span["label"]] += 1
                    if "confidence" in span:
                        self.confidence.observe(span["confidence"])
            elif "outputs" in answer:
                for label in answer["outputs"]:
                    self.outputs[label] += 1
                    self.confidence.observe(answer["probabilities"][label])
            elif "confidence" in answer:
                self.outputs[answer["output"]] += 1
                self.confidence.observe(answer["confidence"])
            else:
                self.values.observe(measure(answer))

    def text(self, under_way: int) -> str:
        """All of it, with the number of requests under way now."""
        return "\n".join(self._lines(under_way)) + "\n"

    def _lines(self, under_way: int) -> Iterator[str]:
        labels = ",".join(f'{name}="{_escape(value)}"' for name, value in self.about.items())
        yield from _head("modelwright_package_info", "gauge", "Which package answers.")
        yield f"modelwright_package_info{{{labels}}} 1"
        yield from _head("modelwright_uptime_seconds", "gauge", "Seconds since the start.")
        yield f"modelwright_uptime_seconds {self.uptime_seconds:.3f}"
        yield from _head("modelwright_requests_under_way", "gauge", "Predictions read, waiting or being made.")
        yield f"modelwright_requests_under_way {under_way}"
        yield from _head("modelwright_requests_total", "counter", "Requests by path and status.")
        for (path, status), count in sorted(self.requests.items()):
            yield f'modelwright_requests_total{{path="{path}",status="{status}"}} {count}'
        yield from _head("modelwright_request_seconds", "histogram", "Seconds of answered predictions.")
        yield from self.latency.lines("modelwright_request_seconds")
        yield from _head("modelwright_batch_inputs", "histogram", "Inputs that shared a call of the model.")
        yield from self.batches.lines("modelwright_batch_inputs")
        if self.value_bounds:
            yield from _head(
                "modelwright_prediction_value", "histogram", "Numbers, characters of texts, or bits per byte."
            )
            yield from self.values.lines("modelwright_prediction_value")
            return
        yield from _head("modelwright_predictions_total", "counter", "Predictions by class.")
        for output, count in sorted(self.outputs.items()):
            yield f'modelwright_predictions_total{{output="{_escape(output)}"}} {count}'
        yield from _head("modelwright_confidence", "histogram", "Probability of the predicted class.")
        yield from self.confidence.lines("modelwright_confidence")


def _head(name: str, kind: str, what: str) -> Iterator[str]:
    yield f"# HELP {name} {what}"
    yield f"# TYPE {name} {kind}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
