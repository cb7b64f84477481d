"""What a language model writes after prompts: by its own chances, whatever its checkpoint sets for transformers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Over = Callable[[list[list[int]]], list[bool]]
"""The tokens written so far, by prompt -> which answers are done."""

_OFF = (
    "bad_words_ids",
    "begin_suppress_tokens",
    "dola_layers",
    "exponential_decay_length_penalty",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "guidance_scale",
    "max_time",
    "min_new_tokens",
    "penalty_alpha",
    "sequence_bias",
    "stop_strings",
    "suppress_tokens",
    "watermarking_config",
)
_NEUTRAL: dict[str, Any] = {
    **dict.fromkeys(_OFF),
    "num_beams": 1,
    "num_return_sequences": 1,
    "return_dict_in_generate": False,
    "min_length": 0,
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
}
"""What transformers' `generate` takes from a checkpoint's `generation_config.json` where it is not told, told so that
nothing changes what the model says."""
_ALL_CHANCES: dict[str, Any] = {
    "top_k": 0,
    "top_p": 1.0,
    "typical_p": 1.0,
    "min_p": None,
    "top_h": None,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
}
"""The same where tokens are drawn; untold, transformers' own default is the likeliest 50."""


def generated(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    pad: int,
    stops: Sequence[int],
    max_tokens: int,
    temperature: float = 0.0,
    over: Over | None = None,
) -> list[list[int]]:
    """The tokens that the model puts after each prompt; after the first of `stops` anything may stand.

    Args:
        model: One of transformers' ...ForCausalLM.
        prompts: Tokens.
        pad: Fills the prompts up, on the left: the next token follows on the right.
        stops: Tokens that end an answer.
        max_tokens: Of an answer, at most.
        temperature: 0 takes the likeliest token each time; else tokens are drawn from torch's global generator.
        over: Ends answers before such a token.
    """
    import torch

    longest = max(map(len, prompts))
    ids_nT = torch.full((len(prompts), longest), pad)
    mask_nT = torch.zeros_like(ids_nT)
    for row, prompt in enumerate(prompts):
        ids_nT[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask_nT[row, longest - len(prompt) :] = 1
    device = next(model.parameters()).device

    def done(longer_nT: Any, scores: Any) -> Any:
        assert over is not None
        return torch.tensor(over(longer_nT[:, longest:].tolist()), device=longer_nT.device)

    options: dict[str, Any] = {**_NEUTRAL, "do_sample": temperature > 0}
    if temperature > 0:
        options |= {"temperature": temperature, **_ALL_CHANCES}
    if over is not None:
        options["stopping_criteria"] = [done]
    with torch.inference_mode():
        longer_nT = model.generate(
            input_ids=ids_nT.to(device),
            attention_mask=mask_nT.to(device),
            pad_token_id=pad,
            eos_token_id=list(stops),
            max_new_tokens=max_tokens,
            **options,
        )
    tokens: list[list[int]] = longer_nT[:, longest:].tolist()
    return tokens
