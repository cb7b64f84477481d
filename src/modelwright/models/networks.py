"""The networks: an encoder of transformers with a linear head, one forward for all. Imports torch at its top;
import this module inside functions only.

Letters: N examples, T tokens, D width, K outputs, C channels, H height, W width.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from modelwright.errors import Fault, InputError

POOLER = "pooler."
"""What BERT, RoBERTa, ViT and others put on their states, and checkpoints of their ...ForX classes often lack. Features
of states are pooled without it; those of a ResNet are pooled by it, and it has no weights."""


class Network(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy
    """An encoder, pooled over its positions, and a linear head.

    Text is pooled by the mean over real tokens: on sentence encoders it beats the first token, and a linear
    head on the frozen mean already reaches .927 on banking77. Images are pooled as their family does it.

    Args:
        encoder: A transformers model that gives `last_hidden_state` (N, T, D) for text, or
            `pooler_output` (N, D, 1, 1) or (N, D) for images.
        outputs: K, the number of classes, or 1 for regression.
        dropout: Share of the features dropped in training.
        pooled: False gives outputs for each token of a text.
    """

    def __init__(
        self, encoder: nn.Module, *, width: int, outputs: int, dropout: float = 0.1, pooled: bool = True
    ) -> None:
        super().__init__()
        self.encoder, self.pooled = encoder, pooled
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, outputs)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    @property
    def transformer(self) -> nn.Module:
        """The model of transformers inside."""
        return self.encoder

    def put(self, transformer: nn.Module) -> None:
        """Let it be another: with adapters, or without them again."""
        self.encoder = transformer

    @property
    def table(self) -> nn.Embedding:
        """The embeddings of its tokens; only a model of texts has them."""
        return self.encoder.get_input_embeddings()

    def features(self, inputs: dict[str, Tensor]) -> Tensor:
        """The pooled features (N, D), or those of each token (N, T, D); float32."""
        if "input_ids" in inputs:
            hidden_NTD: Tensor = self.encoder(**inputs).last_hidden_state.float()
            if not self.pooled:
                return hidden_NTD
            mask_NT1 = inputs["attention_mask"].unsqueeze(-1)
            return (hidden_NTD * mask_NT1).sum(1) / mask_NT1.sum(1).clamp(min=1)
        out = self.encoder(**inputs)
        pooled: Tensor = out.last_hidden_state[:, 0] if out.last_hidden_state.dim() == 3 else out.pooler_output
        return pooled.flatten(1).float()

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """The outputs (N, K), or (N, T, K), float32: logits of classes, standardised values for regression."""
        features_ND = self.dropout(self.features(inputs))
        with torch.autocast(features_ND.device.type, enabled=False):
            return self.head(features_ND)


def pretrained(folder: Path, *, outputs: int, pooled: bool = True) -> Network:
    """The network whose encoder is the pre-trained model in `folder`, with a fresh head."""
    encoder = encoder_in(folder)
    return Network(encoder, width=_width(encoder.config), outputs=outputs, pooled=pooled)


def encoder_in(folder: Path, *, quantised: bool = False) -> nn.Module:
    """The pre-trained model in `folder` (transformers layout, safetensors only), float32, or in four bits.

    Raises:
        InputError: weights of it are not in its files.
    """
    from transformers import AutoModel

    model, missing = loaded_with_missing(AutoModel, folder, quantised=quantised)
    check_whole(folder, [name for name in missing if not name.startswith(POOLER)])
    return model


def loaded_with_missing(
    auto: Any, folder: Path, *, quantised: bool = False, **options: Any
) -> tuple[nn.Module, list[str]]:
    """What a class of transformers makes of `folder`, safetensors only, no code of others, float32; and the names of
    weights that the folder lacks: these are fresh, from torch's global generator.

    Args:
        auto: AutoModel, AutoModelForCausalLM, BertModel...
        folder: In transformers' layout.
        quantised: Hold the matrices in four bits, but for those that `eight_bits.squeeze` is for.
        options: Of the model's configuration; `ignore_mismatched_sizes`, where weights of other shapes are as missing.

    Raises:
        InputError: its files are not of one model that transformers knows, or are damaged.
    """
    from safetensors import SafetensorError

    if quantised:
        from modelwright.models.adapters import quantisation

        options["quantization_config"] = quantisation(auto, folder)
    try:
        with quiet():
            found, told = auto.from_pretrained(
                folder,
                output_loading_info=True,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                **options,
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        said = f"{folder} cannot be loaded: {error}"
        raise InputError(Fault("model.base", said, "config.json and model.safetensors of one model")) from error
    for each in found.modules() if quantised else ():
        # On processors bitsandbytes packs the weights anew for answering, and rounds their scales on the way: after a
        # validation training would go on with other weights than after a resume.
        if hasattr(each, "support_avx512bf16_for_cpu"):
            each.support_avx512bf16_for_cpu = False
    return found, sorted({*told["missing_keys"], *(name for name, *_ in told["mismatched_keys"])})


def check_whole(folder: Path, missing: list[str]) -> None:
    """Return where no weights are missing: fresh ones in their place would be noise.

    Raises:
        InputError: some are; names a few.
    """
    if not missing:
        return
    named = ", ".join(missing[:3]) + (f" and {len(missing) - 3:,} more" if len(missing) > 3 else "")
    found = f"{folder} lacks weights of the model that its config.json names: {named}"
    raise InputError(Fault("model.base", found, "all of them", "save the whole model again, or name another"))


def of_the_body(model: Any, names: list[str]) -> list[str]:
    """Those of the weights called `names` that are not of the head that a ...ForX class puts on a model, as its model
    without the head calls them.
    """
    if model.base_model is model:
        return names
    body = f"{model.base_model_prefix}."
    return [name.removeprefix(body) for name in names if name.startswith(body)]


def scratch(family: str, config: dict[str, Any], *, outputs: int, image_size: int) -> Network:
    """A network of an image family with fresh weights; draws from torch's global generator."""
    from transformers import ResNetConfig, ResNetModel, ViTConfig, ViTModel

    if family == "resnet":
        encoder: nn.Module = ResNetModel(ResNetConfig(**config))
    else:
        patch = max(2, image_size // 8)
        encoder = ViTModel(ViTConfig(**config, image_size=image_size, patch_size=patch), add_pooling_layer=False)
    return Network(encoder, width=_width(encoder.config), outputs=outputs, dropout=0.0)


def text_from_scratch(family: str, config: dict[str, Any], *, outputs: int, pooled: bool = True) -> Network:
    """A network of a family of text encoders with fresh weights; draws from torch's global generator.

    Args:
        family: transformers' name of the model type.
        config: Its sizes as transformers names them, the vocabulary's among them.
        outputs: K.
        pooled: As in Network.
    """
    from transformers import AutoConfig, AutoModel

    encoder = AutoModel.from_config(AutoConfig.for_model(family, **config))
    return Network(encoder, width=_width(encoder.config), outputs=outputs, pooled=pooled)


def restored(folder: Path, *, outputs: int, pooled: bool = True) -> Network:
    """The network that `save` wrote into `folder`."""
    from safetensors.torch import load_file

    network = pretrained(folder, outputs=outputs, pooled=pooled)
    network.head.load_state_dict(load_file(folder / "head.safetensors"))
    network.eval()
    return network


def save(network: Network, folder: Path) -> None:
    """Write the encoder in transformers' own layout and the head beside it, as safetensors."""
    from safetensors.torch import save_file

    with quiet():
        network.encoder.save_pretrained(folder, safe_serialization=True)
    save_file({k: v.contiguous() for k, v in network.head.state_dict().items()}, folder / "head.safetensors")


def models_in(network: nn.Module) -> list[nn.Module]:
    """What of `network` is a transformers model, with the adapters around it: each is called as a whole."""
    from transformers import PreTrainedModel

    return [
        child for child in network.children() if any(isinstance(module, PreTrainedModel) for module in child.modules())
    ]


def repeat_blocks(network: nn.Module, count: int) -> None:
    """Let the first `count` blocks of the transformers models in `network` keep their input only, and repeat their
    forward pass when the gradient is taken (Chen et al. 2016, section 4): where all do, a third more work, and a
    fraction of the memory. Gradients are the same. The last blocks are the first whose memory is given back.

    Raises:
        ValueError: a family is not made for it.
    """
    from transformers import PreTrainedModel
    from transformers.modeling_layers import GradientCheckpointingLayer

    from modelwright.models.dropout import replayed

    logging.getLogger("transformers.utils.generic").setLevel(logging.ERROR)  # it warns of a cache that training has not
    for outer in models_in(network):
        model = next(each for each in outer.modules() if isinstance(each, PreTrainedModel))
        model.activation_checkpointing_enable({"use_reentrant": False, "context_fn": replayed})
        blocks = [each for each in model.modules() if isinstance(each, GradientCheckpointingLayer)]
        for block in blocks[count:]:
            block.gradient_checkpointing = False


def _width(config: Any) -> int:
    """The width of the pooled features, from the configuration of the encoder."""
    sizes = config.to_dict().get("hidden_sizes")
    return int(sizes[-1] if sizes else config.hidden_size)  # families that call it otherwise have this name too


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps transformers from drawing bars and reports while a model is loaded or saved."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
