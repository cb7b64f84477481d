"""A tokenizer of one's own: byte-level byte-pair encoding learnt from texts, for a language model from scratch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

END, PAD = "<|end|>", "<|pad|>"
"""The tokens that end a text and that fill a batch up."""
MASK = "<|mask|>"
"""The token that stands where one is hidden."""
LEAST = 256 + 2
"""A vocabulary holds every byte and the two special tokens."""


def learn_tokenizer(texts: Iterable[str], *, size: int) -> Any:
    """A fast tokenizer of transformers with at most `size` tokens; no text is unknown to it, and all come back whole.

    Source: byte-pair encoding of words (Sennrich et al. 2016) on bytes (Radford et al. 2019, section 2.2).

    Args:
        texts: What it is learnt from; the same texts give the same tokenizer.
        size: The vocabulary, at least LEAST; fewer where the texts hold fewer pairs that repeat.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=max(size, LEAST),
        min_frequency=2,
        special_tokens=[END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, bos_token=END, pad_token=PAD, clean_up_tokenization_spaces=False
    )


def learn_masking_tokenizer(texts: Iterable[str], *, size: int) -> Any:
    """As `learn_tokenizer`, for a model that reads both ways: it has a mask token, and END on both sides of a text."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = learn_tokenizer(texts, size=size)
    tokenizer.add_special_tokens({"mask_token": MASK, "cls_token": END, "sep_token": END})
    ends = [(END, tokenizer.eos_token_id)]
    pair = f"{END} $A {END} $B {END}"
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{END} $A {END}", pair=pair, special_tokens=ends
    )
    return tokenizer
