"""Language models of transformers, with their last layer apart. Imports torch at its top; import this module inside
functions only.

The layer from states to a score for each word of the vocabulary is left to the objective, which never holds all scores
at once (training/objectives/portioned.py). Letters: n examples, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from modelwright.errors import Fault, InputError
from modelwright.models.direction import family_of_both_directions
from modelwright.models.networks import check_whole, loaded_with_missing, of_the_body, quiet
from modelwright.models.windows import Windows

Kind = Literal["causal", "masked"]
AT_ONCE = 16_000_000
"""Scores held at once while answering, in numbers: 64 MB. Chosen."""
_RESCALED = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")
"""What some families do to the scores after the last layer, as their configurations call it."""


class Language(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy
    """A language model: `states`, the `vocabulary` layer, and both together as `forward`.

    Args:
        model: One of transformers' ...ForCausalLM or ...ForMaskedLM.
        kind: Which of the two.
        fresh: Whether weights of it, such as those from states to words, were not in its folder.

    Raises:
        InputError: the scores are more than the vocabulary's linear layer of the states.
    """

    def __init__(self, model: nn.Module, kind: Kind, *, fresh: bool = False) -> None:
        super().__init__()
        self.model, self.kind, self.fresh = model, kind, fresh
        last = model.get_output_embeddings()
        rescaled = [name for name in _RESCALED if getattr(model.config, name, None) not in (None, 1.0)]
        if not isinstance(last, nn.Linear) or rescaled:
            found = f"{type(model).__name__} does more than a linear layer at its end: {', '.join(rescaled) or last}"
            raise InputError(Fault("model.base", found, "a family like Llama, Mistral, Qwen, BERT or ModernBERT"))

    @property
    def transformer(self) -> nn.Module:
        """The model of transformers inside."""
        return self.model

    def put(self, transformer: nn.Module) -> None:
        """Let it be another: with adapters, or without them again."""
        self.model = transformer

    @property
    def vocabulary(self) -> nn.Linear:
        """From states to scores."""
        return self.model.get_output_embeddings()

    def states(self, inputs: dict[str, Tensor]) -> Tensor:
        """What the vocabulary is applied to, (n, T, D)."""
        last = self.vocabulary
        last.forward = _same  # passed by: every family then gives its states where it gives scores otherwise
        try:
            return self.forward(inputs)
        finally:
            del last.forward

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """The scores, (n, T, V)."""
        options = {} if self.kind == "masked" else {"use_cache": False}
        return self.model(**inputs, **options).logits


def _same(states: Tensor) -> Tensor:
    return states


def surprise(network: Language, inputs: dict[str, Tensor], targets_nT: Tensor) -> Tensor:
    """−log p of each target in nats, float32 (n, T); 0 where a target is below 0 and so asks for nothing."""
    states_nTD = network.states(inputs)
    chosen_nT = targets_nT >= 0
    states_MD, targets_M1 = states_nTD[chosen_nT], targets_nT[chosen_nT][:, None]
    last, found = network.vocabulary, []
    size = max(1, AT_ONCE // last.out_features)
    for start in range(0, len(states_MD), size):
        scores_mV = last(states_MD[start : start + size]).float()
        found.append(scores_mV.logsumexp(1) - scores_mV.gather(1, targets_M1[start : start + size])[:, 0])
    nats_nT = torch.zeros(targets_nT.shape, device=targets_nT.device)
    nats_nT[chosen_nT] = torch.cat(found) if found else nats_nT.new_zeros(0)
    return nats_nT


def surprises(network: Language, features: Windows, chosen: np.ndarray) -> np.ndarray:
    """The nats that the targets of the windows at `chosen` take, and how many there are: float64 (w, 2).

    Leaves the network in evaluation mode.
    """
    network.eval()
    device = next(network.parameters()).device
    with torch.inference_mode():
        inputs = {name: each.to(device) for name, each in features.batch(chosen).items()}
        targets_wT = torch.from_numpy(features.asked(chosen)).to(device)
        nats_w = surprise(network, inputs, targets_wT).double().sum(1)
        found_w2 = torch.stack((nats_w, (targets_wT >= 0).sum(1).double()), dim=1)
    return np.asarray(found_w2.cpu())


def language_in(folder: Path, kind: Kind, *, quantised: bool = False) -> Language:
    """The language model in `folder` (transformers layout, safetensors only), float32, or in four bits.

    Raises:
        InputError: there is none, or it is of a family whose scores are no linear layer; or weights are missing that
            are not of the layer that guesses masked tokens.
    """
    check_direction(folder, kind)
    model, missing = loaded_with_missing(_auto(kind), folder, quantised=quantised)
    check_whole(folder, missing if kind == "causal" else of_the_body(model, missing))
    return Language(model, kind, fresh=bool(missing))


def save_language(network: Language, tokenizer: Any, folder: Path) -> None:
    """Write the model and its tokenizer in transformers' own layout, safetensors only."""
    with quiet():
        network.model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)


def check_direction(folder: Path, kind: Kind) -> None:
    """Return unless a model that reads in both directions is to say what comes next: it would look.

    Raises:
        InputError: it is one.
    """
    family = family_of_both_directions(folder)
    if kind == "causal" and family:
        found = f"{folder} is a {family}, which reads texts in both directions and cannot go on with one"
        raise InputError(Fault("model.base", found, "a causal language model, such as a Llama or a Qwen"))


def language_from_scratch(family: str, kind: Kind, config: dict[str, Any]) -> Language:
    """A language model of `family` ("llama", "mistral", "qwen3", "gpt2", "bert"…) with fresh weights.

    Args:
        family: transformers' name of the model type.
        kind: Whether it goes on with a text, or guesses masked tokens.
        config: Its sizes as transformers names them; draws come from torch's global generator.
    """
    from transformers import AutoConfig

    return Language(_auto(kind).from_config(AutoConfig.for_model(family, **config)), kind)


def _auto(kind: Kind) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    return AutoModelForCausalLM if kind == "causal" else AutoModelForMaskedLM
