"""What the bits of a run depend on: kept with its checkpoints, and asked again where it goes on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from modelwright.data.parts import part_sha256
from modelwright.disk import file_sha256
from modelwright.errors import IntegrityError
from modelwright.records import Dataset, Plan
from modelwright.training.checkpoint import write_whole, writing
from modelwright.version import code_version

ROOMS = ("training", "models", "evaluation", "data")
"""Whose code decides which bits a run ends with."""
FILE = "basis.json"
_NETWORKS = ("torch", "transformers", "tokenizers", "numpy", "peft", "bitsandbytes")
_TABLES = ("lightgbm", "scikit-learn", "optuna", "numpy", "scipy", "polars")
_MODEL_FILES = frozenset({".json", ".jinja", ".safetensors", ".txt", ".model"})
"""All that is read of a model's folder, as `models.catalogue` downloads it."""
CERTAIN = ", deterministic"
"""Ends the name of a GPU on which an operation that has no deterministic form is an error, as asked of torch."""

MUST_AGREE = {
    "plan": "another plan",
    "train": "another training part (train.parquet)",
    "validation": "another validation part (validation.parquet)",
    "model": "other files of the model that it starts from",
}
"""Without these a run cannot go on: it would be a mixture of two."""


@dataclasses.dataclass(frozen=True, slots=True)
class Basis:
    """What a run depends on.

    Args:
        plan: The id of its plan.
        train: SHA-256 of the training part's file.
        validation: SHA-256 of the validation part's file.
        model: SHA-256 over the files of the model that it starts from; empty from scratch and for tables.
        code: The version of our code.
        versions: Of the packages that compute.
        device: Its kind and what it can do, as two kinds round differently; of a GPU whether it is `CERTAIN`.
        threads: A sum over so many parts is rounded otherwise than over another number.
        processes: That train together.
        compiler: Of the network's blocks; empty where they are not compiled.
        layout: `sharded` where several processes share the weights out; sums are then taken in another order. Empty
            where that is not decided yet.
    """

    plan: str
    train: str
    validation: str
    model: str
    code: str
    versions: dict[str, str]
    device: str
    threads: int
    processes: int = 1
    compiler: str = ""
    layout: str = ""


def basis_of(dataset: Dataset, plan: Plan, base: Path | str | None = None, *, processes: int = 1) -> Basis:
    """What a run of `plan` on `dataset` depends on, here and now.

    Args:
        base: The model's folder, or its name where it starts from scratch; None for a table.
        processes: That train together.

    Raises:
        IntegrityError: a part is gone, or was altered since it was prepared.
    """
    if base is None:
        from modelwright.models.threads import cores

        packages, device, threads, compiled_by = _TABLES, "cpu", cores(), ""
    else:
        import torch

        packages, device, threads = _NETWORKS, _device(), torch.get_num_threads()
        compiled_by = _compiler(plan)
    return Basis(
        plan=plan.id,
        train=part_sha256(dataset, "train"),
        validation=part_sha256(dataset, "validation"),
        model=_model_sha256(base) if isinstance(base, Path) else "",
        code=code_version(*ROOMS),
        versions={name: _installed(name) for name in packages},
        device=device,
        threads=threads,
        processes=processes,
        compiler=compiled_by,
    )


def not_exact(found: dict[str, Any] | None, basis: Basis, *, step: int, folder: Path) -> list[str]:
    """Why a run that goes on after `step` will not end with the bits of an undisturbed one; empty where it will.

    Args:
        found: The basis that is kept with what was done so far.
        basis: The present one.
        step: What was done.
        folder: The run's, for the message.

    Raises:
        IntegrityError: data, plan or model are others: going on would make a run of two halves.
    """
    reasons = changes(found, basis, step=step, folder=folder)
    if basis.device.startswith("cuda") and not basis.device.endswith(CERTAIN):
        reasons.append(f"it went on after step {step} on a GPU, which adds up in no certain order")
    return reasons


def changes(found: dict[str, Any] | None, basis: Basis, *, step: int, folder: Path) -> list[str]:
    """What of the basis is another now, in words; empty where nothing is. As `not_exact` otherwise."""
    if found is None:
        return [f"it is not known what the steps up to {step} were made with"]
    now = dataclasses.asdict(basis)
    others = [what for name, what in MUST_AGREE.items() if found.get(name) != now[name]]
    if others:
        raise IntegrityError(
            f"{folder}: the run that was interrupted after step {step} began with {' and '.join(others)};"
            " put back what it began with to go on, or begin anew: modelwright train --force"
        )
    changed = [
        f"{name} {now['versions'].get(name, 'absent')} (before: {before})"
        for name, before in found.get("versions", {}).items()
        if now["versions"].get(name) != before
    ]
    words = {
        "code": "Modelwright",
        "device": "device",
        "threads": "threads:",
        "processes": "processes:",
        "compiler": "compiler:",
    }
    changed += [
        f"{word} {now[name] or 'none'} (before: {found.get(name) or 'none'})"
        for name, word in words.items()
        if (found.get(name) or None) != (now[name] or None)
    ]
    layouts = found.get("layout", ""), now["layout"]
    if all(layouts) and layouts[0] != layouts[1]:
        changed.append(f"weights {layouts[1]} (before: {layouts[0]})")
    return [f"it went on after step {step} with {', '.join(changed)}"] if changed else []


def begun(folder: Path, basis: Basis, *, step: int) -> list[str]:
    """What `not_exact` says of a run whose basis is kept in its folder, where this call puts it.

    Args:
        step: What was done there before; 0 where nothing was.

    Raises:
        IntegrityError: see `not_exact`.
        ResourceError: the disk is full.
    """
    path = folder / FILE
    kept: dict[str, Any] = {"basis": None, "reasons": []}
    if path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
    found = [*kept["reasons"], *not_exact(kept["basis"], basis, step=step, folder=folder)] if step else []
    reasons = list(dict.fromkeys(found))  # two kills between two trials
    with writing(folder, FILE):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps({"basis": dataclasses.asdict(basis), "reasons": reasons}))
    return reasons


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        exact_or_error = torch.get_deterministic_debug_mode() == 2
        return f"cuda {torch.cuda.get_device_name()}{CERTAIN if exact_or_error else ''}"
    return f"cpu {torch.backends.cpu.get_cpu_capability()}"


def _compiler(plan: Plan) -> str:
    """What compiles the blocks of the network: eager code rounds otherwise, and so may another compiler's."""
    from modelwright.models.compiled import compiler

    asked = plan.settings.get("compile")
    return compiler() if asked is not None and asked.value else ""


def _model_sha256(folder: Path) -> str:
    hashed = hashlib.sha256()
    files = [*folder.iterdir(), *folder.glob("additional_chat_templates/*")]
    for path in sorted(each for each in files if each.suffix in _MODEL_FILES):
        hashed.update(f"{path.relative_to(folder)} {file_sha256(path)}\n".encode())
    return hashed.hexdigest()


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
