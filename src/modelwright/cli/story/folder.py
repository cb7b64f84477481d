"""What is told of a project's folder: how it was begun, whether it is well stated, where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from modelwright.cli.story.line import SHOWN, Line
from modelwright.cli.words import place

if TYPE_CHECKING:
    from modelwright.workflow import Check, Started, Status


def about_started(started: Started) -> Iterator[Line]:
    """What was inferred, why, and what to do now."""
    from modelwright.evaluation.words import count

    kind = count(len(started.inputs), "column") if started.kind == "table" else started.kind
    what = "class" if started.task == "classification" else "label"
    classes = (
        f", {count(len(started.classes), what, f'{what}es' if what == 'class' else None)}" if started.classes else ""
    )
    what = f"{started.output} from {kind}" if started.output else kind
    yield "Problem", f"{started.task}{classes}: {what} · {started.examples:,} examples"
    yield "Input", ", ".join(started.inputs[:SHOWN]) + (" …" if len(started.inputs) > SHOWN else "")
    if started.classes:
        shown = [f"{name} {count:,}" for name, count in list(started.classes.items())[:SHOWN]]
        yield "Output", ", ".join(shown) + (" …" if len(started.classes) > SHOWN else "")
    for number, note in enumerate(started.notes):
        yield "" if number else "Why", note
    for name, why in list(started.excluded.items())[:SHOWN]:
        yield "", f"{name} is not used: it {why}"
    yield "Written", place(started.path)
    folder = place(Path(started.path).parent)
    yield "Next", f"say in it what a correct answer is, then: modelwright run {folder}"


def about_check(found: Check, folder: Path) -> Iterator[Line]:
    """The notes, the questions, and what to do now; faults are said elsewhere."""
    for note in found.notes:
        yield "Note", note
    for question in found.questions:
        yield "Question", f"{question.where}: {question.question}"
    if found.faults:
        yield "Next", f"mend what is at fault, then: modelwright check {place(folder)}"
    else:
        said = "no fault" if found.questions else "no fault and no question"
        yield "Next", f"{said}: modelwright run {place(folder)}"


def about_status(status: Status) -> Iterator[Line]:
    """Each step with its state, the looks at the test part, and the next command."""
    yield "Project", f"{status.name} in {place(status.folder)}"
    for step in status.steps:
        made = f" · {step.id} · {step.made_at[:19]}" if step.id and step.made_at else ""
        yield "", f"{step.step:<9} {step.state}{made}"
    if status.looks_used is not None:
        yield "Seal", f"{status.looks_used} of {status.looks_allowed} looks used"
    yield "Next", status.next
