"""How the time of a run is shared out, and where that time comes from."""

from __future__ import annotations

from dataclasses import dataclass

from modelwright.problem import Problem

DEFAULT_MINUTES = 12.0
"""Of a whole run without a GPU: what a person will wait for. A promise of the README."""

GPU_MINUTES = 30.0
"""With a GPU: what its owner expects to wait for a fine-tuned model. Chosen."""

LADDER_SHARE, LADDER_SECONDS = 0.4, 180.0
"""The ladder gets two fifths, at most three minutes: where time is short it tells more per second than training."""

RESERVE_SHARE, RESERVE_SECONDS = 0.1, 75.0
"""Kept for the report and the package: evaluation of a small transformer takes about a minute."""

TRAINING_FLOOR = 0.25
"""The share that training gets even where the steps before took longer than they should."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a whole run may take, in seconds, and why it is so much."""

    seconds: float
    origin: str

    @property
    def ladder_seconds(self) -> float:
        """What the ladder may take."""
        return min(LADDER_SECONDS, LADDER_SHARE * self.seconds)

    def training_seconds(self, spent_seconds: float) -> float:
        """What is left for training after `spent_seconds` in the steps before, less the reserve."""
        left = self.seconds - spent_seconds - min(RESERVE_SECONDS, RESERVE_SHARE * self.seconds)
        return max(left, TRAINING_FLOOR * self.seconds)


def resolve(problem: Problem, *, gpu: bool) -> Budget:
    """The budget that the problem states, the smaller of two, or the default for this machine."""
    minutes, dollars = problem.training.budget_minutes, problem.training.budget_dollars
    stated = []
    if minutes is not None:
        stated.append(Budget(60 * minutes, "training.budget_minutes"))
    if dollars is not None:
        rate = problem.compute.dollars_per_hour
        assert rate, "a problem with a budget in dollars has a price"
        stated.append(Budget(3600 * dollars / rate, f"training.budget_dollars at ${rate:g} an hour"))
    if stated:
        return min(stated, key=lambda each: each.seconds)
    if gpu:
        return Budget(60 * GPU_MINUTES, f"default with a GPU: {GPU_MINUTES:g} min")
    return Budget(60 * DEFAULT_MINUTES, f"default without a GPU: {DEFAULT_MINUTES:g} min")
