"""A model that has learnt conversations answers them, and stops."""

from __future__ import annotations

import numpy as np
import torch

from modelwright.models.chat import chat_template
from modelwright.models.completions import chats
from modelwright.models.endings import check_stop, stop_ids
from modelwright.models.language import language_from_scratch
from modelwright.models.vocabulary import learn_tokenizer
from modelwright.training.job import Inputs
from modelwright.training.objectives.vocabulary import NextToken

ANSWERS = {
    "What is red?": "A colour.",
    "What is a kite?": "A toy that flies.",
    "Is it warm?": "Yes.",
    "Say it again, at length.": "Yes, it is warm, and red kites fly.",
}


def test_answers_that_were_learnt_are_given_and_end_by_themselves() -> None:
    """The end token fills batches up too, and all the same it is learnt."""
    tokenizer = learn_tokenizer([*ANSWERS, *ANSWERS.values()] * 3, size=320)
    tokenizer.pad_token = tokenizer.eos_token
    template = chat_template(tokenizer, model="m")
    asked = [[{"role": "user", "content": question}] for question in ANSWERS]
    talks = [
        [*turns, {"role": "assistant", "content": each}] for turns, each in zip(asked, ANSWERS.values(), strict=True)
    ]
    found = chats(template, tokenizer, talks, max_length=64)
    stops = stop_ids(tokenizer, template)
    check_stop(found, stops)
    torch.manual_seed(0)
    sizes = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    network = language_from_scratch("llama", "causal", {**sizes, "vocab_size": len(tokenizer)})
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    learnt = Inputs(found.tokens, found.targets_flat, np.zeros(len(found)), by_token=True)
    for _ in range(60):
        loss = NextToken().loss(network, learnt.batch(np.arange(len(learnt))))
        (loss.sum / loss.units).backward()
        optimizer.step()
        optimizer.zero_grad()
    for turns, answer in zip(asked, ANSWERS.values(), strict=True):
        prompt = tokenizer(template.render(turns, ask=True).text, return_tensors="pt")["input_ids"]
        given = network.model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=40,
            do_sample=False,
            eos_token_id=list(stops),
            pad_token_id=tokenizer.pad_token_id,
        )[0, prompt.shape[1] :]
        assert tokenizer.decode(given) == answer + template.stop
