"""Writing a folder whole or not at all, and proving later that nothing in it has changed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from modelwright.disk import file_sha256, sync, sync_all
from modelwright.errors import IntegrityError

SUMS = "SHA256SUMS"
MANIFEST = "package.json"


def walk(folder: Path) -> list[str]:
    """The files under `folder` as sorted paths with `/`.

    Raises:
        IntegrityError: something in it is neither a file nor a folder: a link could point anywhere.
    """
    found = []
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise IntegrityError(f"{path} is a link or a device; a package holds only files")
        if path.is_file():
            found.append(path.relative_to(folder).as_posix())
    return sorted(found)


def sums_text(hashes: dict[str, str]) -> str:
    """SHA256SUMS, as `sha256sum -c` reads it."""
    return "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes))


def verify(folder: Path) -> dict[str, Any]:
    """The manifest of the package in `folder`, after proving that every file is the one it names.

    SHA256SUMS proves the manifest, the manifest proves the rest, and both must agree.

    Raises:
        IntegrityError: names every file that is missing, altered or extra.
    """
    try:
        text = (folder / SUMS).read_text(encoding="utf-8")
        content = (folder / MANIFEST).read_bytes()
    except (OSError, UnicodeDecodeError) as error:
        raise IntegrityError(f"{folder} is no package, or is damaged: {error}") from error
    if f"{hashlib.sha256(content).hexdigest()}  {MANIFEST}" not in text.splitlines():
        raise IntegrityError(f"{folder}: {MANIFEST} was altered: its SHA-256 is not the one in {SUMS}")
    try:
        manifest: dict[str, Any] = json.loads(content)
        expected = {str(name): str(value) for name, value in manifest["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{folder}: {MANIFEST} is not a manifest: {error}") from error
    present = set(walk(folder)) - {SUMS, MANIFEST}
    faults = [f"{name} is missing" for name in sorted(expected.keys() - present)]
    faults += [f"{name} is extra" for name in sorted(present - expected.keys())]
    hashes = {name: file_sha256(folder / name) for name in present & expected.keys()}
    faults += [f"{name} was altered" for name in sorted(hashes) if hashes[name] != expected[name]]
    if text != sums_text(expected | {MANIFEST: hashlib.sha256(content).hexdigest()}):
        faults.append(f"{SUMS} was altered")
    if faults:
        raise IntegrityError(f"{folder} is not the package that was made: " + "; ".join(faults))
    return manifest


def publish(partial: Path, final: Path) -> bool:
    """Rename the folder `partial` to `final`, durably; False where `final` is there already."""
    if final.exists():
        return False
    sync_all(partial)
    try:
        partial.rename(final)
    except OSError:
        if final.exists():  # another process was faster
            return False
        raise
    sync(final.parent)
    return True
