"""Step 3: which model, trained how, and what it will take. Every value has an origin: the user, a rule or a probe."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from modelwright.data.parts import read_part, targets_N
from modelwright.errors import RefusedError
from modelwright.models.catalogue import locate
from modelwright.models.encode import is_remembered
from modelwright.models.precision import best_precision
from modelwright.problem import Problem
from modelwright.records import (
    LANGUAGE_TASKS,
    Candidate,
    Dataset,
    Estimate,
    Interval,
    LearningCurve,
    Plan,
    Progress,
    Schema,
    Setting,
    identify,
)
from modelwright.training.compiling import compiling
from modelwright.training.consider import CLASSICAL, consider
from modelwright.training.crowd import Crowd
from modelwright.training.curve import learning_curve
from modelwright.training.estimate import Forecast, estimated, repeated, with_cost
from modelwright.training.fit import images_fit, micro_batches
from modelwright.training.job import build, load_libraries
from modelwright.training.memory import Peak, held_bytes, pages_kept, release, within_memory
from modelwright.training.past import corrected, kind_of_job
from modelwright.training.preflight import preflight
from modelwright.training.probe import probe
from modelwright.training.rules import has_budget, schedule, sizes
from modelwright.training.space import space

SEARCHED = (0.2, 0.03, 1.0)
"""Of the budget, what the search of a table takes: usually, at least, at most. It ends when nothing more is gained:
after .03 to .75 of 640 s on ten tables of 178 to 50,000 examples (measured)."""
SEARCHED_MEMORY = (5e8, 250.0)
"""Bytes of it, and more for each cell of train. Measured: nine tables of 142 to 90,000 examples took .62 to 1.27
of that, and one with texts 1.48."""
SEARCHED_DISK = 7600.0
"""Bytes of disk, times the root of the number of cells. Measured where time was no limit: within a factor of 2 on six
of ten tables of 142 to 20,000 examples, of 4 on nine; where the search has but 20 s, down to a tenth."""
CURVE_SECONDS, CURVE_SHARE = 6.0, 0.03
"""What fits for the learning curve may take, and of the budget at most. Chosen."""
PROBED = "probe of matrix products"


def plan(
    dataset: Dataset,
    problem: Problem,
    *,
    folder: Path,
    metric: str,
    budget_seconds: float,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Plan:
    """The plan for `dataset`.

    Args:
        dataset: Step 2.
        problem: Its model and training sections overrule the rules.
        folder: The project's, which a relative `model.base` is relative to.
        metric: Decides which checkpoint is the best one.
        budget_seconds: What the training may take; epochs are planned to fit.
        progress: Told of each stage.

    Raises:
        InputError: `model.base` names no model here.
        RefusedError: nothing here can be trained on this kind of data, or it does not fit into memory.
    """
    schema = dataset.schema
    candidates = consider(schema, dataset, problem, folder=folder)
    chosen = next((each for each in candidates if each.fits), None)
    if chosen is None:
        raise RefusedError("no model here fits: " + "; ".join(f"{c.model}: {c.reason}" for c in candidates))
    if chosen.method == "classical":
        return _classical(dataset, problem, candidates, metric, budget_seconds)

    def note(what: str) -> None:
        progress(Progress("plan", what, 0))

    with pages_kept():  # as the run has it, which is measured here
        return _network(dataset, problem, candidates, chosen, folder, metric, budget_seconds, note)


def _network(
    dataset: Dataset,
    problem: Problem,
    candidates: list[Candidate],
    chosen: Candidate,
    folder: Path,
    metric: str,
    budget_seconds: float,
    note: Callable[[str], None],
) -> Plan:
    """The plan to train the network of `chosen`: rules and probes settle what the user left open."""
    schema, model, method = dataset.schema, chosen.model, chosen.method
    base = locate(model, folder=folder)
    train, validation = read_part(dataset, "train"), read_part(dataset, "validation")
    origins = _needed(schema, train, problem, base, method)
    settings = {name: each.value for name, each in origins.items()}
    if schema.kind == "image":
        images_fit(schema, train, validation, base=base, size=settings["image_size"])
    forecast = _measured(schema, train, validation, base, settings, metric=metric, folder=folder, note=note)
    scratch, precision = isinstance(base, str), settings["precision"]
    origins["compile"], forecast = compiling(
        forecast, problem, precision=precision, scratch=scratch, budget_seconds=budget_seconds, note=note
    )
    origins |= schedule(forecast, problem, scratch=scratch, budget_seconds=budget_seconds)
    origins["metric"] = Setting(metric, "problem")
    steps, every = origins["steps"].value, origins["validate_every"].value
    estimate = corrected(kind_of_job(schema, method), estimated(forecast, steps=steps, validate_every=every))
    estimate = with_cost(estimate, problem.compute.dollars_per_hour)
    note("trying whether it can learn")
    rate = float(origins["learning_rate"].value)
    asked = problem.training.learning_rate != "auto"
    seen = preflight(forecast.job, train, schema, rate=rate, precision=precision, asked=asked)
    if seen.learning_rate < rate:
        origins["learning_rate"] = Setting(seen.learning_rate, f"probe: the rule's {rate:g} diverged")
    note("how much more data would bring")
    curve, no_curve = _curve(dataset, problem, metric, budget_seconds)
    search = None
    if problem.training.trials > 1:
        search = space(
            schema, problem, forecast, origins, estimate, base=base, method=method, budget_seconds=budget_seconds
        )
        several = repeated(
            forecast,
            estimate,
            trials=search.trials,
            longest=max(search.epochs) / origins["epochs"].value,
            steps=steps,
            validate_every=every,
            budget=budget_seconds,
        )
        estimate = with_cost(several, problem.compute.dollars_per_hour)
    record = Plan("", dataset.id, model, method, origins, estimate, tuple(candidates), seen, curve, search, no_curve)
    identified: Plan = identify(record)
    return identified


def _needed(schema: Schema, train: pl.DataFrame, problem: Problem, base: Path | str, method: str) -> dict[str, Setting]:
    """The settings that must be known before the network is built: sizes, precision, pieces of a batch."""
    found = sizes(schema, train, problem, base, method)
    asked = problem.training.precision
    found["precision"] = Setting(*((asked, "problem.yaml") if asked != "auto" else (best_precision(), PROBED)))
    pieces = Setting(1, "a batch fits in memory")
    if schema.kind == "text" and isinstance(base, Path):
        settings = {name: each.value for name, each in found.items()}
        pieces = micro_batches(schema, train, base, settings, held=held_bytes())
    return found | {"micro_batches": pieces}


def _measured(
    schema: Schema,
    train: pl.DataFrame,
    validation: pl.DataFrame,
    base: Path | str,
    settings: dict[str, Any],
    *,
    metric: str,
    folder: Path,
    note: Callable[[str], None],
) -> Forecast:
    """The job, and what was measured of it; its memory is watched as the run's will be, from before it is built."""
    load_libraries(settings)
    precision = settings["precision"]
    release()
    held = held_bytes()
    with Peak() as peak:
        began, crowd = time.perf_counter(), Crowd()
        job = build(schema, train, validation, base=base, settings=settings, note=note)
        build_seconds = time.perf_counter() - began
        note("timing a little of everything")
        reads = not (isinstance(base, str) or schema.task in LANGUAGE_TASKS)
        if reads and not settings["quantised"]:
            reads = not is_remembered(job.network, job.examples.features, precision=precision)
        truth_N = targets_N(schema, validation)
        with within_memory(settings["batch_size"]):
            measured = probe(job, truth_N, metric=metric, precision=precision, reads=reads, place=folder)
        return Forecast(job, measured, build_seconds, peak.bytes, reads, crowd.share, held_bytes=held)


def _classical(
    dataset: Dataset, problem: Problem, candidates: list[Candidate], metric: str, budget_seconds: float
) -> Plan:
    origin = "problem.yaml" if has_budget(problem) else "default for a machine of this kind"
    settings = {
        "seed": Setting(problem.seed, "problem.yaml"),
        "metric": Setting(metric, "problem"),
        "budget_seconds": Setting(round(budget_seconds), origin),
    }
    estimate = with_cost(_searched(dataset, budget_seconds), problem.compute.dollars_per_hour)
    curve, why = _curve(dataset, problem, metric, budget_seconds)
    record = Plan("", dataset.id, CLASSICAL, "classical", settings, estimate, tuple(candidates), None, curve, None, why)
    identified: Plan = identify(record)
    return identified


def _searched(dataset: Dataset, budget_seconds: float) -> Estimate:
    """What the search of a table takes here; nothing of it is tried for that."""
    cells = dataset.parts["train"] * len(dataset.schema.inputs)
    fixed, each = SEARCHED_MEMORY
    size = fixed + each * cells
    plain = Estimate(
        seconds=Interval(*(share * budget_seconds for share in SEARCHED)),
        peak_memory_bytes=Interval(size, 0.5 * size, 2 * size),
        cost=Interval(0.0, 0.0, 0.0),
        disk_bytes=SEARCHED_DISK * math.sqrt(cells),
    )
    estimate = corrected(kind_of_job(dataset.schema, "classical"), plain)
    value, low, high = estimate.seconds.value, estimate.seconds.low, estimate.seconds.high
    assert high is not None, "a forecast has a range"
    return replace(estimate, seconds=Interval(value, low, max(value, min(high, budget_seconds))))


def _curve(
    dataset: Dataset, problem: Problem, metric: str, budget_seconds: float
) -> tuple[LearningCurve | None, str | None]:
    """The curve, or why there is none."""
    found = learning_curve(
        dataset.schema,
        read_part(dataset, "train"),
        read_part(dataset, "validation"),
        metric=metric,
        goal=problem.goal,
        seconds=min(CURVE_SECONDS, CURVE_SHARE * budget_seconds),
        seed=problem.seed,
    )
    return (None, found) if isinstance(found, str) else (found, None)
