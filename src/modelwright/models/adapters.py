"""Low-rank adapters: a few trained matrices beside frozen weights, through PEFT. Imports torch at its top; import this
module inside functions only.

LoRA adds B A x · alpha / rank to every linear layer's W x (Hu et al. 2021, equation 3); QLoRA does so on weights held
in four bits, NormalFloat with doubly quantised scales (Dettmers et al. 2023, sections 3 and 4).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from modelwright.errors import Fault, InputError

DROPOUT = 0.05
"""Of what goes into an adapter. Hu et al. 2021 use 0 to 0.1."""


def with_adapters(model: nn.Module, *, rank: int, alpha: int) -> nn.Module:
    """`model`, frozen, with an adapter beside each of its linear layers but the one over a vocabulary.

    Raises:
        InputError: it has no linear layers.
    """
    from peft import LoraConfig, get_peft_model

    if not any(isinstance(each, nn.Linear) for each in model.modules()):
        found = f"{type(model).__name__} has no linear layers to adapt"
        raise InputError(Fault("model.method", found, "a transformer", "set model.method to full"))
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=DROPOUT, target_modules="all-linear", bias="none")
    return get_peft_model(model, config)


def narrow(model: nn.Module) -> None:
    """Hold the frozen weights in bfloat16: half the memory, and no copies in the run's precision at every step.

    Under autocast what goes into an adapter stays in bfloat16 too; PEFT would turn it into the adapter's float32, which
    autocast turns back: a copy to keep for each layer. Answers are given without autocast, and there it is turned.
    """
    from peft.tuners.lora import LoraLayer

    for weight in model.parameters():
        if not weight.requires_grad and weight.dtype == torch.float32:
            weight.data = weight.data.to(torch.bfloat16)
    layers: list[Any] = [each for each in model.modules() if isinstance(each, LoraLayer)]
    for layer in layers:
        layer.register_forward_pre_hook(_follow_autocast)


def _follow_autocast(layer: Any, inputs: tuple[Any, ...]) -> None:
    layer.cast_input_dtype_enabled = not torch.is_autocast_enabled(inputs[0].device.type)


def save_adapters(model: nn.Module, folder: Path) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors`, as PEFT reads them."""
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)  # a form for a model card, with nothing filled in


def taken_off(model: nn.Module) -> Callable[[nn.Module], nn.Module]:
    """What puts the adapters of `model`, which is not kept for it, on another of its kind: on the model in full
    precision, where the adapted one is not, as adding to fewer bits would round again.
    """
    from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

    state, config = get_peft_model_state_dict(model), model.peft_config["default"]

    def put_on(other: nn.Module) -> nn.Module:
        found = get_peft_model(other, config)
        set_peft_model_state_dict(found, state)
        return found

    return put_on


def quantisation(auto: Any, folder: Path) -> Any:
    """Transformers' configuration for weights in NF4, computed with in bfloat16; those of `finer` stay as they are.

    Args:
        auto: AutoModel, AutoModelForCausalLM...
        folder: In transformers' layout.

    Raises:
        InputError: bitsandbytes is not installed.
    """
    from importlib.util import find_spec

    from transformers import AutoConfig, BitsAndBytesConfig
    from transformers.quantizers.base import get_keys_to_not_convert

    from modelwright.models.eight_bits import finer

    if find_spec("bitsandbytes") is None:
        found = "qlora needs bitsandbytes, which is not installed"
        raise InputError(Fault("model.method", found, "lora, or the extra", "pip install 'modelwright[qlora]'"))
    with torch.device("meta"):
        model = auto.from_config(AutoConfig.from_pretrained(folder, local_files_only=True))
    return BitsAndBytesConfig(
        load_in_4bit=True,
        llm_int8_skip_modules=[*get_keys_to_not_convert(model), *finer(model)],
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
