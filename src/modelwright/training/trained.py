"""What of a network a run trains: all of it, without the rows that no text uses, or adapters beside frozen weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelwright.errors import IntegrityError
from modelwright.training.job import Job
from modelwright.training.rows import Lean, lean
from modelwright.training.sharding import is_sharded, laid_as, shard

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(slots=True)
class Trained:
    """A job between `begin` and `end`: its network has the shape that training wants, not the one that is saved."""

    job: Job
    _lean: Lean

    def tensors(self) -> dict[str, Tensor]:
        """What training changes, by name: weights that are not frozen, and running statistics."""
        network = self.job.network
        names = {name for name, weight in network.named_parameters() if weight.requires_grad}
        names |= {name for name, _ in network.named_buffers()}
        return {name: each for name, each in network.state_dict().items() if name in names}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `tensors` gave.

        Raises:
            IntegrityError: they are of another network.
        """
        own = self.tensors()
        if tensors.keys() != own.keys():
            raise IntegrityError("the checkpoint is of a network of another shape; run again with --force")
        laid_out = {name: laid_as(each, own[name]) if is_sharded(own[name]) else each for name, each in tensors.items()}
        self.job.network.load_state_dict(laid_out, strict=False)

    def end(self, adapters: Path | None = None) -> None:
        """Give the network the shape that is saved: whole tables, adapters merged into the weights.

        Args:
            adapters: Where to write the adapters by themselves, if there are any.
        """
        from modelwright.models.attention import use_own

        self._lean.restore()
        network, settings = self.job.network, self.job.settings
        use_own(network.encoder)
        if not settings["rank"]:
            return
        from modelwright.models.adapters import merged, save_adapters
        from modelwright.models.networks import encoder_in

        if adapters is not None:
            save_adapters(network.encoder, adapters)
        base = encoder_in(Path(self.job.base)).to(self.job.device) if settings["quantised"] else None
        network.encoder = merged(network.encoder, base=base)


def begin(job: Job, *, sharded: bool = False) -> Trained:
    """`job` with its network in the shape that training wants.

    Args:
        job: As it was built.
        sharded: Share the network out over all workers; such a job is not ended, but built anew for what is saved.
    """
    from modelwright.models.attention import use_products
    from modelwright.models.dropout import with_own_dropout
    from modelwright.models.networks import repeat_blocks
    from modelwright.models.precision import device as best_device

    settings, network = job.settings, job.network
    held = Lean(job)
    if settings["rank"]:
        from modelwright.models.adapters import with_adapters
        from modelwright.models.networks import encoder_in

        device = job.device
        if settings["quantised"]:
            network.encoder = encoder_in(Path(job.base), quantised=True)
        network.encoder = with_adapters(network.encoder, rank=settings["rank"], alpha=settings["alpha"]).to(device)
    else:
        held = lean(job)
    if best_device() == "cpu":
        use_products(network.encoder)
    with_own_dropout(network)
    if settings["checkpointing"]:
        repeat_blocks(network)
    if sharded:
        shard(network)
    return Trained(held.job, held)
