"""How much memory this process may take, and how large a model in a folder is."""

from __future__ import annotations

import json
import math
from pathlib import Path

from modelwright.errors import Fault, InputError

LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where a container's limit stands: of control groups version 2, and of version 1."""
USED = (Path("/sys/fs/cgroup/memory.current"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"))
USABLE = 0.9
"""Of what is free. Chosen: others want some too, and a system that runs out of memory kills without a word."""


def available_bytes() -> int:
    """What this process may still take: free memory of the GPU, or of the machine or container, its own included."""
    import torch

    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        return int(free) + int(torch.cuda.memory_reserved())
    return processor_bytes()


def processor_bytes() -> int:
    """The same of the processor's memory, whether there is a GPU or not."""
    import psutil

    return free_bytes() + int(psutil.Process().memory_info().rss)


def free_bytes() -> int:
    """What nobody holds of the memory of the machine or container, where examples lie also if there is a GPU."""
    import psutil

    free = int(psutil.virtual_memory().available)
    for limit, used in zip(LIMITS, USED, strict=True):
        allowed, taken = _number(limit), _number(used)
        if allowed is not None and taken is not None:
            free = min(free, max(0, allowed - taken))
    return free


def weight_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every weight of the model in `folder`; only headers of safetensors files are read.

    A folder may hold the same weights twice (Mistral's own layout as `consolidated.safetensors`): the index says which
    files transformers reads, without one it is `model.safetensors`.
    """
    index, whole = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if index.is_file():
        try:
            files = {folder / name for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise _damaged(index, f"is no index of weights: {error}") from error
    else:
        files = {whole} if whole.is_file() else set(folder.glob("*.safetensors"))
    found: dict[str, tuple[int, ...]] = {}
    for path in sorted(files):
        found |= shapes_in(path)
    return found


def weights_count(folder: Path) -> int:
    """How many weights the model in `folder` has."""
    return sum(map(math.prod, weight_shapes(folder).values()))


def shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every weight in a safetensors file; only its header is read.

    Raises:
        InputError: it is not there, cut short or no such file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(min(length, size)))
        weights = {name: each for name, each in header.items() if name != "__metadata__"}
        shapes = {name: tuple(each["shape"]) for name, each in weights.items()}
        end = 8 + length + max((each["data_offsets"][1] for each in weights.values()), default=0)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise _damaged(path, f"cannot be read: {error}") from error
    if size < end:
        raise _damaged(path, f"has {size:,} bytes, and its header tells of {end:,}: it is cut short")
    return shapes


def _damaged(path: Path, what: str) -> InputError:
    return InputError(Fault("model.base", f"{path} {what}", "a whole file", "copy or download the model again"))


def _number(path: Path) -> int | None:
    """The number in a file of the system; None where there is none, or it says `max`."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
