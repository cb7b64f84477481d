"""The report as one HTML file: no scripts, no network, light and dark, on paper and on a phone.

Everything from the data goes through Jinja2's escaping; only our own CSS and SVG are marked as safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from jinja2 import PackageLoader, StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from modelwright.evaluation import metrics
from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.evaluation.judged import Picture
from modelwright.evaluation.report import plots, tables, texts
from modelwright.evaluation.report.story import Story
from modelwright.evaluation.report.worst import WorstError
from modelwright.evaluation.slices import slice_metric
from modelwright.evaluation.words import figure, with_interval
from modelwright.records import Dataset, Report

FILE = "report.html"

CONFUSION_AS_TABLE = 12
"""Up to so many classes the confusion matrix is a table of numbers; above, it is drawn."""


def render(
    report: Report,
    *,
    dataset: Dataset,
    goal: float | None,
    picture: Picture,
    errors: Sequence[WorstError] = (),
    history: Sequence[HistoryPoint] = (),
    story: Story | None = None,
    seed: int = 0,
    to: Path,
) -> Path:
    """The path of the page that was written into the folder `to`.

    Args:
        report: What it is about; a masked one gets a page that says so.
        dataset: The data it was judged on.
        goal: The figure to reach, if any.
        picture: What the plots are drawn from.
        errors: The worst answers; of validation examples, whatever the report is about.
        history: Losses by epoch.
        story: The records before this one.
        seed: Of the bootstrap.
        to: The folder; made where it is not there.
    """
    story = story or Story()
    page = _page().render(
        report=report,
        dataset=dataset,
        schema=dataset.schema,
        goal=goal,
        story=story,
        errors=errors,
        texts_of_errors=texts.of_errors(dataset.schema),
        metric=metrics.find(report.metric),
        slice_metric=slice_metric(report.metric, dataset.schema),
        verdict=texts.verdict(report, goal),
        gain=texts.gain(report),
        limits=texts.limits(report, dataset, trials=len(story.run.trials) if story.run else 0),
        made=texts.made(report, dataset, story, seed),
        facts=tables.facts(report, dataset),
        headline_strip=tables.strip(report.metric, report.metrics.get(report.metric), goal),
        strips=[tables.strip(slice_metric(report.metric, dataset.schema), each.score) for each in report.slices],
        limits_kept=texts.limits_kept(report, story.problem),
        ladder=tables.ladder(report, story.verdict),
        figures=tables.figures(report),
        classes=tables.classes(report),
        confusion=tables.confusion(report) if len(report.classes) <= CONFUSION_AS_TABLE else (),
        pairs=picture.pairs,
        plots=_plots(report, dataset, picture, history),
        left_out=tables.left_out(dataset),
        release=version("modelwright"),
        worst_classes=tables.WORST_CLASSES,
        css=Markup(resources.files(__package__).joinpath("templates/style.css").read_text(encoding="utf-8")),
    )
    to.mkdir(parents=True, exist_ok=True)
    path = to / FILE
    path.write_text(page, encoding="utf-8", errors="replace")
    return path


def _plots(report: Report, dataset: Dataset, picture: Picture, history: Sequence[HistoryPoint]) -> dict[str, Markup]:
    """Name -> SVG of each plot, empty where there is nothing to draw."""
    drawn = {
        "loss": plots.learning_curves(history),
        "score": plots.score_curves(history, report.metric),
        "calibration": plots.calibration(picture),
        "predicted": plots.predicted_and_true(picture, dataset.schema.output),
        "residuals": plots.residuals(picture),
        "spread": plots.spread(picture, report.metric, _value(report)),
    }
    many = len(report.confusion) > CONFUSION_AS_TABLE
    drawn["confusion"] = plots.confusion(dataset.schema.classes, report.confusion) if many else ""
    return {name: Markup(svg) for name, svg in drawn.items()}


def _value(report: Report) -> float | None:
    found = report.metrics.get(report.metric)
    return None if found is None else found.value


@cache
def _page() -> Template:
    environment = ImmutableSandboxedEnvironment(
        loader=PackageLoader("modelwright.evaluation.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        figure_of=lambda value, metric: figure(metric, value),
        interval_of=lambda interval, metric: with_interval(metric, interval),
    )
    return environment.get_template("report.html")
