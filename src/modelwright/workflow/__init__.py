"""The story: a project, its steps, and what each one made."""

from __future__ import annotations

from modelwright.workflow.check import Check
from modelwright.workflow.new import Started, new
from modelwright.workflow.project import Project, RunOutcome
from modelwright.workflow.status import Status

__all__ = ["Check", "Project", "RunOutcome", "Started", "Status", "new"]
