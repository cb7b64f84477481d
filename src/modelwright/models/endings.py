"""The token that ends an answer and the token that fills a batch up: chosen by rule where a tokenizer has none, and the
end is proven to be learnt.

The classic fault: padding is the end token, every end token is masked as padding, and the model never learns to stop.
Here targets are marked by place and not by token, so padding may be any token; `check_stop` proves it all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modelwright.errors import Fault, InputError
from modelwright.models.chat import control_tokens
from modelwright.models.vocabulary import END, PAD

if TYPE_CHECKING:
    from modelwright.models.chat import ChatTemplate
    from modelwright.models.completions import Completions

ENDS = (END, "<|endoftext|>", "</s>", "<eos>", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "[EOS]", "[SEP]")
PADS = (PAD, "<pad>", "[PAD]", "<|finetune_right_pad_id|>", "<|reserved_special_token_0|>", "<unused0>")
"""What tokenizers call such tokens, the surer first."""


def settle_ends(tokenizer: Any, texts: Iterable[str], *, model: str, rows: int | None = None) -> tuple[str, ...]:
    """What was chosen, in words, after `tokenizer` was given an end token and a token to pad with.

    Its own stay as they are where the model has a row for them. Else the first of its control tokens that is called as
    one of ENDS or PADS and stands in no text; else a new one, where the model has a row to spare for it. An end token
    must be found so; padding is done with the end token where nothing else is there.

    Args:
        tokenizer: Changed in place.
        texts: The data's; a token that stands in them is not chosen.
        model: What the person called it.
        rows: How many tokens the model's embedding has; None where it is made to fit the tokenizer.

    Raises:
        InputError: there is no token that can end an answer, or the model has no row for the tokenizer's own.
    """
    rowless = _rowless(tokenizer, model, rows)
    if tokenizer.eos_token_id is not None and tokenizer.pad_token_id is not None and not rowless:
        return ()
    control = [name for name in control_tokens(tokenizer) if _has_row(tokenizer, name, rows)]
    wanted = {name for name in (*ENDS, *PADS) if name in control or name in (END, PAD)}
    standing = {name for text in texts for name in wanted if name in text}
    notes = []
    for what, names, new in (("eos_token", ENDS, END), ("pad_token", PADS, PAD)):
        own = getattr(tokenizer, what)  # the names of a tokenizer's tokens are attributes
        if own is not None and own != rowless:
            continue
        taken = {tokenizer.eos_token, tokenizer.pad_token}
        chosen = next((name for name in names if name in control and name not in standing | taken), None)
        room = rows is None or len(tokenizer) < rows
        if chosen is None and room and new not in standing:
            tokenizer.add_tokens([new], special_tokens=True)
            chosen = new
        if chosen is None and what == "eos_token":
            found = f"{model}: its tokenizer has no end token, none of its special tokens can be one"
            todo = "set eos_token in its tokenizer_config.json to a token that stands in no text"
            found += ", and its embedding has no row to spare"
            raise InputError(Fault("model.base", found, "an end token", todo))
        setattr(tokenizer, what, chosen or tokenizer.eos_token)
        why = f"the tokenizer has no {what}" if own is None else f"the model has no row for the {what} {own!r}"
        word = "answers end with" if what == "eos_token" else "batches are filled up with"
        notes.append(f"{why}: {word} {chosen or tokenizer.eos_token!r}")
    return tuple(notes)


def _rowless(tokenizer: Any, model: str, rows: int | None) -> str | None:
    """The tokenizer's token to pad with, where the model has no row for it: it was added, and the model never grew.

    Raises:
        InputError: there is no row for its end token.
    """
    end, pad = tokenizer.eos_token, tokenizer.pad_token
    if end is not None and not _has_row(tokenizer, end, rows):
        found = (
            f"{model}: its end token {end!r} is number {tokenizer.eos_token_id:,}, and its embedding has {rows:,} rows"
        )
        todo = "resize the model to its tokenizer (resize_token_embeddings) and save it, or set another eos_token"
        raise InputError(Fault("model.base", found, "a row for the end token", todo))
    return pad if pad is not None and not _has_row(tokenizer, pad, rows) else None


def _has_row(tokenizer: Any, name: str, rows: int | None) -> bool:
    return rows is None or int(tokenizer.convert_tokens_to_ids(name)) < rows


def stop_ids(tokenizer: Any, template: ChatTemplate, given: Iterable[int] = ()) -> tuple[int, ...]:
    """The ids at which generation must stop, the one that is learnt first: what `generation_config.json` should list.

    Args:
        tokenizer: With an end token.
        template: Its stop is learnt.
        given: The `eos_token_id` of the model's own generation settings.
    """
    learnt = tokenizer.convert_tokens_to_ids(template.stop)
    return tuple(dict.fromkeys(int(each) for each in [learnt, tokenizer.eos_token_id, *given]))


def check_stop(found: Completions, stops: Sequence[int]) -> None:
    """Return if every answer that carries loss ends in a token at which generation stops.

    Raises:
        InputError: one does not: says how many, of how many.
    """
    learnt_T = found.targets_flat >= 0
    last_T = learnt_T & ~np.append(learnt_T[1:], False)  # an example's last token has no target, so runs never touch
    missing = ~np.isin(found.targets_flat[last_T], list(stops))
    if not len(found.tokens) or missing.any():
        what = f"{int(missing.sum()):,} of {len(missing):,} answers end without a token at which generation stops"
        raise InputError(Fault("model.base", what, f"one of the tokens {', '.join(map(str, stops))} after each answer"))
