"""A network whose weights, gradients and moments are shared out over the workers, for where a whole copy does not fit.

torch's FSDP2 does it: a block's weights are gathered when it is their turn, forward and backward, and let go again.
What lies outside the transformers model, a small head, every worker holds whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelwright.errors import Fault, InputError
from modelwright.models.room import free_bytes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from modelwright.training.parallel import Group

TRAINED_BYTES, FROZEN_BYTES = 16, 4
"""Of a trained weight: itself, its gradient and two moments, in float32; of a frozen one: itself."""
SHARE = 0.5
"""Of the memory that is free, what weights, gradients and moments may take; activations need the rest. Chosen."""


def is_sharded(tensor: Tensor) -> bool:
    """Whether each worker holds a part of it."""
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def chosen(asked: str, network: nn.Module, group: Group, settings: dict[str, Any]) -> bool:
    """Whether to shard: as asked, or where a whole copy fills more than SHARE of what a worker may.

    Args:
        asked: auto, replicate or shard.
        network: As it was loaded, whole.
        group: Alone there is nothing to share out.
        settings: The plan's: `rank` of adapters, `quantised`, whose weights of four bits stay whole, `precision`.

    Raises:
        InputError: sharding is asked for together with what it cannot do.
    """
    if group.workers == 1 or asked == "replicate":
        return False
    quantised = settings["quantised"]
    each = FROZEN_BYTES if settings["rank"] else TRAINED_BYTES
    needed = each * sum(weight.numel() for weight in network.parameters())
    wanted = asked == "shard" or (not quantised and needed > SHARE * group.number(worker_bytes(group.workers)))
    if wanted and quantised:
        raise InputError(Fault("compute.sharding", "shard, with model.method qlora", "replicate, or model.method lora"))
    if wanted and settings["precision"] == "fp16":
        raise InputError(Fault("training.precision", "fp16, with sharded weights", "bf16 or fp32"))
    return wanted


def shard(network: nn.Module) -> None:
    """Share out the transformers models in `network` over all workers, block by block; the rest moves to the device."""
    from torch import distributed
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard
    from transformers.modeling_layers import GradientCheckpointingLayer

    from modelwright.models.networks import models_in
    from modelwright.models.precision import device

    mesh = init_device_mesh(device(), (distributed.get_world_size(),))
    for model in models_in(network):
        for module in model.modules():
            if isinstance(module, GradientCheckpointingLayer):
                fully_shard(module, mesh=mesh)
        fully_shard(model, mesh=mesh)
    network.to(device())
    for module in network.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)  # a sum, not a mean
            module.set_force_sum_reduction_for_comms(True)  # gloo knows no other
            module.unshard()  # once outside inference mode, or a first answer would make weights that cannot be trained
            module.reshard()


def reshard(network: nn.Module) -> None:
    """Let go of what was gathered for a last answer: an optimizer must be given the parts, not the whole."""
    from torch.distributed.fsdp import FSDPModule

    for module in network.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def whole(tensors: dict[str, Tensor], group: Group) -> dict[str, Tensor]:
    """The tensors with the sharded ones gathered, on the first worker's processor; the others get nothing of these."""
    found = {}
    for name, each in sorted(tensors.items()):  # all in one order: what a file gives has another in each process
        if not is_sharded(each):
            found[name] = each
            continue
        gathered = each.detach().full_tensor()
        if group.first:
            found[name] = gathered.cpu()
    return found


def laid_as(value: Tensor, like: Tensor) -> Tensor:
    """`value` with the memory layout, the device and the sharding of `like`."""
    import torch
    from torch.distributed.tensor import distribute_tensor

    if is_sharded(like):
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
    return torch.empty_like(like).copy_(value)


def worker_bytes(workers: int = 1) -> float:
    """What one of so many workers may still fill: of its GPU what is free, or its share of what is free here."""
    import torch

    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        return float(free + torch.cuda.memory_reserved() - torch.cuda.memory_allocated())
    return free_bytes() / workers
