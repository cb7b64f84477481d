"""Which precision this machine is fast in: measured, not guessed from its name."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "bf16", "fp16"]


@cache
def best_precision() -> Precision:
    """`bf16` where matrix products in it are at least 1.3 times as fast as in fp32 here, else `fp32`.

    On a GPU the hardware's own word decides. On a processor a product of the size of an encoder's layer
    (1024 x 384 x 1536) is timed five times each way, about 50 ms in all; the quickest counts.
    """
    import torch

    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return "bf16" if _seconds("float32") > 1.3 * _seconds("bfloat16") else "fp32"


def _seconds(name: str) -> float:
    import torch

    kind: torch.dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
    a, b = torch.ones(1024, 384, dtype=kind), torch.ones(384, 1536, dtype=kind)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - start)
    return best


def arithmetic(place: str, precision: str) -> torch.autocast:
    """Within it products on a device of that type are taken in `precision`; weights stay as they are."""
    import torch

    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return torch.autocast(place, kinds.get(precision), enabled=precision in kinds)


def device() -> str:
    """`cuda` where there is a GPU, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
