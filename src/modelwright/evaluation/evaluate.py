"""Step 5: how good is it, is it better than what is simpler, and what to try next.

Validation may be looked at any number of times. The test part answers through its seal (data/seal.py):
everything about it is computed behind the seal, and what the seal releases is a `Judged`.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import polars as pl

from modelwright.data import seal
from modelwright.data.parts import read_part, targets_N
from modelwright.errors import Fault, ProblemError, SourceError
from modelwright.evaluation import metrics
from modelwright.evaluation.compare import paired_standard_error
from modelwright.evaluation.diagnose import HistoryPoint, diagnose
from modelwright.evaluation.intervals import interval
from modelwright.evaluation.judged import Judged, Picture, judge, judged_from
from modelwright.evaluation.latency import cost_per_1000, measure_latency
from modelwright.evaluation.report.render import render
from modelwright.evaluation.report.story import Story
from modelwright.evaluation.report.worst import worst_errors
from modelwright.models.predictors import Predictions, Predictor, joined, save_predictor
from modelwright.models.predictors.out_of_sample import as_frame, from_frame
from modelwright.problem import Constraints
from modelwright.records import Dataset, Diagnosis, Latency, Progress, Report, identify, plain

Split = Literal["validation", "test"]

TRAIN_AT_MOST = 2000
"""Training examples that are asked again for the training figure: an interval of about 0.02 at 0.9. Where answers are
written, one may take a second: then no more than there are validation examples."""

CHUNK = 1024
"""Examples between two signs of progress."""


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked, and of whom."""

    dataset: Dataset
    predictor: Predictor
    name: str
    metric: str
    goal: float | None
    baseline: tuple[str, Predictor] | None
    seed: int
    progress: Callable[[Progress], None]


def evaluate(
    dataset: Dataset,
    predictor: Predictor,
    *,
    name: str,
    metric: str,
    goal: float | None = None,
    constraints: Constraints | None = None,
    split: Split = "validation",
    baseline: tuple[str, Predictor] | None = None,
    history: Sequence[HistoryPoint] = (),
    remarks: Sequence[str] = (),
    fitted_on: pl.DataFrame | None = None,
    story: Story | None = None,
    seed: int = 0,
    to: Path,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Report:
    """The report on `predictor`, with its `report.html` in the folder `to`.

    Args:
        dataset: Whose parts are asked.
        predictor: What is judged; the report calls it `name`.
        metric: The metric that `goal` and the comparison with `baseline` are about.
        split: "test" spends a look of the seal, unless this very predictor was judged before.
        history: Losses by epoch, oldest first, for the diagnosis and the learning curves.
        remarks: What stood out while it was trained, a sentence each; told with the diagnosis.
        fitted_on: The examples that were learned from; the training part where not given.
        story: The records before this one, for the HTML.
        seed: Of the bootstrap.

    Raises:
        ProblemError: the metric does not suit the task.
        SourceError: the validation part is empty.
        SealError: no looks are left, or the seal is broken.
    """
    if (reason := metrics.suits(metric, dataset.schema)) is not None:
        raise ProblemError(Fault("metric", reason, "a metric that suits the task"))
    question = _Question(dataset, predictor, name, metric, goal, baseline, seed, progress)
    validation = read_part(dataset, "validation")
    if validation.is_empty():
        raise SourceError(Fault(dataset.path, "the validation part is empty", "examples of it"))
    answers = _ask(question, predictor, validation, "validation")
    theirs = _ask_baseline(question, validation)
    learned = read_part(dataset, "train") if fitted_on is None else fitted_on
    diagnosis = _diagnosis(question, validation, answers, theirs, learned, history)
    if remarks:
        diagnosis = replace(
            diagnosis, evidence="; while it was trained: ".join((diagnosis.evidence, "; ".join(remarks)))
        )
    look = None
    if split == "test":
        look = _look(question)
        judged = judged_from(look.figures) if look.figures else None
    else:
        judged = _judge(question, validation, answers, theirs)
    report = _report(question, split, judged, look, diagnosis)
    report = _timed(report, measure_latency(predictor, validation), goal, constraints or Constraints())
    page = render(
        report,
        dataset=dataset,
        goal=goal,
        picture=judged.picture if judged else Picture(),
        errors=worst_errors(dataset.schema, validation, answers, metric),
        history=history,
        story=story,
        seed=seed,
        to=to,
    )
    return replace(report, html=str(page))


def _ask(question: _Question, predictor: Predictor, examples: pl.DataFrame, what: str) -> Predictions:
    """The answers to all examples, with a sign of progress after each chunk."""
    answered = []
    for start in range(0, examples.height, CHUNK):
        chunk = examples.slice(start, CHUNK)
        answered.append(predictor.predict(chunk))
        done = start + chunk.height
        question.progress(Progress("evaluate", f"answering {what}", done, examples.height, "examples"))
    return joined(answered)


def _ask_baseline(question: _Question, examples: pl.DataFrame) -> tuple[str, Predictions] | None:
    if question.baseline is None:
        return None
    name, predictor = question.baseline
    return name, _ask(question, predictor, examples, f"with {name}")


def _judge(
    question: _Question,
    examples: pl.DataFrame,
    answers: Predictions,
    theirs: tuple[str, Predictions] | None,
) -> Judged:
    schema = question.dataset.schema
    return judge(question.metric, schema, examples, answers, baseline=theirs, seed=question.seed)


def _diagnosis(
    question: _Question,
    validation: pl.DataFrame,
    answers: Predictions,
    theirs: tuple[str, Predictions] | None,
    learned: pl.DataFrame,
    history: Sequence[HistoryPoint],
) -> Diagnosis:
    """Read off training and validation examples only, for a test report too."""
    schema, metric = question.dataset.schema, question.metric
    most = min(TRAIN_AT_MOST, validation.height) if schema.task == "generation" else TRAIN_AT_MOST
    known = learned.sample(min(most, learned.height), seed=question.seed)
    known_answers = _ask(question, question.predictor, known, "training examples again")
    truth_N = targets_N(schema, validation)
    baseline = None if theirs is None else metrics.score(metric, schema, truth_N, theirs[1])
    return diagnose(
        metric,
        metrics.find(metric).higher_is_better,
        history,
        train=interval(metric, schema, targets_N(schema, known), known_answers, seed=question.seed),
        validation=interval(metric, schema, truth_N, answers, seed=question.seed),
        baseline=baseline,
        goal=question.goal,
        count=learned.height,
        label_ceiling=question.dataset.label_ceiling,
        more="add more texts" if schema.task == "language-modeling" else "label more examples",
    )


def _look(question: _Question) -> seal.Look:
    """What the seal says of the predictor; it is judged inside, and what is kept stays inside."""
    schema = question.dataset.schema

    def judge_inside(examples: pl.DataFrame, best: seal.Best | None) -> seal.Answer:
        answers = _ask(question, question.predictor, examples, "the test part")
        figures = plain(_judge(question, examples, answers, _ask_baseline(question, examples)))
        kept = as_frame(answers)
        if best is None:
            return seal.Answer(figures, kept)
        truth_N = targets_N(schema, examples)
        theirs = from_frame(best.kept)
        gain, error = paired_standard_error(question.metric, schema, truth_N, answers, theirs, seed=question.seed)
        return seal.Answer(figures, kept, gain, error)

    return seal.look(
        question.dataset,
        predictor=f"{question.name} {fingerprint(question.predictor)}",
        purpose=f"report by {question.metric}",
        judge=judge_inside,
    )


def fingerprint(predictor: Predictor) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the files that `predictor` saves."""
    with tempfile.TemporaryDirectory() as folder:
        save_predictor(predictor, Path(folder))
        hashed = hashlib.sha256()
        for path in sorted(each for each in Path(folder).rglob("*") if each.is_file()):
            hashed.update(str(path.relative_to(folder)).encode() + b"\0")
            with path.open("rb") as file:
                hashed.update(hashlib.file_digest(file, "sha256").digest())
        return hashed.hexdigest()[:16]


def _report(
    question: _Question, split: Split, judged: Judged | None, look: seal.Look | None, diagnosis: Diagnosis
) -> Report:
    """The record, but for what the clock decides."""
    report = Report(
        id="",
        predictor=question.name,
        split=split,
        count=judged.count if judged else question.dataset.parts[split],
        metric=question.metric,
        metrics=judged.metrics if judged else {},
        classes=judged.classes if judged else (),
        diagnosis=diagnosis,
        meets={},
        compared=judged.compared if judged else None,
        confusion=judged.confusion if judged else (),
        slices=judged.slices if judged else (),
        masked=look.masked if look else None,
        looks_used=look.looks_used if look else None,
    )
    identified: Report = identify(report)
    return identified


def _timed(report: Report, latency: Latency, goal: float | None, constraints: Constraints) -> Report:
    """The report with what the clock decides, and with which goal and limits are met."""
    report = replace(report, latency_ms=latency, cost_per_1000=cost_per_1000(latency))
    return replace(report, meets=_meets(report, goal, constraints))


def _meets(report: Report, goal: float | None, constraints: Constraints) -> dict[str, bool | None]:
    """Each goal and limit that is set: kept or not, by the figure itself; null where unknown or unset."""
    figure = report.metrics.get(report.metric)
    right = metrics.right_share({name: each.value for name, each in report.metrics.items()})
    sign = 1 if metrics.find(report.metric).higher_is_better else -1
    error_rate = None if right is None else 1 - right
    latency = None if report.latency_ms is None else report.latency_ms.p95

    def within(value: float | None, limit: float | None) -> bool | None:
        return None if value is None or limit is None else value <= limit

    return {
        "goal": None if goal is None or figure is None else sign * (figure.value - goal) >= 0,
        "latency_ms": within(latency, constraints.latency_ms),
        "error_rate": within(error_rate, constraints.error_rate),
        "cost_per_1000": within(report.cost_per_1000, constraints.cost_per_1000),
    }
