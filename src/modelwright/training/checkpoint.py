"""Checkpoints that survive a kill at any moment: written aside, hashed, synced, then renamed into place."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelwright.errors import ResourceError

if TYPE_CHECKING:
    from torch import Tensor

EVERY_SECONDS = 60.0
"""Between two checkpoints at most: what a kill may cost. Chosen; writing one takes about a second."""
KEPT = 2
"""The newest checkpoints kept, so that a damaged one has one before it; the best is kept besides."""


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

    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".writing-{uuid.uuid4().hex}"
    final = folder / f"step-{checkpoint.step:09d}"
    try:
        aside.mkdir()
        for group, tensors in checkpoint.tensors.items():
            save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, aside / f"{group}.safetensors")
        (aside / "state.json").write_text(json.dumps(checkpoint.state), encoding="utf-8")
        manifest = {path.name: file_sha256(path) for path in sorted(aside.iterdir())}
        (aside / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        for path in (*aside.iterdir(), aside):
            sync(path)
        shutil.rmtree(final, ignore_errors=True)
        aside.rename(final)
        sync(folder)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise ResourceError(
            f"{folder}: a checkpoint could not be written: {error}; the one before is intact"
        ) from error
    names = sorted(path for path in folder.glob("step-*"))
    for path in names[:-KEPT]:
        if keep is None or path.name != f"step-{keep:09d}":
            shutil.rmtree(path, ignore_errors=True)
    return final


def newest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint whose every file is what its manifest says, and the names of damaged ones passed over."""
    damaged: list[str] = []
    for path in sorted(folder.glob("step-*"), reverse=True):
        found = load(path)
        if found is not None:
            return found, damaged
        damaged.append(path.name)
    return None, damaged


def load(path: Path) -> Checkpoint | None:
    """The checkpoint at `path`, or None where a file is missing, cut short or altered."""
    from safetensors.torch import load as tensors_from

    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        files = {name: (path / name).read_bytes() for name in manifest}
    except (OSError, ValueError, TypeError):
        return None
    if "state.json" not in files or any(hashlib.sha256(files[name]).hexdigest() != manifest[name] for name in files):
        return None
    groups = {name.removesuffix(".safetensors"): data for name, data in files.items() if name != "state.json"}
    state = json.loads(files["state.json"])
    return Checkpoint(state["step"], {name: tensors_from(data) for name, data in groups.items()}, state)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
