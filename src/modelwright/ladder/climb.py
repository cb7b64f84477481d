"""Step 0, told in order: fit each rung on train, measure it on examples that it has not seen, decide.

What is finished stays in the folder, so that a killed climb goes on where it was.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from modelwright.data.parts import read_part
from modelwright.data.parts import targets_N as targets_of
from modelwright.errors import Fault, InputError, RefusedError
from modelwright.evaluation.decision import decided
from modelwright.evaluation.intervals import interval
from modelwright.evaluation.latency import cost_per_1000, measure_latency
from modelwright.evaluation.metrics import metrics_for, score
from modelwright.ladder.rung import FOLDS, Rung
from modelwright.ladder.rungs import LANGUAGE_MODEL_RUNGS, NO_DOCUMENTS, NO_LANGUAGE_MODEL, NOT_WRITTEN, RAG, RUNGS
from modelwright.ladder.verdict import Standing, decide
from modelwright.models.fitting.folds import ENOUGH, folds_within
from modelwright.models.predictors import Predictions, Predictor, joined, save_predictor
from modelwright.models.predictors.decision import Decision
from modelwright.models.predictors.out_of_sample import load_out_of_sample, save_out_of_sample
from modelwright.problem import Constraints
from modelwright.records import (
    LANGUAGE_TASKS,
    POSITION,
    Dataset,
    Interval,
    Latency,
    Progress,
    RungScore,
    Task,
    Verdict,
    digest,
    identify,
    plain,
)

SCORE = "score.json"
CONSTANT = "constant"
ALWAYS = (CONSTANT, "rule")
"""Rungs that are fitted whatever time is left: what all others are measured against."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Ground:
    """What every rung is fitted on and scored on."""

    dataset: Dataset
    metric: str
    seed: int
    train: pl.DataFrame
    validation: pl.DataFrame
    fold_N: np.ndarray | None  # None: only validation is scored
    deadline: float  # on the clock of `time.monotonic`

    @property
    def positions_N(self) -> np.ndarray:
        return np.concatenate([part[POSITION].to_numpy() for part in self._parts])

    @property
    def truth_N(self) -> np.ndarray:
        return np.concatenate([targets_of(self.dataset.schema, part) for part in self._parts])

    @property
    def _parts(self) -> list[pl.DataFrame]:
        return [self.validation] if self.fold_N is None else [self.validation, self.train]

    @property
    def left_seconds(self) -> float:
        return self.deadline - time.monotonic()

    def for_rung(self, rung: Rung) -> _Ground:
        """What this rung is scored on: validation alone where its answers may take long."""
        return self if rung.judging_seconds is None else replace(self, fold_N=None)

    @property
    def scored_on(self) -> str:
        held = f"{len(self.validation):,} validation examples"
        if self.fold_N is None:
            return held
        return f"{held} and, out of fold ({FOLDS} folds), {len(self.train):,} train examples"


def climb(
    dataset: Dataset,
    *,
    metric: str,
    goal: float | None,
    constraints: Constraints,
    folder: Path,
    seed: int,
    budget_seconds: float,
    base: Path | str = NO_LANGUAGE_MODEL,
    progress: Callable[[Progress], None] = lambda told: None,
) -> Verdict:
    """The verdict: does a rung of the ladder already do, or is it worth training?

    Each rung is fitted on train alone and saved in `folder`/NAME with what it answered to the examples
    that it was scored on (out_of_sample.parquet) and its figures (score.json).

    Args:
        dataset: Step 2.
        metric: What rungs are scored by.
        goal: Reaching it is enough; None asks for the best.
        constraints: A rung that breaks the limit on latency or cost is not chosen.
        folder: Where rungs are kept; those of an earlier, killed climb are taken over.
        seed: Rungs draw from it.
        budget_seconds: A rung that would take longer than what is left of it is skipped.
        base: The folder of the language model that training would start from, which the last rungs ask as it is; or
            why there is none.
        progress: Told before each rung.

    Raises:
        RefusedError: no rung has a figure, so that there is nothing that training could be measured against.
    """
    ground = _ground(dataset, metric, seed, budget_seconds)
    folder.mkdir(parents=True, exist_ok=True)
    scores, standings, alone = [], [], []
    rungs = _rungs(dataset.schema.task, base)
    for number, (name, rung) in enumerate(rungs.items()):
        progress(Progress("ladder", name, number, len(rungs), "rungs", max(0.0, ground.left_seconds)))
        own = ground.for_rung(rung)
        found = _kept(own, folder / name) or _measured(own, name, rung, folder / name)
        scores.append(found)
        if found.score is not None and math.isfinite(found.score.value):
            standings.append(Standing(found, load_out_of_sample(folder / name)[1]))
            alone += [name] if own.fold_N is None else []
    if not standings:
        raise RefusedError(str(_none_stands(ground, scores)))
    scores += [RungScore(name, "language model", skipped=why) for name, why in _absent(dataset.schema.task, base)]
    progress(Progress("ladder", "deciding", len(rungs), len(rungs), "rungs"))
    decision, chosen, reason = decide(dataset, ground.truth_N, standings, metric, goal, constraints, seed=seed)
    scored_on = ground.scored_on
    if alone and ground.fold_N is not None:
        scored_on += f"; {' and '.join(alone)} on validation alone"
    verdict: Verdict = identify(Verdict("", dataset.id, metric, scored_on, tuple(scores), decision, chosen, reason))
    return verdict


def _none_stands(ground: _Ground, scores: Sequence[RungScore]) -> Fault:
    """What became of every rung, and what to do."""
    ends = "; ".join(f"{each.name}: {each.skipped or f'its {ground.metric} is no number'}" for each in scores)
    todo = "see the log for where the rungs failed"
    if any(each.score is not None for each in scores):
        todo = "name another metric, or bring more data: on these examples this one has no value"
    found, expected = f"no rung could be scored by {ground.metric} ({ends})", f"one that can on {ground.scored_on}"
    return Fault("ladder", found, expected, todo)


def _rungs(task: Task, base: Path | str) -> dict[str, Rung]:
    """Those made for the task, the cheapest first."""
    found = dict(RUNGS)
    if isinstance(base, Path):
        found |= {name: make(base) for name, make in LANGUAGE_MODEL_RUNGS.items()}
    return {name: rung for name, rung in found.items() if task in rung.tasks}


def _absent(task: Task, base: Path | str) -> Iterator[tuple[str, str]]:
    """The rungs of language models that cannot be had, each with the reason."""
    why = NOT_WRITTEN if task not in LANGUAGE_TASKS else base if isinstance(base, str) else None
    if why is not None:
        yield from ((name, why) for name in LANGUAGE_MODEL_RUNGS if (name == "base") == (task == "language-modeling"))
    if task != "language-modeling":
        yield RAG, why or NO_DOCUMENTS


def _ground(dataset: Dataset, metric: str, seed: int, budget_seconds: float) -> _Ground:
    deadline = time.monotonic() + budget_seconds
    train, validation = read_part(dataset, "train"), read_part(dataset, "validation")
    fold_N = None if len(validation) >= ENOUGH else folds_within(dataset, train, FOLDS, seed=seed)
    return _Ground(dataset, metric, seed, train, validation, fold_N, deadline)


def _key(ground: _Ground, name: str) -> str:
    return digest(ground.dataset.id, ground.metric, ground.seed, name, ground.scored_on)


def _kept(ground: _Ground, folder: Path) -> RungScore | None:
    """What an earlier climb measured of the rung in `folder`, or None."""
    try:
        found = json.loads((folder / SCORE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if found["key"] != _key(ground, folder.name):
        return None
    stored = found["score"]
    figure = {key: math.nan if value is None and key == "value" else value for key, value in stored["score"].items()}
    latency = Latency(**stored["latency_ms"])
    return RungScore(**{**stored, "score": Interval(**figure), "latency_ms": latency, "path": str(folder)})


def _measured(ground: _Ground, name: str, rung: Rung, folder: Path) -> RungScore:
    """The rung fitted and measured, or why it was skipped."""
    schema = ground.dataset.schema
    skipped = rung.applies(schema, len(ground.train))
    if skipped is None and name not in ALWAYS:
        expected = rung.total_seconds(schema, ground.train, folded=ground.fold_N is not None)
        skipped = _too_long("would take", expected, ground.left_seconds)
    if skipped is not None:
        return RungScore(name, rung.kind, skipped=skipped)
    try:
        return _fitted(ground, name, rung, folder)
    except InputError as error:  # of the language model: it says what is the matter
        return RungScore(name, rung.kind, skipped="; ".join(each.found for each in error.faults))
    except Exception as error:  # a library may fail in any way on data that nobody has seen: the others stand
        _log.exception("the rung %s failed", name)
        return RungScore(name, rung.kind, skipped=f"failed: {type(error).__name__}: {str(error)[:200]}")


def _too_long(what: str, expected: float, left: float) -> str | None:
    return f"{what} about {expected:.0f} s, and {max(0.0, left):.0f} s are left" if expected > left else None


def _fitted(ground: _Ground, name: str, rung: Rung, folder: Path) -> RungScore:
    """The rung fitted, measured and saved; score.json comes last, so that it stands for the whole."""
    schema = ground.dataset.schema
    started = time.perf_counter()
    fitted = rung.fit(schema, ground.train, seed=ground.seed)
    fit_seconds = time.perf_counter() - started
    if rung.judging_seconds is not None:
        left = ground.left_seconds
        what = f"answering {len(ground.validation):,} examples would take"
        if skipped := _too_long(what, rung.judging_seconds(fitted, ground.validation, left), left):
            return RungScore(name, rung.kind, skipped=skipped)
    answers: Predictions = fitted.predict(ground.validation)
    if ground.fold_N is not None:
        folded = rung.answers_to_train(fitted, schema, ground.train, ground.fold_N, seed=ground.seed)
        answers = joined([answers, folded])
    truth_N = ground.truth_N
    predictor: Predictor = fitted
    if name != CONSTANT:  # one answer to all is what it is
        predictor, answers = decided(fitted, answers, ground.metric, truth_N, seed=ground.seed)
    latency = measure_latency(predictor, ground.validation)
    others = {each: score(each, schema, truth_N, answers) for each in metrics_for(schema)}
    found = RungScore(
        name=name,
        kind=rung.kind,
        score=interval(ground.metric, schema, truth_N, answers, seed=ground.seed),
        latency_ms=latency,
        cost_per_1000=cost_per_1000(latency),
        fit_seconds=fit_seconds,
        metrics={each: value for each, value in others.items() if math.isfinite(value)},
        path=str(folder),
        describes=fitted.describes + (f"; {predictor.describes}" if isinstance(predictor, Decision) else ""),
    )
    save_predictor(predictor, folder)
    save_out_of_sample(folder, ground.positions_N, answers)
    unfinished = folder / f"{SCORE}.part"
    kept = {"key": _key(ground, name), "score": plain(replace(found, path=None))}
    unfinished.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    unfinished.replace(folder / SCORE)
    return found
