"""A project: a folder with a problem.yaml. One method per step, each gives its record.

A step whose inputs have not changed gives the record that it made before. Steps before it that are missing
are made first. A killed step goes on where it was: its folder under `.modelwright/` is kept and handed to it
again. Two processes do not work in one folder at once.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from modelwright.errors import RefusedError
from modelwright.problem import WORK, Problem, load
from modelwright.records import Dataset, Package, Plan, Progress, Report, Run, Verdict, digest
from modelwright.store import ProjectLock, RecordStore, open_store
from modelwright.training.reporters import check as check_reporters
from modelwright.version import code_version
from modelwright.workflow import killed
from modelwright.workflow.check import Check, check, check_names
from modelwright.workflow.places import located, portable, present
from modelwright.workflow.seals import keep_looks, set_aside
from modelwright.workflow.steps import CHOICE, STEPS, Given, Split, Step

if TYPE_CHECKING:
    from modelwright.workflow.status import Status

Tell = Callable[[str, Any], None]


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What `run` made; null for a step that was not taken."""

    problem: Problem
    dataset: Dataset
    verdict: Verdict
    plan: Plan | None
    run: Run | None
    report: Report
    package: Package


class Project:
    """A folder that holds one problem.

    Args:
        folder: It has a `problem.yaml`, from `new` or by hand.
        progress: Told how far a long step is.
        report_to: Names of reporters that hear of the training, besides its own logs.
    """

    def __init__(
        self,
        folder: Path | str = ".",
        *,
        progress: Callable[[Progress], None] = lambda _: None,
        report_to: Iterable[str] = (),
    ) -> None:
        check_reporters(report_to := tuple(report_to))
        self.folder, self.progress, self.report_to = Path(folder).expanduser().resolve(), progress, report_to
        self.notes: list[str] = []
        self._lock = ProjectLock(self.folder / WORK / "lock")
        self._depth = 0
        self._problem: Problem | None = None
        self._store: RecordStore | None = None
        self._known: dict[str, Any] = {}  # kind (and split) -> record of the present inputs
        self._seconds: dict[str, float] = {}

    @property
    def problem(self) -> Problem:
        """The problem as stated now; accepted foreign spellings are told in `notes`.

        Raises:
            ProblemError: with every fault of problem.yaml.
        """
        if self._problem is not None:
            return self._problem
        problem, self.notes = load(self.folder)
        return problem

    @property
    def metric(self) -> str:
        """The metric that decides, named or chosen for the data; they are prepared for that."""
        with self.working():
            return self._given({"dataset": self.prepare()}, "validation").metric

    def check(self) -> Check:
        """Every fault of the problem and its data at once, and questions about what is vague."""
        return check(self)

    def prepare(self, *, force: bool = False) -> Dataset:
        """Step 2: examples that can be learned from, with the test part sealed."""
        with self.working():
            dataset: Dataset = self._made("dataset", force=force)
            return dataset

    def ladder(self, *, force: bool = False) -> Verdict:
        """Step 0: does the cheapest thing already meet the goal?"""
        with self.working():
            self.prepare()
            verdict: Verdict = self._made("verdict", force=force)
            return verdict

    def plan(self, *, force: bool = False) -> Plan:
        """Step 3: the model, the method and every setting."""
        with self.working():
            self.ladder()
            plan: Plan = self._made("plan", force=force)
            return plan

    def train(self, *, force: bool = False) -> Run:
        """Step 4: what training did; goes on where a killed call stopped."""
        with self.working():
            self.plan()
            run: Run = self._made("run", force=force)
            return run

    def evaluate(self, *, split: Split = "validation", force: bool = False) -> Report:
        """Step 5: how good the best candidate is; `test` spends one look at the sealed test part."""
        with self.working():
            self._candidates()
            report: Report = self._made("report", split=split, force=force)
            return report

    def package(self, *, force: bool = False) -> Package:
        """The folder to serve, of the predictor that was last evaluated: on the test part if it was."""
        with self.working():
            self._candidates()
            if self.current("report", split="test") is None:
                self._made("report", split="validation")
            package: Package = self._made("package", force=force)
            return package

    def run(self, *, train: bool = False, force: bool = False, tell: Tell = lambda kind, record: None) -> RunOutcome:
        """All steps in order, to the report on the test part and the package.

        Args:
            train: Train even where the verdict says stop.
            force: Make every step again.
            tell: Given each kind and record when it is there; ("choice", sentence) where something was
                trained; and ("note", sentence) where something went another way than planned.
        """
        with self.working():
            tell("problem", self.problem)
            dataset, verdict = self.prepare(force=force), None
            tell("dataset", dataset)
            verdict = self.ladder(force=force)
            tell("verdict", verdict)
            plan, run = None, None
            if train or verdict.decision == "train":
                try:
                    plan = self.plan(force=force)
                    tell("plan", plan)
                    run = self.train(force=force)
                    tell("run", run)
                except RefusedError as error:
                    tell("note", f"nothing was trained: {error}; the best rung of the ladder stands")
            report: Report = self._made("report", split="test", force=force)
            if run is not None:
                tell("choice", self.choice(report))
            tell("report", report)
            package: Package = self._made("package", force=force)
            tell("package", package)
            return RunOutcome(self.problem, dataset, verdict, plan, run, report, package)

    def choice(self, report: Report) -> str:
        """Why `report` is about this candidate and no other, in a sentence."""
        path = Path(report.html or "").with_name(CHOICE)
        reason: str = json.loads(path.read_text(encoding="utf-8"))["reason"]
        return reason

    def status(self) -> Status:
        """Where the project stands and the next step; makes nothing."""
        from modelwright.workflow.status import status

        return status(self)

    @contextmanager
    def working(self, problem: Problem | None = None) -> Iterator[RecordStore]:
        """The store, while no other process works in this folder and the problem stays as it was read.

        Args:
            problem: Taken instead of the one in problem.yaml.

        Raises:
            ProblemError: problem.yaml is at fault.
            RefusedError: another process is at work here.
        """
        problem = problem or self.problem  # a missing problem.yaml must not leave a lock file behind
        check_names(problem)
        with self._lock:
            self._depth += 1
            try:
                if self._depth == 1:
                    self._problem = problem
                    self._store = open_store(problem.store, folder=self.folder / WORK, project=problem.name)
                    self._remember(problem)
                assert self._store is not None
                yield self._store
            finally:
                self._depth -= 1
                if self._depth == 0:
                    if self._store is not None:
                        self._store.close()
                    self._problem, self._store = None, None
                    self._known, self._seconds = {}, {}

    def current(self, kind: str, *, split: Split = "validation") -> Any | None:
        """The record of `kind` that belongs to the present inputs, if it is there. Only while `working`."""
        name = _name(kind, split)
        if name in self._known:
            return self._known[name]
        step = STEPS[kind]
        records = self._before(step)
        if records is None:
            return None
        key, _ = self._key(step, self._given(records, split))
        return self._find(kind, key, name)

    def _made(self, kind: str, *, split: Split = "validation", force: bool = False) -> Any:
        """The record of `kind`: as it was made before, or made now."""
        assert self._store is not None
        step, name = STEPS[kind], _name(kind, split)
        records = self._before(step)
        assert records is not None, f"{kind} was asked for before what it needs"
        given = self._given(records, split)
        key, inputs = self._key(step, given)
        if not force and (found := self._find(kind, key, name)) is not None:
            return found
        if kind == "plan" and not force and killed.keep_plan(self.folder / WORK / "run", key, inputs, self._store):
            self.progress(Progress("plan", "as before", 0, lasting=killed.GOES_ON))
            return self._find(kind, key, name)
        place = self.folder / WORK / kind / self._place(step, inputs)
        place.parent.mkdir(parents=True, exist_ok=True)
        if kind == "dataset":
            set_aside(place)  # its ledger of looks must outlive it
        elif force:
            shutil.rmtree(place, ignore_errors=True)
        if kind == "run":
            if not force:
                killed.take_over(place, inputs, self._store)
            killed.begin(place, key, inputs)
        began = time.perf_counter()
        record = step.make(given, place)
        seconds = time.perf_counter() - began
        if kind == "dataset":
            keep_looks(place)
        self._store.put(kind, key, portable(record, self.folder), inputs=inputs, seconds=seconds)
        killed.end(place)
        self._known[name], self._seconds[kind] = record, seconds
        if force:  # what follows from it follows from another record now
            later = list(STEPS)[list(STEPS).index(kind) + 1 :]
            self._known = {known: each for known, each in self._known.items() if known.split()[0] not in later}
        return record

    def _candidates(self) -> None:
        """Everything that could be packaged is there: the rungs, and what training made if it is worth it."""
        verdict = self.ladder()
        if verdict.decision == "train":
            try:
                self.train()
            except RefusedError as error:
                self.notes.append(f"nothing was trained: {error}; the best rung of the ladder stands")

    def _before(self, step: Step) -> dict[str, Any] | None:
        """The records that `step` needs; None where one is missing."""
        records: dict[str, Any] = {}
        for each in step.after:
            kind = each.removesuffix("?")
            if kind == "report":
                found = self.current("report", split="test") or self.current("report")
            else:
                found = self.current(kind)
            if found is None and not each.endswith("?"):
                return None
            records[kind] = found
        return records

    def _given(self, records: dict[str, Any], split: Split) -> Given:
        return Given(self.folder, self.problem, self.progress, records, dict(self._seconds), split, self.report_to)

    def _key(self, step: Step, given: Given) -> tuple[str, dict[str, Any]]:
        """The key of the record that `step` makes of `given`, and all that is in it."""
        inputs = step.inputs(given)
        inputs |= {"code": code_version(*step.rooms)}
        inputs |= {f"{kind}_id": record.id if record else None for kind, record in given.records.items()}
        return digest(step.kind, inputs), inputs

    def _place(self, step: Step, inputs: dict[str, Any]) -> str:
        """The name of the folder that `step` works in."""
        return digest(step.kind, {name: each for name, each in inputs.items() if name not in step.loose})

    def _find(self, kind: str, key: str, name: str) -> Any | None:
        assert self._store is not None
        entry = self._store.entry(kind, key)
        if entry is None:
            return None
        record = located(entry.record, self.folder)
        if not present(record):  # its files were removed, or it was made on another machine
            return None
        self._known[name], self._seconds[kind] = record, entry.seconds
        return record

    def _remember(self, problem: Problem) -> None:
        """Keep the problem as stated, each time that it has changed."""
        assert self._store is not None
        stated = problem.model_dump(mode="json")
        if self._store.latest("problem") != problem:
            self._store.put("problem", digest("problem", stated), problem, inputs={"notes": self.notes})


def _name(kind: str, split: Literal["validation", "test"]) -> str:
    return f"{kind} {split}" if kind == "report" else kind
