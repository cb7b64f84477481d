"""What of a network a run trains: all of it, without the rows that no text uses, or adapters beside frozen weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelwright.errors import IntegrityError
from modelwright.models.room import available_bytes
from modelwright.records import LANGUAGE_TASKS
from modelwright.training.checkpoint import writing
from modelwright.training.job import Job
from modelwright.training.memory import release
from modelwright.training.optim import Optimizer, adamw, muon
from modelwright.training.rows import Lean, lean
from modelwright.training.sharding import is_sharded, laid_as, shard

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from modelwright.models.compiled import Shape


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

        Raises:
            ResourceError: the disk is full.
        """
        from modelwright.models.attention import use_own
        from modelwright.models.compiled import as_they_were

        self._lean.restore()
        network, settings = self.job.network, self.job.settings
        use_own(network.transformer)
        as_they_were(network)
        if not settings["rank"]:
            return
        import torch

        from modelwright.models.adapters import save_adapters, taken_off

        if adapters is not None:
            with writing(adapters.parent, "the adapters"):
                save_adapters(network.transformer, adapters)
        exact = settings["precision"] == "fp32" and not settings["quantised"]
        place = self.job.device
        if not exact:
            put_on = taken_off(network.transformer)
            network.put(torch.nn.Identity())  # the adapted weights go before those in float32 come
            release()
            network.put(put_on(_base(self.job)))
        network.put(network.transformer.merge_and_unload())
        _move(network, place)

    def optimizer(self, *, learning_rate: float, scaled: bool = False) -> Optimizer:
        """What moves the weights that train: Muon where the settings say so, else AdamW."""
        if self.job.settings.get("optimizer") == "muon":
            return muon(self.job.network, learning_rate=learning_rate, scaled=scaled)
        return adamw(self.job.network, learning_rate=learning_rate, scaled=scaled)


def begin(job: Job, *, sharded: bool = False) -> Trained:
    """`job` with its network in the shape that training wants.

    Args:
        job: As it was built.
        sharded: Share the network out over all workers; such a job is not ended, but built anew for what is saved.
    """
    from modelwright.models.attention import use_products
    from modelwright.models.compiled import NONE, compile_blocks, compiler
    from modelwright.models.dropout import with_own_dropout
    from modelwright.models.networks import repeat_blocks
    from modelwright.models.precision import device as best_device

    settings, network = job.settings, job.network
    held = Lean(job)
    if settings["rank"]:
        import torch

        from modelwright.models.adapters import narrow, with_adapters
        from modelwright.models.eight_bits import squeeze

        place = job.device
        if settings["quantised"]:
            place = torch.device(best_device())
            network.put(torch.nn.Identity())  # the weights in float32 go before others come
            network.put(_base(job, quantised=True))
            squeeze(network.transformer, torch.bfloat16 if settings["precision"] == "bf16" else torch.float32)
        network.put(with_adapters(network.transformer, rank=settings["rank"], alpha=settings["alpha"]))
        network.to(place)
        if settings["precision"] == "bf16":
            narrow(network.transformer)
    elif not _speaks(job):  # a language model scores every row of its table
        held = lean(job)
    if best_device() == "cpu":
        use_products(network.transformer)
    with_own_dropout(network)
    if settings["checkpointing"]:
        repeat_blocks(network, settings["checkpointing"])
    if settings.get("compile") and not sharded and compiler() != NONE:
        compile_blocks(network, _shape(held.job))
    if sharded:
        shard(network)
    return Trained(held.job, held)


def _shape(job: Job) -> Shape:
    """The shape of the batches that blocks see, where all have one; of micro-batches the larger."""
    batch = job.order(0)[0]
    tokens = job.fetch(batch[:1]).inputs["input_ids"].shape[1]
    return -(-len(batch) // job.settings["micro_batches"]), tokens


def _speaks(job: Job) -> bool:
    return job.predictor.schema.task in LANGUAGE_TASKS


def _base(job: Job, *, quantised: bool = False) -> nn.Module:
    """The model that adapters stand beside, as it was: on the processor, or in four bits on the GPU if there is one."""
    from modelwright.models.language import language_in
    from modelwright.models.networks import encoder_in

    folder = Path(job.base)
    if _speaks(job):
        return language_in(folder, job.network.kind, quantised=quantised).model
    return encoder_in(folder, quantised=quantised)


def _move(network: nn.Module, place: torch.device) -> None:
    """Move what was merged to where its adapters were, if there is room for it: in float32 it may be more."""
    import torch

    if place.type == "cuda":
        release()  # what it was merged from
        needed = sum(each.numel() * each.element_size() for each in network.parameters())
        place = place if needed + torch.cuda.memory_allocated() < available_bytes() else torch.device("cpu")
    network.to(place)
