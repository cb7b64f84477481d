"""Trials compared with each other: which is the best, which lags behind, what the next one tries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Any, Literal

from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.records import Plan
from modelwright.training.course import standing
from modelwright.training.estimate import LEAST_SHARE
from modelwright.training.proposals import proposals
from modelwright.training.space import chosen, distributions, params_of

STARTUP = 4
"""Trials before the estimator has enough to go by: the plan's own and three drawn at random. Chosen."""
ATTEMPTS = 50
"""Ideas that are listened to, where all were tried already, before it is taken that nothing is left. Chosen."""
MOST_TRIALS = 1000
"""As the problem file has it; so many seeds belong to one seed of the problem."""
COMPARED = 2
"""Trials that must have come to their end before one can lag behind them. Chosen."""

Ended = Literal["completed", "stopped_early", "budget", "pruned", "diverged"]


@dataclass(frozen=True, slots=True)
class Done:
    """A trial that is over, as the journal has it.

    Args:
        number: From 0.
        settings: What it tried.
        ended: How.
        points: Each validation: what share of its steps was done, and the point.
        seconds: What it took.
        not_exact: As in Run.
    """

    number: int
    settings: dict[str, Any]
    ended: Ended
    points: list[tuple[float, dict[str, Any]]]
    seconds: float
    not_exact: list[str]

    @property
    def whole(self) -> bool:
        """Whether it came to its end, so that it has a predictor."""
        return self.ended not in ("pruned", "diverged")

    def best(self, metric: str, share: float = 1.0) -> dict[str, Any]:
        """Its best validation by the time that `share` of its steps were done."""
        return max((point for at, point in self.points if at <= share), key=lambda point: standing(point, metric))


def lags(points: Sequence[tuple[float, dict[str, Any]]], done: Sequence[Done], metric: str) -> bool:
    """Whether a trial that stands so is to be stopped: more than half of the whole ones stood better by then.

    The median stopping rule (Golovin et al. 2017, section 3.2.1), by the best validation each had after the same
    share of its steps: schedules are shared out over the steps, so that is where trials of unlike length compare.

    Args:
        points: The trial's validations, each with the share of its steps that was done.
        done: The trials before.
        metric: That decides.
    """
    share = points[-1][0]
    others = [each.best(metric, share) for each in done if each.whole]
    if share < LEAST_SHARE or len(others) < COMPARED:
        return False
    mine = max(standing(point, metric) for _, point in points)
    return sum(standing(other, metric) > mine for other in others) > len(others) / 2


def points_of(history: Sequence[HistoryPoint], steps: int) -> list[tuple[float, dict[str, Any]]]:
    """What trials are compared by: validations whose loss is a number, each after its share of so many steps."""
    names = ("step", "validation_score", "validation_loss")
    sound = [each for each in history if each.validation_loss is not None and math.isfinite(each.validation_loss)]
    return [(each.step / steps, {name: getattr(each, name) for name in names}) for each in sound]


def proposed(plan: Plan, done: Sequence[Done], *, metric: str) -> dict[str, Any] | None:
    """What the next trial tries; None where everything was tried.

    The estimator looks at the order of losses alone: each trial's is the number of those that were better.
    """
    search = plan.search
    assert search is not None, "there are trials"
    stood = [(each.whole, standing(each.best(metric), metric)) for each in done]
    losses = [float(sum(other > own for other in stood)) for own in stood]
    tried = [each.settings for each in done]
    known = [(params_of(search, each), loss) for each, loss in zip(tried, losses, strict=True)]
    seed = plan.settings["seed"].value * MOST_TRIALS + len(done)
    ideas = proposals(distributions(search), known, seed=seed, startup=STARTUP)
    settings = (chosen(search, idea) for idea in islice(ideas, ATTEMPTS))
    return next((each for each in settings if each not in tried), None)


def expected_seconds(done: Sequence[Done], tried: dict[str, Any]) -> float:
    """What a trial would likely take that is not stopped, by what an epoch of the whole ones took."""
    paces = [each.seconds / max(each.points[-1][0] * each.settings["epochs"], 1e-9) for each in done if each.whole]
    return float(median(paces) * tried["epochs"])


def best_of(done: Sequence[Done], metric: str) -> Done:
    """The whole trial with the best validation, the earliest of equals."""
    whole = [each for each in done if each.whole]
    return max(whole, key=lambda each: (standing(each.best(metric), metric), -each.number))
