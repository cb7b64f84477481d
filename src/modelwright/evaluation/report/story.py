"""What came before a report."""

from __future__ import annotations

from dataclasses import dataclass

from modelwright.problem import Problem
from modelwright.records import Plan, Run, Verdict


@dataclass(frozen=True, slots=True)
class Story:
    """The records before a report, as far as there are any; its page tells them."""

    problem: Problem | None = None
    verdict: Verdict | None = None
    plan: Plan | None = None
    run: Run | None = None
