"""Fine-tuning an encoder to read a number off a text, in one page with no abstraction: what Modelwright's loop does.

    python examples/regression.py MODEL_FOLDER TRAIN.csv VALIDATION.csv

The files have the columns `text` and `label`, a number. The folder is in transformers' layout. The order of
the texts is drawn from seed and epoch, so this page and the house's loop find the same losses (tests/test_examples.py).
"""

import csv
import math
import sys

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

SEED, BATCH_SIZE, EPOCHS, RATE, WARMUP, MAX_GRAD_NORM, WEIGHT_DECAY = 0, 16, 3, 1e-3, 0.06, 1.0, 0.01

# 1. The data: texts as token ids; numbers less their mean over their deviation, both of the training part.
folder, *files = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
parts = []
for name in files:
    with open(name, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    ids = tokenizer([row["text"] for row in rows], truncation=True, max_length=64)["input_ids"]
    parts.append((ids, torch.tensor([float(row["label"]) for row in rows])))
mean, deviation = parts[0][1].mean(), parts[0][1].std(correction=0)
(train_ids, train_numbers), (validation_ids, validation_numbers) = (
    (ids, (numbers - mean) / deviation) for ids, numbers in parts
)

# 2. The network: the mean over an encoder's tokens, and a linear layer that gives a number.
torch.manual_seed(SEED)
encoder = AutoModel.from_pretrained(folder, dtype=torch.float32)
for each in encoder.modules():
    if isinstance(each, torch.nn.Dropout):
        each.p = 0.0  # the house drops activations by a generator of its own; this page drops none
head = torch.nn.Linear(encoder.config.hidden_size, 1)
torch.nn.init.normal_(head.weight, std=0.02)
torch.nn.init.zeros_(head.bias)


def foretold(ids: list[list[int]]) -> torch.Tensor:
    """The numbers of these examples, padded to the longest of them: (n,)."""
    longest = max(map(len, ids))
    padded = torch.tensor([each + [tokenizer.pad_token_id] * (longest - len(each)) for each in ids])
    mask = torch.tensor([[1] * len(each) + [0] * (longest - len(each)) for each in ids])
    states = encoder(input_ids=padded, attention_mask=mask).last_hidden_state
    pooled = (states * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
    return head(pooled)[:, 0]


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
    order, pool = generator.permutation(len(train_ids)), 50 * BATCH_SIZE
    lengths = np.array([len(ids) for ids in train_ids])
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
    loss = 0.5 * torch.nn.functional.mse_loss(foretold([train_ids[i] for i in chosen]), train_numbers[chosen])
    optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(weights, MAX_GRAD_NORM)
    optimizer.step()
    print(f"step {step + 1} loss {float(loss.detach()):.6f} norm {float(norm):.4f}")

# 5. The proof: how much of the spread it explains in examples that it never saw; 0 is knowing their mean, 1 is perfect.
encoder.eval()
with torch.inference_mode():
    found = torch.cat([foretold(validation_ids[i : i + 64]) for i in range(0, len(validation_ids), 64)])
left = float(((found - validation_numbers) ** 2).mean() / validation_numbers.var(correction=0))
print(f"R2 {1 - left:.4f}")
