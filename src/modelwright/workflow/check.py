"""Is the problem well stated? Faults make it unsolvable; questions are what a colleague would ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelwright.errors import Fault, InputError, ProblemError
from modelwright.problem import Problem, survey
from modelwright.records import Dataset, Finding, Schema

if TYPE_CHECKING:
    from modelwright.workflow.project import Project

_ASKED = ("leakage", "label_error", "imbalance")
"""Kinds of findings that make one doubt the problem as stated, not only the data."""
_OF_NETWORKS = ("learning_rate", "batch_size", "epochs", "precision", "compile", "max_grad_norm")
"""Settings of training of which a table's trees have none."""


@dataclass(frozen=True, slots=True)
class Question:
    """Something vague, where it stands, and why it is asked."""

    where: str
    question: str


@dataclass(frozen=True, slots=True)
class Check:
    """All faults and all questions; `notes` are accepted spellings that are not ours, and what has no effect."""

    faults: tuple[Fault, ...]
    questions: tuple[Question, ...]
    notes: tuple[str, ...] = ()


def check(project: Project) -> Check:
    """What is wrong and what is vague, in the problem and in its data, which are prepared for it.

    Faults of the file do not hide those of the data: a field at fault is left out and the rest looked at.
    """
    problem, notes, found = survey(project.folder)
    faults = list(found)
    if problem is None:
        return Check(tuple(faults), (), tuple(notes))
    questions = _about_words(problem)
    try:
        check_names(problem)
    except ProblemError as error:
        faults += error.faults
        problem = problem.model_copy(update={"metric": "auto"})
    try:
        with project.working(problem):
            dataset = project.prepare()
            counts = class_counts(dataset)
            faults += faults_with(problem, dataset.schema, counts)
            notes = [*notes, *_without_effect(problem, dataset.schema)]
            if not faults:
                metric = resolved_metric(problem, dataset.schema, counts)
                questions += _about_goal(problem, dataset, metric)
            questions += [_asked(each) for each in dataset.findings if _doubtful(each)]
    except InputError as error:
        faults += error.faults
    return Check(tuple(faults), tuple(questions), tuple(notes))


def faults_with(problem: Problem, schema: Schema, class_counts: Mapping[str, int]) -> list[Fault]:
    """What cannot be as the problem says, now that the data are known: trials, metric and goal."""
    metric, trials = resolved_metric(problem, schema, class_counts), problem.training.trials
    faults = _about_metric(metric, problem.goal, schema)
    if schema.kind == "table" and trials > 1:
        todo = "leave it out: what suits a table is searched within training.budget_minutes anyway"
        faults.append(Fault("training.trials", f"{trials}, and the data are a table", "1", todo))
    return faults


def _without_effect(problem: Problem, schema: Schema) -> list[str]:
    """What the problem sets and nothing reads, as these data are."""
    if schema.kind != "table":
        return []
    asked = problem.training.model_dump(exclude_defaults=True)
    why = "the data are a table, and what suits it is searched within training.budget_minutes"
    return [f"training.{name} has no effect: {why}" for name in _OF_NETWORKS if name in asked]


def _about_metric(metric: str, goal: float | None, schema: Schema) -> list[Fault]:
    """What is wrong with the metric, or with the goal for it."""
    from modelwright.evaluation.metrics import METRICS, metrics_for, suits

    if metric not in METRICS:
        return [_unknown_metric(metric)]
    unsuited = suits(metric, schema)
    if unsuited:
        fitting = ", ".join(metrics_for(schema))
        return [Fault("metric", unsuited, f"one of {fitting}")]
    row = METRICS[metric]
    if goal is None:
        return []
    least = 0.0 if row.unit == "share" and metric not in ("r2", "matthews") else None
    if row.higher_is_better and goal > row.perfect:
        todo = f"write {goal / 100:g} for {goal:g} per cent" if row.perfect < goal <= 100 else ""
        return [Fault("goal", f"{goal:g}", f"at most {row.perfect:g}, which is a perfect {metric}", todo)]
    if (not row.higher_is_better and goal < row.perfect) or (least is not None and goal < least):
        return [Fault("goal", f"{goal:g}", f"0 or more: {metric} is never below 0")]
    return []


def metric_of(problem: Problem, schema: Schema, class_counts: Mapping[str, int]) -> str:
    """The metric that decides.

    Raises:
        ProblemError: what the problem says cannot be, now that the data are known.
    """
    faults = faults_with(problem, schema, class_counts)
    if faults:
        raise ProblemError(faults)
    return resolved_metric(problem, schema, class_counts)


def resolved_metric(problem: Problem, schema: Schema, class_counts: Mapping[str, int]) -> str:
    """The metric that the problem names, or the one that suits the data best."""
    from modelwright.evaluation.metrics import default_metric

    return default_metric(schema, class_counts) if problem.metric == "auto" else problem.metric


def class_counts(dataset: Dataset) -> dict[str, int]:
    """How many training examples each class has; empty for regression.

    Raises:
        IntegrityError: the training part is gone.
    """
    if not dataset.classes:
        return {}
    from modelwright.data.labels import label_counts
    from modelwright.data.parts import read_part

    output = dataset.schema.output
    return label_counts(read_part(dataset, "train", columns=[output])[output])


def check_names(problem: Problem) -> None:
    """Refuse a metric that does not exist before any data are read.

    Raises:
        ProblemError: there is no such metric.
    """
    from modelwright.evaluation.metrics import METRICS

    if problem.metric != "auto" and problem.metric not in METRICS:
        raise ProblemError(_unknown_metric(problem.metric))


def _unknown_metric(metric: str) -> Fault:
    from modelwright.evaluation.metrics import METRICS
    from modelwright.registry import suggestion

    return Fault("metric", f"{metric!r} is none", "a metric", suggestion(metric, list(METRICS)))


def _about_words(problem: Problem) -> list[Question]:
    questions = []
    if not problem.statement.strip():
        questions.append(Question("statement", "What is the model for, and who acts on its answers?"))
    if not problem.correct.strip() and problem.task != "language-modeling":
        unclear = "an example could be answered in two ways" if problem.task != "regression" else "it was not measured"
        questions.append(Question("correct", f"What does a correct answer look like, also where {unclear}?"))
    return questions


def _about_goal(problem: Problem, dataset: Dataset, metric: str) -> list[Question]:
    """Whether the goal says anything: a constant answer must not meet it, and the labels must allow it."""
    from modelwright.evaluation.metrics import METRICS
    from modelwright.evaluation.words import figure

    goal = problem.goal
    if goal is None:
        asked = f"How much {metric} is good enough? Without a goal the best that the time buys is the goal."
        return [Question("goal", asked)]
    row, shown = METRICS[metric], figure(metric, goal)
    constant = _constant_score(metric, dataset)
    met = constant >= goal if row.higher_is_better else constant <= goal
    if met:
        asked = f"Is {shown} enough? Always giving one answer already reaches {metric} {figure(metric, constant)}."
        if metric == "accuracy":
            asked += " macro_f1 or balanced_accuracy would not be fooled."
        return [Question("goal", asked)]
    ceiling = dataset.label_ceiling
    if ceiling is not None and metric == "accuracy" and goal > ceiling:
        asked = (
            f"Can {shown} be reached? Examples with the same input have different outputs: "
            f"nobody can be right on more than {figure(metric, ceiling)} of them."
        )
        return [Question("goal", asked)]
    return []


def _constant_score(metric: str, dataset: Dataset) -> float:
    """What the best constant answer, known from train, scores on validation."""
    import numpy as np

    from modelwright.data.parts import read_part, targets_N
    from modelwright.evaluation.metrics import METRICS, score
    from modelwright.ladder.rungs import RUNGS
    from modelwright.models.predictors import Predictions

    schema, train = dataset.schema, read_part(dataset, "train")
    if schema.task not in ("classification", "regression"):
        validation = read_part(dataset, "validation")
        constant = RUNGS["constant"].fit(schema, train, seed=0)
        return score(metric, schema, targets_N(schema, validation), constant.predict(validation))
    train_N = targets_N(schema, train)
    truth_N = targets_N(schema, read_part(dataset, "validation"))
    if schema.task == "classification":
        share_C = np.bincount(train_N, minlength=len(schema.classes)) / len(train_N)
        return score(metric, schema, truth_N, Predictions(probabilities_NC=np.tile(share_C, (len(truth_N), 1))))
    constants = (float(train_N.mean()), float(np.median(train_N)))
    scores = [score(metric, schema, truth_N, Predictions(values_N=np.full(len(truth_N), each))) for each in constants]
    return max(scores) if METRICS[metric].higher_is_better else min(scores)


def _doubtful(finding: Finding) -> bool:
    return finding.severity == "error" or (finding.severity == "warning" and finding.kind.startswith(_ASKED))


def _asked(finding: Finding) -> Question:
    shown = f" ({', '.join(finding.examples[:3])})" if finding.examples else ""
    return Question("data", f"{finding.kind.replace('_', ' ')}: {finding.count:,}{shown}; {finding.next}")
