"""The optimizer: AdamW with decay on matrices only, its state as plain tensors for a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelwright.models.networks import Network

if TYPE_CHECKING:
    import torch
    from torch import Tensor

WEIGHT_DECAY = 0.01
"""Loshchilov & Hutter 2019 use 0.01 to 0.1; the lower end suits fine-tuning. Chosen, not measured."""


def adamw(network: Network, *, learning_rate: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019, algorithm 2), fused into one kernel per group.

    Vectors (biases, norms) are not decayed. `initial_lr` of a group is its peak learning rate.
    """
    import torch

    trained = [each for each in network.parameters() if each.requires_grad]
    groups = [
        {"params": [each for each in trained if each.dim() > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [each for each in trained if each.dim() <= 1], "weight_decay": 0.0},
    ]
    common = {"lr": learning_rate, "initial_lr": learning_rate}
    return torch.optim.AdamW([{**group, **common} for group in groups], betas=(0.9, 0.999), fused=True)


def state_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as named tensors: `<parameter number>.<name>`."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": value for number, each in state.items() for name, value in each.items()}


def restore_state(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `state_tensors` took out.

    A moment is laid out in memory as its parameter is: the fused kernel walks both as they lie, and a file
    holds tensors in plain order (channels-last weights of images ended in other bits without this).
    """
    import torch

    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        like = parameters[int(number)]
        laid_out = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
        state.setdefault(int(number), {})[name] = laid_out.detach()
    whole = optimizer.state_dict()
    optimizer.load_state_dict({"state": state, "param_groups": whole["param_groups"]})
