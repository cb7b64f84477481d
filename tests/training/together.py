"""What each worker of test_parallel.py does: a few steps of several small trainings, alone or with others.

Run in processes that execution starts, so it stands in a module of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from modelwright.execution import ALONE, Place
from modelwright.models.dropout import with_own_dropout
from modelwright.models.language import language_from_scratch
from modelwright.models.networks import Network, repeat_blocks
from modelwright.records import Progress
from modelwright.training.loop import Recipe, steps
from modelwright.training.objectives import IGNORED, Batch
from modelwright.training.objectives.classification import Classification
from modelwright.training.objectives.vocabulary import NextToken
from modelwright.training.optim import adamw
from modelwright.training.parallel import Group, joined
from modelwright.training.sharding import shard, whole

EXAMPLES, TOKENS, WORDS, WIDTH = 15, 6, 40, 16
Training = tuple[Any, Any, Callable[[np.ndarray], Batch], int]
Found = tuple[list[float], list[float], dict[str, np.ndarray]]
"""Losses, gradient norms and weights."""


def encoder(dropout: float) -> Network:
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(3)
    shares = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    return Network(BertModel(BertConfig(vocab_size=WORDS, **sizes, **shares)), width=WIDTH, outputs=3, dropout=dropout)


def labelled() -> Callable[[np.ndarray], Batch]:
    """Texts of 1 to 6 tokens and one of three labels."""
    import torch

    generator = np.random.default_rng(0)
    words, lengths = generator.integers(1, WORDS, (EXAMPLES, TOKENS)), generator.integers(1, TOKENS + 1, EXAMPLES)
    mask = (np.arange(TOKENS) < lengths[:, None]).astype(np.int64)

    def fetch(chosen: np.ndarray) -> Batch:
        inputs = {"input_ids": torch.from_numpy(words[chosen]), "attention_mask": torch.from_numpy(mask[chosen])}
        return Batch(inputs, torch.from_numpy(words[chosen, 0] % 3))

    return fetch


def classified() -> Training:
    return encoder(0.0), Classification(), labelled(), 1


def with_dropout() -> Training:
    network = encoder(0.2)
    with_own_dropout(network)
    return network, Classification(), labelled(), 4


def with_repeated_blocks() -> Training:
    network = encoder(0.2)
    with_own_dropout(network)
    repeat_blocks(network, 1)
    return network, Classification(), labelled(), 4


def with_adapters() -> Training:
    import torch

    from modelwright.models import adapters

    network = encoder(0.0)
    torch.manual_seed(5)
    network.encoder = adapters.with_adapters(network.encoder, rank=2, alpha=4)
    with_own_dropout(network)
    return network, Classification(), labelled(), 2


def language() -> Training:
    """Next tokens, of which each text has another number that carry loss, by a Llama with one table for both ends."""
    import torch

    torch.manual_seed(4)
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    config = {"vocab_size": WORDS, "tie_word_embeddings": True, "max_position_embeddings": 16, **sizes}
    words = np.random.default_rng(1).integers(1, WORDS, (EXAMPLES, TOKENS))
    targets = np.where(np.arange(TOKENS) < words[:, :1] % TOKENS, IGNORED, words)

    def fetch(chosen: np.ndarray) -> Batch:
        return Batch({"input_ids": torch.from_numpy(words[chosen])}, torch.from_numpy(targets[chosen]))

    return language_from_scratch("llama", "causal", config), NextToken(), fetch, 1


TRAININGS = {each.__name__: each for each in (classified, with_dropout, with_repeated_blocks, with_adapters, language)}


def trained(name: str, group: Group, *, pieces: int) -> Found:
    """Six steps on batches of 7, 7 and 1: the last is too small for two workers."""
    network, objective, fetch, micro_batches = TRAININGS[name]()
    if group.sharded:
        shard(network)
    optimizer = adamw(network, learning_rate=1e-2)
    cuts = np.split(np.random.default_rng(2).permutation(EXAMPLES), [7, 14])
    recipe = Recipe(steps=6, micro_batches=max(micro_batches, pieces), max_grad_norm=0.5, seed=1)
    found = list(
        steps(network, objective, optimizer, recipe, order=lambda epoch: cuts, fetch=fetch, start=0, group=group)
    )
    weights = {name: each.detach().numpy() for name, each in whole(dict(network.named_parameters()), group).items()}
    return [each.loss for each in found], [each.gradient_norm for each in found], weights


def work(
    *, names: list[str], progress: Callable[[Progress], None], place: Place = ALONE
) -> dict[tuple[str, bool], Found]:
    """Each training replicated and sharded."""
    found = {}
    with joined(place) as group:
        for name in names:
            for group.sharded in (False, True):
                found[name, group.sharded] = trained(name, group, pieces=group.workers)
                progress(Progress("train", name, 0))
    return found if place.rank == 0 else {}
