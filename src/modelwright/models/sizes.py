"""How wide, deep and long a model in a folder is, whatever its family calls these sizes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelwright.errors import Fault, InputError

FROM_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet")
"""Families that count positions from the one after the padding id: two of theirs are no token's."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Those of a transformer that reads texts; 0 where a model has no such number, as a convolutional one.

    Args:
        width: Of a token's state.
        layers: Blocks, one after the other.
        heads: Of each block's attention.
        tokens: That can be read at once, special ones included; 0 where nothing limits them.
    """

    width: int
    layers: int
    heads: int
    tokens: int


def sizes_of(folder: Path) -> Sizes:
    """The sizes of the model in `folder`; of one made of several, those of the one that reads texts.

    Raises:
        InputError: its config.json is no configuration of a model that transformers knows.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    try:
        whole = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        config = whole.get_text_config()
    except (OSError, ValueError, KeyError, StrictDataclassError) as error:
        found = f"{folder} cannot be loaded: {error}"
        raise InputError(Fault("model.base", found, "config.json and model.safetensors of one model")) from error

    def size(name: str) -> int:
        value = getattr(config, name, 0)  # under the family's own name for it: n_embd, dim, d_model…
        return value if isinstance(value, int) and value > 0 else 0  # some have a list, a number for each stage

    positions = size("max_position_embeddings")
    tokens = positions - 2 if config.model_type in FROM_PADDING else positions
    return Sizes(size("hidden_size"), size("num_hidden_layers"), size("num_attention_heads"), tokens)
