"""What the answers to one part come to: all that a report says of it, without a single example in it.

The sealed part is judged behind its seal, and only a `Judged` comes out; plots are drawn from it, never
from examples. It is plain data, because the ledger keeps it as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from modelwright.data.parts import targets_N
from modelwright.evaluation import counts, figures
from modelwright.evaluation.compare import compare
from modelwright.evaluation.intervals import all_intervals
from modelwright.evaluation.metrics import METRICS, each_N, find
from modelwright.evaluation.pairs import PAIRS, Pair, taken_for
from modelwright.evaluation.slices import slice_figures
from modelwright.evaluation.tallies import tally
from modelwright.models.predictors import Predictions
from modelwright.records import ClassFigures, Comparison, Interval, Schema, SliceFigures

CLASSES_IN_CONFUSION = 100
"""Up to so many classes the confusion matrix is kept; it has their square of cells."""

CELLS = 60
"""Cells along each side of the picture of predicted against true values."""

LIKELY = 0.1
"""Labels that are less probable are left out of the calibration: nearly all are, and rightly. Chosen."""

RESIDUAL_BINS = 40
"""Bars of the residuals' histogram."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What the plots are drawn from.

    Args:
        calibration: For each bin of confidence: mean confidence, share of right answers, examples.
        pairs: The most confused pairs of classes.
        cells: True value, predicted value, examples: the middle of each cell of a fine grid.
        residuals: Middle of the bin (predicted minus true), examples.
        spread: Of texts: middle of the bin of each one's own figure, examples.
    """

    calibration: tuple[tuple[float, float, int], ...] = ()
    pairs: tuple[Pair, ...] = ()
    cells: tuple[tuple[float, float, int], ...] = ()
    residuals: tuple[tuple[float, int], ...] = ()
    spread: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """Figures of one part, as they stand in a Report, and what its plots need."""

    count: int
    metrics: dict[str, Interval]
    classes: tuple[ClassFigures, ...]
    confusion: tuple[tuple[int, ...], ...]
    slices: tuple[SliceFigures, ...]
    compared: Comparison | None
    picture: Picture


def judge(
    metric: str,
    schema: Schema,
    examples: pl.DataFrame,
    predictions: Predictions,
    *,
    baseline: tuple[str, Predictions] | None = None,
    seed: int = 0,
) -> Judged:
    """The figures of `predictions` on `examples`, compared with the baseline's answers where given."""
    truth_N = targets_N(schema, examples)
    compared = None
    if baseline is not None:
        compared = compare(metric, schema, truth_N, predictions, baseline[1], to=baseline[0], seed=seed)
    return Judged(
        count=len(truth_N),
        metrics=all_intervals(schema, truth_N, predictions, seed=seed),
        classes=_classes(schema, truth_N, predictions) if schema.classes else (),
        confusion=_confusion(schema, truth_N, predictions) if schema.task == "classification" else (),
        slices=slice_figures(metric, schema, examples, truth_N, predictions),
        compared=compared,
        picture=_picture(metric, schema, truth_N, predictions),
    )


def _picture(metric: str, schema: Schema, truth_N: np.ndarray, predictions: Predictions) -> Picture:
    """What the plots of this task are drawn from."""
    if schema.task == "regression":
        return _of_values(truth_N, predictions)
    if schema.task == "classification":
        return _of_classes(schema, truth_N, predictions)
    if schema.task == "multilabel":
        pairs = taken_for(schema, truth_N, predictions)
        return Picture(calibration=_of_labels(truth_N, predictions), pairs=pairs)
    if schema.task == "tagging":
        return Picture(pairs=taken_for(schema, truth_N, predictions))
    return _of_texts(each_N(find(metric), schema, truth_N, predictions))


def judged_from(found: dict[str, Any]) -> Judged:
    """The Judged that `records.plain` turned into `found`."""
    picture = found["picture"]
    return Judged(
        count=found["count"],
        metrics={name: Interval(**found["metrics"][name]) for name in METRICS if name in found["metrics"]},
        classes=tuple(ClassFigures(**each) for each in found["classes"]),
        confusion=tuple(tuple(line) for line in found["confusion"]),
        slices=tuple(SliceFigures(each["name"], each["count"], Interval(**each["score"])) for each in found["slices"]),
        compared=Comparison(**found["compared"]) if found["compared"] else None,
        picture=Picture(
            calibration=tuple((each[0], each[1], each[2]) for each in picture["calibration"]),
            pairs=tuple(Pair(**each) for each in picture["pairs"]),
            cells=tuple((each[0], each[1], each[2]) for each in picture["cells"]),
            residuals=tuple((each[0], each[1]) for each in picture["residuals"]),
            spread=tuple((each[0], each[1]) for each in picture.get("spread", ())),
        ),
    )


def _classes(schema: Schema, truth_N: np.ndarray, predictions: Predictions) -> tuple[ClassFigures, ...]:
    """Precision, recall and F1 of each class, in the order of the schema."""
    weights_RN = np.ones((1, len(truth_N)))
    if schema.task == "classification":
        of_all = counts.count(truth_N, predictions.indices_N, weights_RN, len(schema.classes), None)
    else:
        of_all = tally(schema, truth_N, predictions).weighed(weights_RN)
    columns = zip(
        schema.classes,
        of_all.truth_RC[0],
        counts.precision_RC(of_all)[0],
        counts.recall_RC(of_all)[0],
        counts.f1_RC(of_all)[0],
        strict=True,
    )
    return tuple(ClassFigures(name, int(n), float(p), float(r), float(f)) for name, n, p, r, f in columns)


def _confusion(schema: Schema, truth_N: np.ndarray, predictions: Predictions) -> tuple[tuple[int, ...], ...]:
    """Rows are true classes, columns answers, both in the order of the schema; empty for many classes."""
    size = len(schema.classes)
    if size > CLASSES_IN_CONFUSION:
        return ()
    cells = np.bincount(truth_N * size + predictions.indices_N, minlength=size * size).reshape(size, size)
    return tuple(tuple(int(cell) for cell in line) for line in cells)


def _of_classes(schema: Schema, truth_N: np.ndarray, predictions: Predictions) -> Picture:
    assert predictions.probabilities_NC is not None
    answer_N = predictions.indices_N
    wrong_N = truth_N != answer_N
    cells, size_K = np.unique(np.stack([truth_N[wrong_N], answer_N[wrong_N]], axis=1), axis=0, return_counts=True)
    totals_C = np.bincount(truth_N, minlength=len(schema.classes))
    most = np.argsort(-size_K, kind="stable")[:PAIRS]
    pairs = tuple(
        Pair(schema.classes[t], schema.classes[a], int(size), float(size / totals_C[t]))
        for (t, a), size in zip(cells[most], size_K[most], strict=True)
    )
    confidence_N, bin_N = figures.calibration_bins(predictions.probabilities_NC)
    likeliest_N = predictions.probabilities_NC.argmax(axis=1)
    calibration = tuple(
        (
            float(confidence_N[bin_N == b].mean()),
            float((likeliest_N == truth_N)[bin_N == b].mean()),
            int((bin_N == b).sum()),
        )
        for b in np.unique(bin_N)
    )
    return Picture(calibration=calibration, pairs=pairs)


def _of_texts(figure_N: np.ndarray) -> Picture:
    """How many texts have which figure; the axis ends at the 99.5% point, what is beyond stands in the last bar."""
    reach = float(np.quantile(figure_N, 0.995)) or 1.0
    low = min(0.0, float(figure_N.min()))
    size_B, edge_B = np.histogram(np.clip(figure_N, low, reach), RESIDUAL_BINS, (low, reach))
    middle_B = (edge_B[:-1] + edge_B[1:]) / 2
    return Picture(spread=tuple((float(m), int(size)) for m, size in zip(middle_B, size_B, strict=True)))


def _of_labels(truth_NC: np.ndarray, predictions: Predictions) -> tuple[tuple[float, float, int], ...]:
    """Bins of the probabilities of labels that come into question, as `Picture.calibration`."""
    assert predictions.probabilities_NC is not None
    asked_NC = predictions.probabilities_NC >= LIKELY
    if not asked_NC.any():
        return ()
    probability_K, fits_K = predictions.probabilities_NC[asked_NC], truth_NC[asked_NC]
    _, bin_K = figures.calibration_bins(probability_K[:, None])
    bins = (bin_K == each for each in np.unique(bin_K))
    return tuple(
        (float(probability_K[inside].mean()), float(fits_K[inside].mean()), int(inside.sum())) for inside in bins
    )


def _of_values(truth_N: np.ndarray, predictions: Predictions) -> Picture:
    """A grid of true and predicted values, and the residuals; the axes end at the 0.5% and 99.5% points."""
    assert predictions.values_N is not None
    both = np.concatenate([truth_N, predictions.values_N])
    low, high = np.quantile(both, [0.005, 0.995])
    if not high > low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, CELLS + 1)
    column_N, row_N = (
        np.clip(np.searchsorted(edges, each, side="right") - 1, 0, CELLS - 1)
        for each in (truth_N, predictions.values_N)
    )
    grid = np.bincount(column_N * CELLS + row_N, minlength=CELLS * CELLS).reshape(CELLS, CELLS)
    middles = (edges[:-1] + edges[1:]) / 2
    cells = tuple((float(middles[t]), float(middles[a]), int(grid[t, a])) for t, a in np.argwhere(grid > 0))
    residual_N = predictions.values_N - truth_N
    reach = float(np.quantile(np.abs(residual_N), 0.99)) or 1.0
    size_B, edge_B = np.histogram(np.clip(residual_N, -reach, reach), RESIDUAL_BINS, (-reach, reach))
    residuals = tuple(
        (float(middle), int(size)) for middle, size in zip((edge_B[:-1] + edge_B[1:]) / 2, size_B, strict=True)
    )
    return Picture(cells=cells, residuals=residuals)
