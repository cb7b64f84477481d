"""The language model that training would start from, for rungs that ask it as it is."""

from __future__ import annotations

from pathlib import Path

from modelwright.problem import Problem
from modelwright.records import LANGUAGE_TASKS, Dataset, digest


def language_base(dataset: Dataset, problem: Problem, *, folder: Path) -> Path | str:
    """Its folder, or why there is none; nothing is downloaded.

    Args:
        dataset: Of any task.
        problem: Names the model, or leaves it to us.
        folder: The project's.
    """
    if dataset.schema.task not in LANGUAGE_TASKS:
        return "the task is not a language model's"
    if dataset.schema.masked:
        return "what it knows before training is the first point of the training's history"
    from modelwright.errors import InputError
    from modelwright.ladder.rungs import NO_LANGUAGE_MODEL
    from modelwright.models.catalogue import locate
    from modelwright.training.consider import consider

    name = problem.model.base
    if name == "auto":
        taken = next((each for each in consider(dataset.schema, dataset, problem, folder=folder) if each.fits), None)
        if taken is None or taken.method in ("scratch", "classical"):
            return NO_LANGUAGE_MODEL
        name = taken.model
    try:
        found = locate(name, folder=folder, offline=True)
    except InputError as error:
        if (folder / Path(name).expanduser()).is_dir():
            return error.faults[0].found
        return f"{name} is not on this machine; training downloads it, and then `modelwright ladder --force` asks it"
    return found if isinstance(found, Path) else f"{name} starts from scratch and knows nothing yet"


def stamp(model: Path) -> str:
    """What tells a model's folder from another, or from what it was: names, sizes and times of its files."""
    files = [(path.name, path.stat()) for path in sorted(model.iterdir()) if path.is_file()]
    return digest(str(model), [(name, found.st_size, found.st_mtime_ns) for name, found in files])
