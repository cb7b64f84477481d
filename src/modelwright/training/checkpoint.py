"""Checkpoints that survive a kill at any moment: written aside, hashed, synced, then renamed into place."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelwright.disk import file_sha256, sync
from modelwright.errors import ModelwrightError, ResourceError

if TYPE_CHECKING:
    from torch import Tensor

EVERY_SECONDS = 60.0
"""Between two checkpoints at most: what a kill may cost. Chosen; writing one takes about a second."""
KEPT = 2
"""The newest checkpoints kept, so that a damaged one has one before it; the best is kept besides."""
_ASIDE = ".writing-"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a run needs to go on: named groups of tensors, and plain state."""

    step: int
    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]


def save(folder: Path, checkpoint: Checkpoint, *, keep: int | None = None) -> Path:
    """Write `checkpoint` as `folder/step-N` and drop older ones, but for the newest two and step `keep`.

    The order of writing: a unique temporary folder, each file synced, a manifest with the SHA-256 of each,
    the rename, the parent synced. Only then are old ones removed.

    Raises:
        ResourceError: the disk is full; what was there before is untouched.
    """
    from safetensors.torch import save_file

    final = place(folder, checkpoint.step)
    with writing(folder, f"the checkpoint of step {checkpoint.step}", "the ones before are intact"):
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f"{_ASIDE}*"):  # of a call that was killed: it only takes room
            shutil.rmtree(leftover, ignore_errors=True)
        aside = folder / f"{_ASIDE}{uuid.uuid4().hex}"
        try:
            aside.mkdir()
            for group, tensors in checkpoint.tensors.items():
                plain = {name: each.detach().cpu().contiguous() for name, each in tensors.items()}
                save_file(plain, aside / f"{group}.safetensors")
            (aside / "state.json").write_text(json.dumps(checkpoint.state), encoding="utf-8")
            manifest = {path.name: file_sha256(path) for path in sorted(aside.iterdir())}
            (aside / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
            for path in (*aside.iterdir(), aside):
                sync(path)
            shutil.rmtree(final, ignore_errors=True)
            aside.rename(final)
            sync(folder)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    later = [path for path in found(folder) if path > final]  # damaged: they were passed over when the run went on
    for path in later + found(folder)[len(later) + KEPT :]:
        if keep is None or path != place(folder, keep):
            shutil.rmtree(path, ignore_errors=True)
    return final


def newest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint whose every file is what its manifest says, and the names of damaged ones passed over."""
    path, damaged = newest_sound(folder)
    return (None if path is None else _read(path)), damaged


def newest_sound(folder: Path) -> tuple[Path | None, list[str]]:
    """Where the checkpoint is that `newest` gives, which loads it."""
    damaged: list[str] = []
    for path in found(folder):
        if is_sound(path):
            return path, damaged
        damaged.append(path.name)
    return None, damaged


def found(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, sound or not, the newest first."""
    return sorted(folder.glob("step-*"), reverse=True)


def place(folder: Path, step: int) -> Path:
    """Where in `folder` the checkpoint of `step` is."""
    return folder / f"step-{step:09d}"


def is_sound(path: Path) -> bool:
    """Whether every file of the checkpoint at `path` is what its manifest says; reads it once, and loads nothing."""
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        there = {each.name for each in path.iterdir()} - {"manifest.json"}
        if "state.json" not in there or there != set(manifest):
            return False
        return all(file_sha256(path / name) == manifest[name] for name in there)
    except (OSError, ValueError, TypeError):
        return False


def load(path: Path) -> Checkpoint | None:
    """The checkpoint at `path`, or None where a file is missing, cut short or altered."""
    return _read(path) if is_sound(path) else None


def _read(path: Path) -> Checkpoint:
    from safetensors.torch import load_file

    state = json.loads((path / "state.json").read_text(encoding="utf-8"))
    tensors = {each.stem: load_file(each) for each in sorted(path.glob("*.safetensors"))}
    return Checkpoint(state["step"], tensors, state)


@contextmanager
def writing(folder: Path, what: str, kept: str = "what was finished is kept") -> Iterator[None]:
    """While `what` is written in `folder`: a write that fails is told as what it means, with what to do.

    Args:
        kept: What is not lost.

    Raises:
        ResourceError: the disk is full, or cannot be written to.
    """
    from safetensors import SafetensorError

    try:
        yield
    except ModelwrightError:
        raise
    except (OSError, SafetensorError) as error:
        free = _free_bytes(folder)
        raise ResourceError(
            f"{folder}: {what} could not be written: {error} ({free / 1e6:,.0f} MB free there); {kept}."
            " Make room and run the same command again: it goes on from there"
        ) from error


def write_whole(path: Path, text: str) -> None:
    """Write `text` at `path` so that a kill leaves the old content or the new, on the disk when this returns."""
    aside = path.with_name(f"{_ASIDE}{path.name}")
    aside.write_text(text, encoding="utf-8")
    sync(aside)
    aside.replace(path)
    sync(path.parent)


def folder_bytes(folder: Path) -> int:
    """What the files in `folder` and below take; 0 where it is not there."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _free_bytes(folder: Path) -> int:
    there = next(each for each in (folder, *folder.parents) if each.exists())
    return shutil.disk_usage(there).free
