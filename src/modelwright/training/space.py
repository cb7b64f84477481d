"""What the trials of a network's training choose from, and the plan that each of them trains by."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelwright.errors import Fault, InputError
from modelwright.problem import Problem
from modelwright.records import BatchSize, Estimate, Plan, Schema, Search, Setting, identify
from modelwright.training.consider import ADAPTED, adapter_sizes, missing
from modelwright.training.estimate import Forecast
from modelwright.training.rules import LEAST_EPOCHS, affordable_epochs, steps_between, usual_rate

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

RATES = 5.0
"""Times the rule's learning rate, up and down. Chosen: ten times too much of it diverges, ten times too little does not
get there."""
SIZES = (0.5, 1, 2)
"""Times the rule's batch size. Chosen: the best learning rate goes with the size, so few sizes do."""
EPOCHS = (0.5, 1.0, 2.0)
"""Times the rule's. Chosen."""


def space(
    schema: Schema,
    problem: Problem,
    forecast: Forecast,
    settings: dict[str, Setting],
    estimate: Estimate,
    *,
    base: Path | str,
    method: str,
    budget_seconds: float,
) -> Search:
    """What the trials choose from: what the user left open, around what the rules say.

    Args:
        forecast: Of a run as planned.
        settings: The plan's.
        estimate: Of a run as planned.
        base: The model's folder, or its name where it starts from scratch.
        method: The plan's.
        budget_seconds: No trial is planned to take more.

    Raises:
        InputError: the user left nothing open.
    """
    asked, job = problem.training, forecast.job
    methods = [method]
    fresh = schema.masked and job.network.fresh  # adapters would leave the layer that guesses words as it is
    adaptable = method == "full" and schema.kind == "text" and not fresh and not missing("lora")
    if problem.model.method == "auto" and adaptable:
        methods.append("lora")
    scratch, rates = isinstance(base, str), {}
    for each in methods:
        rate = settings["learning_rate"].value
        if asked.learning_rate != "auto":
            rates[each] = (rate, rate)
            continue
        probed = each == method and settings["learning_rate"].origin.startswith("probe")  # the rule's diverged
        if each != method:
            rate = usual_rate(schema, rank=adapter_sizes(each)["rank"].value, scratch=scratch)
        rates[each] = (rate / RATES, rate if probed else rate * RATES)
    planned, piece = settings["batch_size"].value, _piece(settings)
    sizes = [planned]
    if asked.batch_size == "auto":
        sizes = sorted(
            {planned} | {max(1, int(planned * times)) for times in SIZES if planned * times <= len(job.train)}
        )
    batches = {size: len(job.train.order(batch_size=size, seed=problem.seed, epoch=0)) for size in sizes}
    found = Search(
        trials=asked.trials,
        methods=tuple(methods),
        learning_rates=rates,
        # a piece is never larger than the plan's own, which is known to fit
        batch_sizes=tuple(BatchSize(size, batches[size], -(-size // piece)) for size in sizes),
        epochs=tuple(_epochs(problem, forecast, settings["epochs"].value, budget_seconds)),
        estimate=estimate,
    )
    if not distributions(found):
        left = "learning_rate, batch_size and epochs are all stated"
        todo = "set one of them to auto, or leave training.trials at 1"
        raise InputError(Fault("training.trials", f"{asked.trials}, and {left}", "something left to try", todo))
    return found


def distributions(search: Search) -> dict[str, BaseDistribution]:
    """What a trial chooses, and from where; what has one choice is not in it.

    The learning rate is the place between the least (0) and the greatest (1) of its method, on a logarithmic scale;
    batch size and epochs are places in their lists.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    if any(low < high for low, high in search.learning_rates.values()):
        found["learning_rate"] = FloatDistribution(0.0, 1.0)
    for name, choices in (("batch_size", search.batch_sizes), ("epochs", search.epochs)):
        if len(choices) > 1:
            found[name] = IntDistribution(0, len(choices) - 1)
    if len(search.methods) > 1:
        found["method"] = CategoricalDistribution(search.methods)
    return found


def chosen(search: Search, params: dict[str, Any]) -> dict[str, Any]:
    """The settings that a choice from `distributions` stands for."""
    method = params.get("method", search.methods[0])
    low, high = search.learning_rates[method]
    rate = low * (high / low) ** params.get("learning_rate", 0.0)
    return {
        "method": method,
        "learning_rate": float(f"{rate:.3g}") if low < high else low,
        "batch_size": search.batch_sizes[params.get("batch_size", 0)].examples,
        "epochs": search.epochs[params.get("epochs", 0)],
    }


def params_of(search: Search, settings: dict[str, Any]) -> dict[str, Any]:
    """The choice that gives these settings: the inverse of `chosen`, but for rounding."""
    low, high = search.learning_rates[settings["method"]]
    place = math.log(settings["learning_rate"] / low) / math.log(high / low) if low < high else 0.0
    sizes = [each.examples for each in search.batch_sizes]
    whole = {
        "method": settings["method"],
        "learning_rate": min(1.0, max(0.0, place)),
        "batch_size": sizes.index(settings["batch_size"]),
        "epochs": search.epochs.index(settings["epochs"]),
    }
    return {name: whole[name] for name in distributions(search)}


def own(plan: Plan) -> dict[str, Any]:
    """What the first trial tries: what was planned."""
    names = ("learning_rate", "batch_size", "epochs")
    return {"method": plan.method, **{name: plan.settings[name].value for name in names}}


def plan_of(plan: Plan, tried: dict[str, Any], number: int) -> Plan:
    """The plan of a trial.

    Args:
        plan: That has the search.
        tried: From `own` or `chosen`.
        number: The trial's, for the origins.
    """
    search = plan.search
    assert search is not None, "there are trials"
    settings = dict(plan.settings)
    if tried != own(plan):
        size = next(each for each in search.batch_sizes if each.examples == tried["batch_size"])
        adapted = tried["method"] in ADAPTED
        changed = {
            **{name: each.value for name, each in adapter_sizes(tried["method"]).items()},
            **{name: tried[name] for name in ("learning_rate", "batch_size", "epochs")},
            "micro_batches": size.micro_batches,
            **({"compile": False} if adapted else {}),
            "steps": max(1, math.ceil(tried["epochs"] * size.batches)),
            "validate_every": steps_between(tried["epochs"], size.batches),
        }
        origin = f"trial {number + 1}"
        settings |= {name: Setting(value, origin) for name, value in changed.items() if value != settings[name].value}
    record = replace(plan, method=tried["method"], settings=settings, estimate=search.estimate, search=None)
    identified: Plan = identify(record)
    return identified


def _piece(settings: dict[str, Setting]) -> int:
    """Examples that are learnt from at once, as planned."""
    examples, pieces = int(settings["batch_size"].value), int(settings["micro_batches"].value)
    return -(-examples // pieces)


def _epochs(problem: Problem, forecast: Forecast, planned: float, budget_seconds: float) -> Iterator[float]:
    """How many passes may be tried, fewest first."""
    if problem.training.epochs != "auto":
        yield planned
        return
    most = max(planned, affordable_epochs(forecast, budget_seconds))
    yield from sorted({planned} | {round(min(most, planned * t), 3) for t in EPOCHS if planned * t >= LEAST_EPOCHS})
