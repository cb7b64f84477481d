"""Step 4: what training did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from modelwright.records.figures import Interval


@dataclass(frozen=True, slots=True)
class Trial:
    """One of several trainings: what it tried, its best validation, and how it ended.

    `pruned` is one that was stopped because it lagged behind the others, `diverged` one whose loss was lost. `score` is
    null where none was taken. `chosen` is the one whose weights the run has.
    """

    number: int
    settings: dict[str, Any]
    ended: Literal["completed", "stopped_early", "budget", "pruned", "diverged"]
    score: float | None
    loss: float
    seconds: float
    chosen: bool


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about a run that its losses show: a sentence with figures and what to do."""

    kind: Literal["spike", "lost", "slow", "overfitting", "underfitting", "unscored"]
    step: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Run:
    """Step 4: what training did. `not_exact` says why an undisturbed run would have ended with other bits, if so.

    `disk_bytes` is the most that its folder was seen to hold, `cost` that of its seconds where a price is stated;
    `forecast_error` says by how much more than foreseen these and time and memory came to, as shares.

    With `trials` it is about the chosen one, but for `seconds`, `peak_memory_bytes`, `disk_bytes`, `cost` and
    `forecast_error`: these are of all together.
    """

    id: str
    plan_id: str
    path: str
    weights_sha256: str
    status: Literal["completed", "stopped_early", "budget"]
    steps: int
    best_step: int
    train_loss: float
    validation: dict[str, Interval]
    seconds: float
    peak_memory_bytes: int
    forecast_error: dict[str, float]
    not_exact: tuple[str, ...] = ()
    remarks: tuple[Remark, ...] = ()
    trials: tuple[Trial, ...] = ()
    disk_bytes: int = 0
    cost: float = 0.0
