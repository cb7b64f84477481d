"""An encoder that goes on learning from one's own texts, in one page with no abstraction: what Modelwright's loop does.

    python examples/masked_language_model.py MODEL_FOLDER TRAIN.txt VALIDATION.txt

A line is a text. The folder is in transformers' layout; where it has no layer that guesses words, a fresh one is put on
top. The order of the texts, and what of them is hidden in which epoch, is drawn from the seed, so this page and the
house's loop find the same losses (tests/test_examples.py). Long texts are cut here; the house reads on in further rows.
"""

import math
import sys

import numpy as np
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

SEED, BATCH_SIZE, EPOCHS, RATE, WARMUP, MAX_GRAD_NORM, WEIGHT_DECAY = 0, 16, 12, 2e-3, 0.06, 1.0, 0.01
LENGTH, SHARE, MASKED, OTHER, NO_LOSS = 64, 0.15, 0.8, 0.1, -100

# 1. The data: texts as tokens with special ones around them; only ordinary tokens are hidden.
folder, *files = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
parts = []
for name in files:
    with open(name, encoding="utf-8") as file:
        read = tokenizer(file.read().splitlines(), truncation=True, max_length=LENGTH)["input_ids"]
    parts.append([np.array(ids) for ids in read])
train, validation = parts
ordinary = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)


def hidden(ids: np.ndarray, position: int) -> tuple[np.ndarray, np.ndarray]:
    """The tokens with 15% of them chosen, and the targets: what was there. Of ten chosen ones eight are masked, one is
    another token and one stays, because no text to come has masks (Devlin et al. 2019, section 3.1).
    """
    generator = np.random.Generator(np.random.Philox(key=[SEED, position]))
    free = np.flatnonzero(np.isin(ids, ordinary))
    chosen = generator.permutation(free)[: max(1, round(SHARE * len(free)))]
    drawn, others = generator.random(len(chosen)), generator.choice(ordinary, len(chosen))
    put = np.where(drawn < MASKED, tokenizer.mask_token_id, np.where(drawn < MASKED + OTHER, others, ids[chosen]))
    given, targets = ids.copy(), np.full(len(ids), NO_LOSS)
    given[chosen], targets[chosen] = put, ids[chosen]
    return given, targets


# 2. The network: an encoder, and a layer that gives each place a score for each token of the vocabulary.
torch.manual_seed(SEED)
network = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32)
network.train()  # a model comes ready to answer
for each in network.modules():
    if isinstance(each, torch.nn.Dropout):
        each.p = 0.0  # the house drops activations by a generator of its own; this page drops none


def guessed(rows: list[np.ndarray], positions: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """The scores at the chosen places of these texts, and what was there."""
    pairs = [hidden(ids, position) for ids, position in zip(rows, positions, strict=True)]
    longest = max(len(ids) for ids in rows)
    padded = np.array(
        [np.pad(ids, (0, longest - len(ids)), constant_values=tokenizer.pad_token_id) for ids, _ in pairs]
    )
    targets = np.array([np.pad(each, (0, longest - len(each)), constant_values=NO_LOSS) for _, each in pairs])
    mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in rows])
    logits = network(input_ids=torch.from_numpy(padded), attention_mask=mask).logits
    chosen = torch.from_numpy(targets) != NO_LOSS
    return logits[chosen], torch.from_numpy(targets)[chosen]


# 3. The optimizer: AdamW; matrices are pulled towards nought, vectors and embeddings are not.
weights = list(network.parameters())
tables = {id(each.weight) for each in network.modules() if isinstance(each, torch.nn.Embedding)}
decayed = [each for each in weights if each.dim() > 1 and id(each) not in tables]
others = [each for each in weights if each.dim() <= 1 or id(each) in tables]
optimizer = torch.optim.AdamW(
    [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}], lr=RATE
)


def batches(epoch: int) -> list[np.ndarray]:
    """The batches of an epoch: alike in length within fifty batches, in an order drawn from seed and epoch."""
    generator = np.random.Generator(np.random.Philox(key=[SEED, epoch]))
    order, pool = generator.permutation(len(train)), 50 * BATCH_SIZE
    lengths = np.array([len(ids) for ids in train])
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
    epoch = step // per_epoch
    chosen = batches(epoch)[step % per_epoch]
    cosine = 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, total - rise)))
    for group in optimizer.param_groups:
        group["lr"] = RATE * ((step + 1) / (rise + 1) if step < rise else cosine)
    scores, true = guessed([train[i] for i in chosen], [i + len(train) * epoch for i in chosen])
    loss = torch.nn.functional.cross_entropy(scores, true)
    optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(weights, MAX_GRAD_NORM)
    optimizer.step()
    print(f"step {step + 1} loss {float(loss.detach()):.6f} norm {float(norm):.4f}")

# 5. The proof: how many of the chosen tokens it guesses in texts that it never saw.
network.eval()
with torch.inference_mode():
    scores, true = guessed(validation, list(range(len(validation))))
print(f"guessed rightly {float((scores.argmax(1) == true).float().mean()):.4f}")
