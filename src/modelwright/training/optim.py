"""What moves the weights: AdamW with decay on matrices only, scaling and clipping folded into its step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelwright.training.sharding import is_sharded, laid_as

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

WEIGHT_DECAY = 0.01
"""Loshchilov & Hutter 2019 use 0.01 to 0.1; the lower end suits fine-tuning. Chosen, not measured."""


class Optimizer:
    """torch optimizers over disjoint parameters, as one; each group's `initial_lr` is its peak learning rate.

    Gradients are those of a summed loss: `step` divides them once, by units and by what clipping asks. The fused
    AdamW does so inside its one pass over the weights, where dividing and clipping before it would take two more.

    Args:
        parts: They share no parameter.
        scaled: Scale the loss, for fp16, whose small gradients would vanish.
        device: Its type, "cpu" or "cuda".
    """

    def __init__(self, parts: Sequence[torch.optim.Optimizer], *, scaled: bool = False, device: str = "cpu") -> None:
        import torch

        self._parts = tuple(parts)
        self._scaler = torch.amp.GradScaler(device, enabled=scaled)
        self._parameters = [each for group in self._groups() for each in group["params"]]
        self._overflowed = False

    def _groups(self) -> list[dict[str, Any]]:
        return [group for part in self._parts for group in part.param_groups]  # restoring makes new ones

    @property
    def scaled(self) -> bool:
        """Whether a step whose gradient overflowed is skipped, as fp16's are until their scale is found."""
        return bool(self._scaler.is_enabled())

    @property
    def parameters(self) -> list[Tensor]:
        """What it moves, in the order that the parts have it."""
        return self._parameters

    @property
    def peak(self) -> float:
        """The highest peak learning rate."""
        return max(float(group["initial_lr"]) for group in self._groups())

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of `loss`, a sum."""
        self._scaler.scale(loss).backward()

    def norm(self) -> float:
        """The 2-norm of the gradient as it stands."""
        for part in self._parts:
            self._scaler.unscale_(part)
        norm = self._norm()
        self._overflowed = not math.isfinite(norm)
        return norm

    def _norm(self) -> float:
        import torch

        gradients = [each.grad for each in self._parameters if each.grad is not None]
        shared = [each for each in gradients if is_sharded(each)]
        if not shared:
            return float(torch.nn.utils.get_total_norm(gradients))
        own = torch.nn.utils.get_total_norm([each for each in gradients if not is_sharded(each)])
        return math.hypot(float(own), float(torch.nn.utils.get_total_norm(shared).full_tensor()))

    def step(self, *, factor: float, divisor: float) -> None:
        """Move the weights by the gradient over `divisor`, at `factor` times the peak rates, and clear it.

        None move where the gradient, scaled, overflowed in any part: the scaler by itself would skip that part alone.
        """
        import torch

        for group in self._groups():
            group["lr"] = group["initial_lr"] * factor
        moving = () if self.scaled and self._overflowed else self._parts
        for part in moving:
            if part.defaults.get("fused") and not self.scaled:
                part.grad_scale = torch.tensor(float(divisor), device=self._parameters[0].device)
                part.found_inf = torch.zeros((), device=self._parameters[0].device)
                part.step()
                continue
            own = [each.grad for group in part.param_groups for each in group["params"] if each.grad is not None]
            torch._foreach_mul_(own, 1.0 / divisor)
            self._scaler.step(part)
        self._scaler.update()
        for part in self._parts:
            part.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """The state as named tensors: `<part>.<parameter>.<name>`."""
        return {
            f"{place}.{number}.{name}": value
            for place, part in enumerate(self._parts)
            for number, state in part.state_dict()["state"].items()
            for name, value in state.items()
        }

    def plain(self) -> dict[str, Any]:
        """What of the state is no tensor."""
        return dict(self._scaler.state_dict())

    def restore(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Put back what `tensors` and `plain` gave.

        A moment is laid out in memory as its parameter is: the fused kernel walks both as they lie, and a file
        holds tensors in plain order (channels-last weights of images ended in other bits without this).
        """
        for place, part in enumerate(self._parts):
            parameters = [each for group in part.param_groups for each in group["params"]]
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in tensors.items():
                owner, number, name = key.split(".", 2)
                if int(owner) != place:
                    continue
                like = parameters[int(number)]
                laid_out = laid_as(value, like) if value.shape == like.shape else value
                state.setdefault(int(number), {})[name] = laid_out.detach()
            part.load_state_dict({"state": state, "param_groups": part.state_dict()["param_groups"]})
        if self.scaled:
            self._scaler.load_state_dict(plain)


def adamw(network: nn.Module, *, learning_rate: float, scaled: bool = False) -> Optimizer:
    """AdamW (Loshchilov & Hutter 2019, algorithm 2) over what `network` lets train, fused into one kernel per group.

    Vectors (biases, norms) and tables of embeddings are not decayed: a row that no example uses stays as it was.
    What may be sharded and what never is stand in groups of their own, which one kernel does not take together.
    """
    import torch

    from modelwright.models.networks import models_in

    tables, trained = _tables(network), [each for each in network.parameters() if each.requires_grad]
    inner = {id(each) for model in models_in(network) for each in model.parameters()}
    groups: dict[tuple[bool, float], list[Tensor]] = {}
    for each in trained:
        decay = WEIGHT_DECAY if each.dim() > 1 and id(each) not in tables else 0.0
        groups.setdefault((id(each) in inner, decay), []).append(each)
    common = {"lr": learning_rate, "initial_lr": learning_rate}
    fused = torch.optim.AdamW(
        [{"params": groups[key], "weight_decay": key[1], **common} for key in sorted(groups, reverse=True)],
        betas=(0.9, 0.999),
        fused=True,
    )
    return Optimizer([fused], scaled=scaled, device=trained[0].device.type)


def muon(network: nn.Module, *, learning_rate: float, decay: float = 0.1, scaled: bool = False) -> Optimizer:
    """Muon for the matrices between embeddings and vocabulary, AdamW for the rest: for training from scratch.

    Muon (Jordan et al. 2024) replaces a matrix's momentum by the nearest matrix all of whose singular values are 1;
    scaled to the size of AdamW's steps (Liu et al. 2025, equation 4), both share one learning rate.
    """
    import torch

    tables = _tables(network) | ({id(network.vocabulary.weight)} if hasattr(network, "vocabulary") else set())
    trained = [each for each in network.parameters() if each.requires_grad]
    matrices = [each for each in trained if each.dim() == 2 and id(each) not in tables]
    chosen = {id(each) for each in matrices}
    rest = [each for each in trained if id(each) not in chosen]
    common = {"lr": learning_rate, "initial_lr": learning_rate}
    first = torch.optim.Muon(
        [{"params": matrices, **common}], weight_decay=decay, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    second = torch.optim.AdamW([{"params": rest, **common}], betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    return Optimizer([first, second], scaled=scaled, device=trained[0].device.type)


def _tables(network: nn.Module) -> set[int]:
    """The ids of the weights that are tables of embeddings."""
    import torch

    return {id(each.weight) for each in network.modules() if isinstance(each, torch.nn.Embedding)}
