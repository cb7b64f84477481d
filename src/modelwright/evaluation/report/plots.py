"""The plots, as SVG that takes its colours from the page and so fits light and dark.

Matplotlib draws with five marker colours that stand for roles; in the finished text they become CSS
variables. Text stays text. The same data gives the same bytes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.evaluation.intervals import wilson
from modelwright.evaluation.judged import Picture
from modelwright.evaluation.words import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, LINE, FIRST, SECOND = "#010203", "#040506", "#070809", "#0a0b0c", "#0d0e0f"
ROLES = {INK: "--ink", MUTED: "--muted", LINE: "--line", FIRST: "--first", SECOND: "--second"}
"""Colours that nothing else uses -> the variable of style.css that takes their place."""

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "modelwright",
    "text.parse_math": False,
    "font.size": 9.5,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}
"""What matplotlib is told for the time of one plot."""

NAMED_CLASSES = 40
"""Up to so many classes the confusion matrix names them; more names could not be read."""

SIZE = (4.4, 3.1)
"""Inches; small, so that the text is still read when a phone shrinks the plot to its width."""


def learning_curves(history: Sequence[HistoryPoint]) -> str:
    """Training and validation loss by epoch; empty where fewer than two points were measured."""
    lines = {
        "train": [(each.epoch, each.train_loss) for each in history if each.train_loss is not None],
        "validation": [(e.epoch, e.validation_loss) for e in history if e.validation_loss is not None],
    }
    return _lines(lines, "loss", lowest="validation")


def score_curves(history: Sequence[HistoryPoint], metric: str) -> str:
    """Training and validation score by epoch; empty where fewer than two points were measured."""
    lines = {
        "train": [(each.epoch, each.train_score) for each in history if each.train_score is not None],
        "validation": [(e.epoch, e.validation_score) for e in history if e.validation_score is not None],
    }
    return _lines(lines, metric, lowest=None)


def _lines(lines: dict[str, list[tuple[float, float]]], what: str, *, lowest: str | None) -> str:
    drawn = {name: points for name, points in lines.items() if len(points) > 1}
    if not drawn:
        return ""

    def draw(axes: Axes) -> None:
        for name, points in drawn.items():
            colour, style = (FIRST, "-") if name == "validation" else (SECOND, "--")
            x, y = zip(*points, strict=True)
            axes.plot(x, y, color=colour, linestyle=style, linewidth=1.8, marker="o", markersize=3.2)
            axes.annotate(name, (x[-1], y[-1]), (5, 0), textcoords="offset points", va="center", color=colour)
            if name == lowest:
                best = x[int(np.argmin(y))]
                axes.axvline(best, color=MUTED, linewidth=0.8, linestyle=":")
                top = ("data", "axes fraction")
                axes.annotate("lowest", (best, 1.02), xycoords=top, ha="center", color=MUTED)
        axes.margins(x=0.04)
        axes.set_xlim(right=axes.get_xlim()[1] + 0.24 * np.ptp(axes.get_xlim()))
        axes.locator_params(axis="x", integer=True, nbins=6)

    return _svg(f"curves-{what}", "epoch", what, draw)


def calibration(picture: Picture) -> str:
    """Share of right answers against confidence, with 95% intervals; empty where there is one bin only."""
    if len(picture.calibration) < 2:
        return ""
    confidences, rights, _ = zip(*picture.calibration, strict=True)
    lowest = max(0.0, min(0.95, min(*confidences, *rights) - 0.08))

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle="--")
        for confidence, right, size in picture.calibration:
            ends = wilson(right * size, size)
            axes.plot([confidence] * 2, ends, color=FIRST, linewidth=1.4, alpha=0.45)
        axes.plot(confidences, rights, color=FIRST, linewidth=1.4, marker="o", markersize=4)
        axes.set(xlim=(lowest, 1.02), ylim=(lowest, 1.02))

    return _svg("calibration", "confidence", "share of right answers", draw)


def predicted_and_true(picture: Picture, output: str) -> str:
    """Predicted against true values; the larger the dot, the more examples."""
    if not picture.cells:
        return ""
    truth_K, answer_K, size_K = (np.array(each) for each in zip(*picture.cells, strict=True))

    def draw(axes: Axes) -> None:
        ends = [min(truth_K.min(), answer_K.min()), max(truth_K.max(), answer_K.max())]
        area_K = 5 + 40 * size_K / size_K.max()
        axes.scatter(truth_K, answer_K, s=area_K, color=FIRST, alpha=0.5, linewidths=0)
        axes.plot(ends, ends, color=SECOND, linewidth=1.2, linestyle="--")
        axes.locator_params(axis="x", nbins=5)

    return _svg("predicted", f"true {output}"[:40], "predicted", draw)


def residuals(picture: Picture) -> str:
    """How many answers are too low and too high, and by how much."""
    if len(picture.residuals) < 2:
        return ""
    middle_B, size_B = zip(*picture.residuals, strict=True)

    def draw(axes: Axes) -> None:
        axes.bar(middle_B, size_B, width=(middle_B[1] - middle_B[0]) * 0.86, color=FIRST, linewidth=0)
        axes.axvline(0, color=SECOND, linewidth=1.4)
        axes.locator_params(axis="x", nbins=5)

    return _svg("residuals", "predicted minus true", "examples", draw)


def spread(picture: Picture, metric: str, value: float | None) -> str:
    """How many texts have which figure by themselves, and that of all."""
    if len(picture.spread) < 2:
        return ""
    middle_B, size_B = zip(*picture.spread, strict=True)

    def draw(axes: Axes) -> None:
        axes.bar(middle_B, size_B, width=(middle_B[1] - middle_B[0]) * 0.86, color=FIRST, linewidth=0)
        if value is not None:
            axes.axvline(value, color=SECOND, linewidth=1.4)
        axes.locator_params(axis="x", nbins=5)

    return _svg("spread", f"{metric} of a text by itself", "texts", draw)


def confusion(classes: Sequence[str], counts_CC: Sequence[Sequence[int]]) -> str:
    """The confusion matrix of many classes: each row shaded by the share of its examples."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    cells_CC = np.array(counts_CC, dtype=float)
    share_CC = cells_CC / np.maximum(cells_CC.sum(axis=1, keepdims=True), 1)
    is_hit_CC = np.eye(len(classes), dtype=bool)
    names = [name if len(name) <= 18 else name[:17] + "…" for name in classes]

    def draw(axes: Axes) -> None:
        axes.grid(False)
        for colour, wanted_CC in ((FIRST, is_hit_CC), (SECOND, ~is_hit_CC)):
            rows, columns = np.nonzero((cells_CC > 0) & wanted_CC)
            corners = zip(columns.tolist(), rows.tolist(), strict=True)
            squares = PatchCollection([Rectangle(corner, 1, 1) for corner in corners])
            squares.set(facecolor=colour, edgecolor="none", alpha=0.15 + 0.85 * share_CC[rows, columns])
            axes.add_collection(squares)
        axes.set(xlim=(0, len(classes)), ylim=(len(classes), 0), aspect="equal")
        named = len(classes) <= NAMED_CLASSES
        axes.set_xticks(np.arange(len(classes)) + 0.5 if named else [], names if named else [], rotation=90)
        axes.set_yticks(np.arange(len(classes)) + 0.5 if named else [], names if named else [])

    return _svg("confusion", "answer", "truth", draw, size=(7.4, 7.4))


def _svg(name: str, x: str, y: str, draw: Callable[[Axes], None], *, size: tuple[float, float] = SIZE) -> str:
    """What `draw` puts into the axes, as an SVG element whose identifiers start with `name`."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    with rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the page's fonts have it
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        axes.set(xlabel=x, ylabel=y)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: number(float(f"{value:.9g}")))
        draw(axes)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _adopt(buffer.getvalue(), name)


def _adopt(text: str, name: str) -> str:
    """The SVG text with the page's colours, own identifiers, no fixed size and no prolog."""
    name = re.sub(r"\W+", "-", name)
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = text.replace(' id="', f' id="{name}-').replace("url(#", f"url(#{name}-")
    text = text.replace('href="#', f'href="#{name}-')
    text = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" class="plot">', text, count=1)
    for colour, variable in ROLES.items():
        text = text.replace(colour, f"var({variable})")
    return text
