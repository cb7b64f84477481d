"""Step 3: the model, its settings, and what was seen before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelwright.records.estimate import Estimate
from modelwright.records.figures import Interval


@dataclass(frozen=True, slots=True)
class Setting:
    """A resolved setting and the rule, probe or person that it comes from."""

    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Shown:
    """An example as the network sees it: its tokens as text again; what carries loss stands in «»."""

    text: str
    label: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was seen before a run; losses are those of a few examples learnt by heart, above the least possible."""

    shown: tuple[Shown, ...]
    examples_cut: int
    tokens_cut: int  # the median, of those that are cut
    labels: dict[str, int]
    first_loss: float
    last_loss: float
    learning_rate: float  # that did not diverge
    notes: tuple[str, ...] = ()  # what of the examples is not learnt from, and why; what the model was made of


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """How the error of a cheap model falls with the number of examples: error = floor + scale n^-power.

    `scores` are of the metric, by examples; `doubled` is what twice the data would likely bring. `needed` is how many
    examples the goal likely takes: null without a goal, or where more data will not do (`reachable` is then false).
    """

    model: str
    metric: str
    scores: dict[str, float]
    floor: float
    scale: float
    power: float
    doubled: Interval
    needed: Interval | None = None
    reachable: bool | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that was considered for the plan."""

    model: str
    method: str
    fits: bool
    reason: str


@dataclass(frozen=True, slots=True)
class BatchSize:
    """A size of batches that may be tried: how many make an epoch, and into how many pieces each is cut."""

    examples: int
    batches: int
    micro_batches: int


@dataclass(frozen=True, slots=True)
class Search:
    """What the trials of a training choose from; what the person named has one choice.

    `learning_rates` are the least and the greatest, by method. `estimate` is that of the first trial alone, which is
    the plan's own.
    """

    trials: int
    methods: tuple[str, ...]
    learning_rates: dict[str, tuple[float, float]]
    batch_sizes: tuple[BatchSize, ...]
    epochs: tuple[float, ...]
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Plan:
    """Step 3: the model, the method and every setting, with what it will take; `search` where there are trials.

    `no_curve` says why there is no `curve`.
    """

    id: str
    dataset_id: str
    model: str
    method: str
    settings: dict[str, Setting]
    estimate: Estimate
    candidates: tuple[Candidate, ...]
    preflight: Preflight | None = None
    curve: LearningCurve | None = None
    search: Search | None = None
    no_curve: str | None = None
