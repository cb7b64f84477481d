"""Of all candidates the simplest within noise of the best: what is reported, packaged and served."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelwright.data.parts import read_part, targets_N
from modelwright.evaluation.compare import paired_standard_error
from modelwright.evaluation.latency import measure_latency
from modelwright.evaluation.metrics import find, score
from modelwright.models.predictors import Predictions, load_predictor
from modelwright.models.predictors.out_of_sample import load_out_of_sample
from modelwright.problem import Constraints
from modelwright.records import POSITION, Dataset, Plan, Run, Verdict

if TYPE_CHECKING:
    from modelwright.records import RungScore


@dataclass(frozen=True, slots=True)
class Contender:
    """A predictor that could be packaged: its name, and the folder that it is saved in."""

    name: str
    folder: Path
    trained: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The contender that won, why in a sentence, and what its report compares it with."""

    chosen: Contender
    reason: str
    baseline: Contender | None


def contenders(verdict: Verdict, plan: Plan | None, run: Run | None) -> list[Contender]:
    """Every predictor that there is, from the simplest to the dearest."""
    found = [Contender(rung.name, Path(rung.path)) for rung in verdict.rungs if rung.path]
    if run is not None and plan is not None:
        found.append(Contender(plan.model, Path(run.path) / "predictor", trained=True))
    return found


def choose(
    dataset: Dataset,
    verdict: Verdict,
    plan: Plan | None,
    run: Run | None,
    *,
    metric: str,
    constraints: Constraints,
    seed: int,
) -> Choice:
    """What to report and package.

    Without a trained predictor: the rung that the verdict chose. With one: among those that keep the
    latency limit (all, where none does), the simplest whose paired difference from the best one, on the
    examples that none of them was fitted on, is within one standard error (the one-standard-error rule:
    Breiman et al. 1984, "Classification and Regression Trees", section 3.4.3).
    """
    everyone = contenders(verdict, plan, run)
    place = next(n for n, each in enumerate(everyone) if each.name == verdict.chosen and not each.trained)
    simplest = everyone[0]
    if run is None:
        return Choice(everyone[place], verdict.reason, simplest if place else None)
    found = everyone[place:]  # the ladder found the simpler ones wanting, on more examples than are common to all
    quick = _within_latency(found, verdict.rungs, dataset, constraints.latency_ms)
    truth_N, answers = _common(dataset, quick)
    higher = find(metric).higher_is_better
    scores = [score(metric, dataset.schema, truth_N, each) for each in answers]
    ranks = [(s if higher else -s) if math.isfinite(s) else -math.inf for s in scores]
    best = int(np.argmax(ranks))
    for number in range(len(quick)):
        behind, error = 0.0, 0.0
        if number != best:
            behind, error = paired_standard_error(
                metric, dataset.schema, truth_N, answers[best], answers[number], seed=seed
            )
        if behind <= error:  # never so where either is not a number; always so for the best
            break
    contender = quick[number]
    baseline = _best_rung(quick, ranks) if contender.trained else simplest
    reason = _reason(contender.name, quick[best].name, len(truth_N), behind, error)
    return Choice(contender, reason, baseline if baseline != contender else None)


def _within_latency(
    found: list[Contender], rungs: Sequence[RungScore], dataset: Dataset, limit_ms: float | None
) -> list[Contender]:
    if limit_ms is None:
        return found
    known = {rung.name: rung.latency_ms.p95 for rung in rungs if rung.latency_ms}
    validation = read_part(dataset, "validation")
    quick = []
    for contender in found:
        p95 = known.get(contender.name)
        if p95 is None or contender.trained:
            p95 = measure_latency(load_predictor(contender.folder), validation).p95
        if p95 <= limit_ms:
            quick.append(contender)
    return quick or found


def _common(dataset: Dataset, found: Sequence[Contender]) -> tuple[np.ndarray, list[Predictions]]:
    """The truth of the examples that no contender was fitted on, and the answers of each to them."""
    kept = [load_out_of_sample(contender.folder) for contender in found]
    positions_N = kept[0][0]
    for theirs_N, _ in kept[1:]:
        positions_N = np.intersect1d(positions_N, theirs_N)
    parts = [read_part(dataset, "train"), read_part(dataset, "validation")]
    known_N = np.concatenate([part[POSITION].to_numpy() for part in parts])
    truth_N = np.concatenate([targets_N(dataset.schema, part) for part in parts])
    truth_N = truth_N[_where(known_N, positions_N)]
    return truth_N, [_taken(theirs_N, answers, positions_N) for theirs_N, answers in kept]


def _taken(theirs_N: np.ndarray, answers: Predictions, positions_N: np.ndarray) -> Predictions:
    """`answers`, which are to the examples at `theirs_N`, to those at `positions_N` alone."""
    return answers.take(_where(theirs_N, positions_N))


def _where(known_N: np.ndarray, positions_N: np.ndarray) -> np.ndarray:
    """The places in `known_N` of `positions_N`, all of which are in it."""
    order_N = np.argsort(known_N, kind="stable")
    return np.asarray(order_N[np.searchsorted(known_N, positions_N, sorter=order_N)])


def _best_rung(found: Sequence[Contender], ranks: Sequence[float]) -> Contender | None:
    rungs = [(rank, -number) for number, rank in enumerate(ranks) if not found[number].trained]
    return found[-max(rungs)[1]] if rungs else None


def _reason(name: str, best: str, count: int, behind: float, error: float) -> str:
    if name == best:
        return f"{name} is the best of all on {count:,} examples that none was fitted on"
    return f"{name} is simpler than {best} and within noise of it ({behind:.3f} behind, standard error {error:.3f})"
