"""One line for each record, each figure with its interval: the story of a run in a screen."""

from __future__ import annotations

from modelwright.cli.story.data import about_dataset, about_problem
from modelwright.cli.story.folder import about_check, about_started, about_status
from modelwright.cli.story.line import Line
from modelwright.cli.story.package import about_next, about_package, about_serving
from modelwright.cli.story.plan import about_plan
from modelwright.cli.story.results import about_report, about_run, about_verdict

__all__ = [
    "Line",
    "about_check",
    "about_dataset",
    "about_next",
    "about_package",
    "about_plan",
    "about_problem",
    "about_report",
    "about_run",
    "about_serving",
    "about_started",
    "about_status",
    "about_verdict",
]
