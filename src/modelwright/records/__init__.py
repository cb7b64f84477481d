"""The frozen nouns, in the order in which they are made: data, verdict, estimate, plan, run, report, package.

A record is data: no methods that do work, no open files. `id` is the first 16 hexadecimal digits of the
SHA-256 of everything else in it that does not depend on the clock. Names are contract: `--json` prints
them. Sizes are in bytes, times in seconds unless the name says `_ms`.
"""

from __future__ import annotations

from modelwright.records.data import (
    LANGUAGE_TASKS,
    POSITION,
    Column,
    ColumnKind,
    Dataset,
    Finding,
    InputKind,
    Schema,
    Seal,
    Severity,
    Span,
    Task,
)
from modelwright.records.estimate import Estimate, Past, Rented
from modelwright.records.figures import Interval, Latency
from modelwright.records.identity import canonical, digest, identify, plain
from modelwright.records.package import Golden, Package
from modelwright.records.plan import BatchSize, Candidate, LearningCurve, Plan, Preflight, Search, Setting, Shown
from modelwright.records.progress import Progress
from modelwright.records.report import ClassFigures, Comparison, Diagnosis, Report, SliceFigures
from modelwright.records.run import Remark, Run, Trial
from modelwright.records.verdict import RungScore, Verdict

__all__ = [
    "LANGUAGE_TASKS",
    "POSITION",
    "BatchSize",
    "Candidate",
    "ClassFigures",
    "Column",
    "ColumnKind",
    "Comparison",
    "Dataset",
    "Diagnosis",
    "Estimate",
    "Finding",
    "Golden",
    "InputKind",
    "Interval",
    "Latency",
    "LearningCurve",
    "Package",
    "Past",
    "Plan",
    "Preflight",
    "Progress",
    "Record",
    "Remark",
    "Rented",
    "Report",
    "Run",
    "RungScore",
    "Schema",
    "Seal",
    "Search",
    "Setting",
    "Severity",
    "Shown",
    "SliceFigures",
    "Span",
    "Task",
    "Trial",
    "Verdict",
    "canonical",
    "digest",
    "identify",
    "plain",
]

Record = Dataset | Verdict | Plan | Run | Report | Package
"""What a step makes."""
