"""Blocks of a transformer as compiled code (torch.compile), for training batches of one shape. Imports torch at its
top; import this module inside functions only.

Every block is compiled by itself. All are alike, so one compilation serves them whatever their number. What stands
around them stays as it is: on a processor compiled code would add up the gradient of an embedding's table from several
threads in no certain order, and a run that goes on would end with other bits than one that was not interrupted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from modelwright.errors import RefusedError

NONE = "none"
"""What `compiler` says where there is none."""

Shape = tuple[int, int]
"""Examples, and tokens of each."""


@cache
def compiler() -> str:
    """The C++ compiler that torch.compile would call here, with its version, or NONE.

    It is looked for where torch looks: $CXX, else the system's usual one. On GPUs Triton needs one too.
    """
    usual = {"win32": "cl", "darwin": "clang++"}.get(sys.platform, "g++")
    found = shutil.which(os.environ.get("CXX", usual))
    if found is None:
        return NONE
    try:
        told = subprocess.run([found, "--version"], capture_output=True, text=True, check=False, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return NONE
    return (told.splitlines() or [found])[0]


def blocks_in(network: nn.Module) -> list[nn.Module]:
    """The blocks of its transformers models, as transformers marks them."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    return [each for each in network.modules() if isinstance(each, GradientCheckpointingLayer)]


def drops(network: nn.Module) -> bool:
    """Whether anything in it is dropped at random in training: our coins are drawn outside of what can be compiled."""
    from modelwright.models.dropout import Dropout

    stated = [value for name, value in network.transformer.config.to_dict().items() if "drop" in name]
    shares = [each.p for each in network.modules() if isinstance(each, nn.Dropout | Dropout)]
    return any(isinstance(share, int | float) and share > 0 for share in (*stated, *shares))


def compile_blocks(network: nn.Module, shape: Shape) -> None:
    """Let its blocks be compiled for training batches of `shape`, when the first one comes.

    Batches of other shapes, and whatever is answered, are left to the blocks as they were: nothing is compiled twice.
    """
    torch.compiler.reset()  # torch keeps few versions of a function, and those of other networks count
    for block in blocks_in(network):
        quick = torch.compile(type(block).forward, dynamic=False, fullgraph=True)
        block.forward = partial(_either, block, quick, shape)


def as_they_were(network: nn.Module) -> None:
    """Take `compile_blocks` back."""
    for block in blocks_in(network):
        vars(block).pop("forward", None)


def _either(block: nn.Module, quick: Callable[..., Any], shape: Shape, states_nTD: Tensor, /, **options: Any) -> Any:
    """What the block makes of the states, by its compiled code where that is for such states."""
    if not block.training or states_nTD.shape[:2] != shape:
        return type(block).forward(block, states_nTD, **options)
    try:
        return quick(block, states_nTD, **options)
    except torch._dynamo.exc.TorchDynamoException as error:
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
        raise RefusedError(f"torch.compile failed ({reason}); set training.compile: false") from error
