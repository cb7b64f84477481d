"""Fine-tuning an encoder to find spans in texts, in one page and with no abstraction: what Modelwright's loop does.

    python examples/tagging.py MODEL_FOLDER TRAIN.jsonl VALIDATION.jsonl

A line is {"text": "…", "spans": [{"start": 0, "end": 4, "label": "…"}]}, in characters. The folder is in transformers'
layout. The order of the texts is drawn from seed and epoch, so this page and the house's loop find the same losses
(tests/test_examples.py). Long texts are cut here; the house reads on in further windows.
"""

import math
import re
import sys

import numpy as np
import polars as pl
import torch
from transformers import AutoModel, AutoTokenizer

SEED, BATCH_SIZE, EPOCHS, RATE, WARMUP, MAX_GRAD_NORM, WEIGHT_DECAY = 0, 16, 3, 1e-3, 0.06, 1.0, 0.01
LENGTH, NO_LOSS = 64, -100

# 1. The data: a tag for each word; 0 is outside, 2c + 1 begins a span of class c and 2c + 2 goes on with one.
folder, *files = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
train, validation = (pl.read_ndjson(name).to_dicts() for name in files)
classes = sorted({span["label"] for row in train + validation for span in row["spans"]})
for row in train + validation:
    read = tokenizer(row["text"], truncation=True, max_length=LENGTH, return_offsets_mapping=True)
    row["ids"], row["targets"] = read["input_ids"], [NO_LOSS] * len(read["input_ids"])
    row["words"] = [word.span() for word in re.finditer(r"\w+|[^\w\s]", row["text"])]
    tags = [0] * len(row["words"])
    for span in row["spans"]:
        inside = [w for w, (start, end) in enumerate(row["words"]) if start < span["end"] and span["start"] < end]
        for w in inside:
            tags[w] = 2 * classes.index(span["label"]) + (1 if w == inside[0] else 2)
    row["places"] = []  # of each word the token that carries its tag: the one in which it begins
    for tag, (word, _) in zip(tags, row["words"], strict=True):
        place = next((t for t, (start, end) in enumerate(read["offset_mapping"]) if start <= word < end), None)
        row["places"].append(place)
        if place is not None and row["targets"][place] == NO_LOSS:  # of words that share a token the first counts
            row["targets"][place] = tag

# 2. The network: an encoder, and a linear layer that gives each of its tokens a score for each tag.
torch.manual_seed(SEED)
encoder = AutoModel.from_pretrained(folder, dtype=torch.float32)
for each in encoder.modules():
    if isinstance(each, torch.nn.Dropout):
        each.p = 0.0  # the house drops activations by a generator of its own; this page drops none
head = torch.nn.Linear(encoder.config.hidden_size, 1 + 2 * len(classes))
torch.nn.init.normal_(head.weight, std=0.02)
torch.nn.init.zeros_(head.bias)


def scores(rows: list[dict]) -> torch.Tensor:
    """The scores of these texts' tokens, padded to the longest of them: (n, tokens, tags)."""
    longest = max(len(row["ids"]) for row in rows)
    padded = torch.tensor([row["ids"] + [tokenizer.pad_token_id] * (longest - len(row["ids"])) for row in rows])
    mask = torch.tensor([[1] * len(row["ids"]) + [0] * (longest - len(row["ids"])) for row in rows])
    return head(encoder(input_ids=padded, attention_mask=mask).last_hidden_state)


# 3. The optimizer: AdamW; matrices are pulled towards nought, vectors and embeddings are not.
weights = [*encoder.parameters(), *head.parameters()]
tables = {id(each.weight) for each in encoder.modules() if isinstance(each, torch.nn.Embedding)}
decayed = [each for each in weights if each.dim() > 1 and id(each) not in tables]
others = [each for each in weights if each.dim() <= 1 or id(each) in tables]
optimizer = torch.optim.AdamW(
    [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}], lr=RATE
)


def batches(epoch: int) -> list[np.ndarray]:
    """The batches of an epoch: alike in length within fifty batches, in an order drawn from seed and epoch."""
    generator = np.random.Generator(np.random.Philox(key=[SEED, epoch]))
    order, pool = generator.permutation(len(train)), 50 * BATCH_SIZE
    lengths = np.array([len(row["ids"]) for row in train])
    found = []
    for start in range(0, len(order), pool):
        members = order[start : start + pool]
        members = members[np.argsort(lengths[members], kind="stable")]
        found += [members[first : first + BATCH_SIZE] for first in range(0, len(members), BATCH_SIZE)]
    return [found[place] for place in generator.permutation(len(found))]


# 4. The loop: a batch in, its loss, its gradient, a step down; the rate rises a little, then falls to nought.
per_epoch = len(batches(0))
total = EPOCHS * per_epoch
rise = max(1.0, WARMUP * total)
for step in range(total):
    chosen = batches(step // per_epoch)[step % per_epoch]
    cosine = 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, total - rise)))
    for group in optimizer.param_groups:
        group["lr"] = RATE * ((step + 1) / (rise + 1) if step < rise else cosine)
    rows = [train[i] for i in chosen]
    found = torch.cat([each[: len(row["ids"])] for each, row in zip(scores(rows), rows, strict=True)])
    targets = torch.tensor([target for row in rows for target in row["targets"]])
    loss = torch.nn.functional.cross_entropy(found, targets, ignore_index=NO_LOSS)
    optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(weights, MAX_GRAD_NORM)
    optimizer.step()
    print(f"step {step + 1} loss {float(loss.detach()):.6f} norm {float(norm):.4f}")

# 5. The proof: F1 of the spans that it finds in texts that it never saw, each right in both its ends and its class.
encoder.eval()
right = said = true = 0
for row in validation:
    with torch.inference_mode():
        tags = scores([row])[0].argmax(1).tolist()
    spans, before = [], 0
    for place, (start, end) in zip(row["places"], row["words"], strict=True):
        tag = 0 if place is None else tags[place]
        if tag and tag % 2 == 0 and before in (tag - 1, tag):
            spans[-1] = (spans[-1][0], end, spans[-1][2])
        elif tag:  # also one that would go on with nothing: the house rules such out
            spans.append((start, end, classes[(tag - 1) // 2]))
        before = tag
    truth = {(span["start"], span["end"], span["label"]) for span in row["spans"]}
    right, said, true = right + len(truth & set(spans)), said + len(spans), true + len(truth)
print(f"entity F1 {2 * right / max(1, said + true):.4f}")
