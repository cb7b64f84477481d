"""The steps: what each depends on, and how its record is made. Everything in `inputs` is in the record's key.

To make a step depend on something new, put it into the step's `inputs`; nothing else decides whether a
record is made again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from modelwright.problem import Problem
from modelwright.records import Dataset, Package, Plan, Progress, Report, Run, Verdict, plain
from modelwright.workflow.base import language_base, stamp
from modelwright.workflow.budget import Budget
from modelwright.workflow.budget import resolve as resolve_budget
from modelwright.workflow.check import class_counts, metric_of

Split = Literal["validation", "test"]
R = TypeVar("R")

CHOICE = "choice.json"
"""Beside a report: which candidate it is about, and why that one."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a step may look at."""

    folder: Path
    problem: Problem
    progress: Callable[[Progress], None]
    records: Mapping[str, Any]
    seconds: Mapping[str, float]  # what the steps before took
    split: Split = "validation"
    report_to: tuple[str, ...] = ()

    def the(self, noun: type[R]) -> R:
        """The record of the step before that is a `noun`."""
        found = self.records[noun.__name__.lower()]
        assert isinstance(found, noun)
        return found

    @property
    def budget(self) -> Budget:
        """What the whole run may take."""
        from modelwright.models.precision import device

        table = self.the(Dataset).schema.kind == "table"  # trees do not use a GPU, and asking takes seconds
        return resolve_budget(self.problem, gpu=not table and device() != "cpu")

    @property
    def metric(self) -> str:
        """The metric that decides.

        Raises:
            ProblemError: the metric does not suit the task, or the goal is out of its range.
        """
        dataset = self.the(Dataset)
        return metric_of(self.problem, dataset.schema, class_counts(dataset))


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Args:
        kind: Of its record.
        verb: The command that makes it.
        after: The kinds of the records that it needs; those with a `?` may be absent.
        rooms: The rooms of the house whose code it runs.
        inputs: All that the record depends on besides code and the records before, as plain data.
        make: The record, made in a folder of its own; a killed call left it as it was.
        loose: Inputs on which what is in the folder does not depend: records that differ only in these
            share it, so that another goal finds the rungs that were fitted for this one.
    """

    kind: str
    verb: str
    after: tuple[str, ...]
    rooms: tuple[str, ...]
    inputs: Callable[[Given], dict[str, Any]]
    make: Callable[[Given, Path], Any]
    loose: frozenset[str] = frozenset()


def _prepare_inputs(given: Given) -> dict[str, Any]:
    from modelwright.data.sources import fingerprint

    problem, data = given.problem, given.problem.data
    return {
        "task": problem.task,
        "input": problem.input,
        "output": problem.output,
        "data": data.model_dump(mode="json"),
        "source": fingerprint(data.source, folder=given.folder, query=data.query),
        "test": fingerprint(data.test, folder=given.folder) if data.test else None,
        "seed": problem.seed,
        "masked": _masked(given),
    }


def _masked(given: Given) -> bool:
    """Whether words are to be hidden and guessed: a language model that reads both ways can do nothing else."""
    from modelwright.models.direction import reads_both_ways

    problem = given.problem
    return problem.task == "language-modeling" and reads_both_ways(problem.model.base, folder=given.folder)


def _prepare(given: Given, folder: Path) -> Dataset:
    from modelwright.data.prepare import prepare

    return prepare(given.problem, folder=given.folder, to=folder, progress=given.progress, masked=_masked(given))


def _ladder_inputs(given: Given) -> dict[str, Any]:
    base = language_base(given.the(Dataset), given.problem, folder=given.folder)
    return {
        "base": stamp(base) if isinstance(base, Path) else base,
        "metric": given.metric,
        "goal": given.problem.goal,
        "constraints": given.problem.constraints.model_dump(mode="json"),
        "budget_seconds": given.budget.ladder_seconds,
        "seed": given.problem.seed,
    }


def _ladder(given: Given, folder: Path) -> Verdict:
    from modelwright.ladder.climb import climb

    return climb(
        given.the(Dataset),
        metric=given.metric,
        goal=given.problem.goal,
        constraints=given.problem.constraints,
        folder=folder,
        seed=given.problem.seed,
        budget_seconds=given.budget.ladder_seconds,
        base=language_base(given.the(Dataset), given.problem, folder=given.folder),
        progress=given.progress,
    )


def _plan_inputs(given: Given) -> dict[str, Any]:
    problem = given.problem
    return {
        "metric": given.metric,
        "model": problem.model.model_dump(mode="json"),
        "training": problem.training.model_dump(mode="json"),
        "budget_seconds": given.budget.seconds,
        "dollars_per_hour": problem.compute.dollars_per_hour,
    }


def _plan(given: Given, folder: Path) -> Plan:
    from modelwright.training.plan import plan

    return plan(
        given.the(Dataset),
        given.problem,
        folder=given.folder,
        metric=given.metric,
        budget_seconds=given.budget.training_seconds(_spent(given, "dataset", "verdict")),
        progress=given.progress,
    )


def _train_inputs(given: Given) -> dict[str, Any]:
    return {"metric": given.metric, "budget_seconds": given.budget.seconds}


def _train(given: Given, folder: Path) -> Run:
    from modelwright.execution import executor
    from modelwright.training.train import train

    where, plan = given.problem.compute, given.the(Plan)
    workers = 1 if plan.method == "classical" else where.workers  # trees use all cores of one process
    return executor(where.engine, address=where.address, workers=workers).launch(
        train,
        dataset=given.the(Dataset),
        plan=plan,
        sharding=where.sharding,
        metric=given.metric,
        folder=folder,
        project=given.folder,
        budget_seconds=given.budget.training_seconds(_spent(given, "dataset", "verdict", "plan")),
        progress=given.progress,
        report_to=given.report_to,
    )


def _spent(given: Given, *kinds: str) -> float:
    return sum(given.seconds.get(kind, 0.0) for kind in kinds)


def _evaluate_inputs(given: Given) -> dict[str, Any]:
    problem = given.problem
    return {
        "split": given.split,
        "metric": given.metric,
        "goal": problem.goal,
        "constraints": problem.constraints.model_dump(mode="json"),
        "seed": problem.seed,
    }


def _evaluate(given: Given, folder: Path) -> Report:
    from modelwright.evaluation.diagnose import HistoryPoint
    from modelwright.evaluation.evaluate import evaluate
    from modelwright.evaluation.report.story import Story
    from modelwright.models.predictors import load_predictor
    from modelwright.models.predictors.decision import Decision
    from modelwright.workflow.choice import choose

    dataset, verdict, problem = given.the(Dataset), given.the(Verdict), given.problem
    plan, run = given.records.get("plan"), given.records.get("run")
    metric = given.metric
    choice = choose(dataset, verdict, plan, run, metric=metric, constraints=problem.constraints, seed=problem.seed)
    history: list[HistoryPoint] = []
    if choice.chosen.trained:
        text = (choice.chosen.folder.parent / "history.json").read_text(encoding="utf-8")
        history = [HistoryPoint(**point) for point in json.loads(text)]
    # over- and underfitting are the diagnosis' own: it knows the figures that the run ended with
    stood_out = [each.sentence for each in run.remarks if each.kind in ("spike", "slow")] if run and history else []
    baseline, predictor = choice.baseline, load_predictor(choice.chosen.folder)
    report = evaluate(
        dataset,
        predictor,
        name=choice.chosen.name,
        metric=metric,
        goal=problem.goal,
        constraints=problem.constraints,
        split=given.split,
        baseline=(baseline.name, load_predictor(baseline.folder)) if baseline else None,
        history=history,
        remarks=stood_out,
        story=Story(problem=problem, verdict=verdict, plan=plan, run=run),
        seed=problem.seed,
        to=folder,
        progress=given.progress,
    )
    weighed = ""
    if isinstance(predictor, Decision):
        decides = "classes are weighed" if predictor.thresholds_C is None else "thresholds are set"
        weighed = f"; its {decides} to serve {metric}"
    why = {"chosen": choice.chosen.name, "reason": choice.reason + weighed}
    (folder / CHOICE).write_text(json.dumps(why, ensure_ascii=False), encoding="utf-8")
    return report


def _package_inputs(given: Given) -> dict[str, Any]:
    """What the model card says of the problem."""
    stated = given.problem.model_dump(mode="json")
    return {name: stated[name] for name in ("name", "statement", "correct", "metric", "goal", "constraints")}


def _package(given: Given, folder: Path) -> Package:
    from modelwright.data.parts import read_part
    from modelwright.deployment.package import package
    from modelwright.models.predictors import load_predictor
    from modelwright.workflow.choice import contenders

    dataset, verdict, report = given.the(Dataset), given.the(Verdict), given.the(Report)
    found = contenders(verdict, given.records.get("plan"), given.records.get("run"))
    chosen = next(each for each in found if each.name == report.predictor)
    lineage = {kind: record for kind, record in given.records.items() if record is not None}
    return package(
        load_predictor(chosen.folder),
        name=given.problem.name,
        to=given.folder / "packages",
        examples=read_part(dataset, "validation"),
        lineage={"problem": given.problem.model_dump(mode="json"), **plain(lineage)},
        seed=given.problem.seed,
        excluded=dataset.excluded,
    )


STEPS = {
    step.kind: step
    for step in (
        Step("dataset", "prepare", (), ("data",), _prepare_inputs, _prepare),
        Step(
            "verdict",
            "ladder",
            ("dataset",),
            ("ladder", "models"),
            _ladder_inputs,
            _ladder,
            frozenset({"goal", "constraints", "budget_seconds"}),
        ),
        Step("plan", "plan", ("dataset",), ("training", "models"), _plan_inputs, _plan),
        Step("run", "train", ("dataset", "plan"), ("training", "models"), _train_inputs, _train),
        Step(
            "report",
            "evaluate",
            ("dataset", "verdict", "plan?", "run?"),
            ("evaluation", "models"),
            _evaluate_inputs,
            _evaluate,
        ),
        Step(
            "package",
            "package",
            ("dataset", "verdict", "plan?", "run?", "report"),
            ("deployment", "models"),
            _package_inputs,
            _package,
        ),
    )
}
"""kind -> step, in the order in which they are taken."""
