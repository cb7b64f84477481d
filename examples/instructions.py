"""Teaching a language model to answer, by adapters, in one page and with no abstraction: what Modelwright's loop does.

    python examples/instructions.py MODEL_FOLDER TRAIN.csv VALIDATION.csv

The files have the columns `prompt` and `answer`. The folder is in transformers' layout; the chat template of its
tokenizer closes an answer with the end token, and a model without one is taught in questions, `Q: … A:`. The order of
the examples is drawn from seed and epoch, so this page and the house's loop find the same losses
(tests/test_examples.py). What is too long is left out here; the house shortens the prompt first.
"""

import csv
import math
import sys

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

SEED, BATCH_SIZE, EPOCHS, RATE, WARMUP, MAX_GRAD_NORM, WEIGHT_DECAY = 0, 16, 3, 2e-3, 0.06, 1.0, 0.01
LENGTH, NEW, RANK, ALPHA, NO_LOSS = 128, 32, 16, 32, -100  # NEW: tokens of an answer, at most

PLAIN = """\
{%- for message in messages -%}
{{- {'user': 'Q: ', 'assistant': 'A: '}[message.role] + message.content | trim -}}
{{- '\\n' if message.role == 'user' else eos_token + '\\n\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- 'A:' -}}{%- endif -%}
"""

# 1. The data: conversations as the model's own template writes them. Only answers carry loss, each with its end token.
folder, *files = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
if not tokenizer.chat_template:
    starts = tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
    tokenizer.chat_template = ("{{- bos_token -}}" if starts else "") + PLAIN
examples = []
for name in files:
    with open(name, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = []
    for row in rows:
        turns = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["answer"]}]
        prompt = tokenizer.apply_chat_template(turns[:1], add_generation_prompt=True, return_dict=False)
        ids = tokenizer.apply_chat_template(turns, return_dict=False)
        assert ids[: len(prompt)] == prompt, "what it sees when it is asked must be what it saw when it learnt"
        end = ids.index(tokenizer.eos_token_id, len(prompt)) + 1
        targets = [NO_LOSS] * (len(prompt) - 1) + ids[len(prompt) : end] + [NO_LOSS] * (len(ids) - end + 1)
        found += [(prompt, row["answer"], ids, targets)] if len(ids) <= LENGTH else []
    examples.append(found)
train, validation = examples

# 2. The network: the weights stay as they are, and a product of two thin matrices is learnt beside each linear layer.
torch.manual_seed(SEED)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
adapters = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear")  # the house drops some of what goes in
network = get_peft_model(model, adapters)


def loss_of(chosen: np.ndarray) -> torch.Tensor:
    """The mean cross-entropy of the answers' tokens in these examples, padded to the longest of them."""
    longest = max(len(train[i][2]) for i in chosen)
    padded, mask, targets = [], [], []
    for _, _, ids, targets_of in (train[i] for i in chosen):
        rest = longest - len(ids)
        padded.append(ids + [tokenizer.pad_token_id] * rest)
        mask.append([1] * len(ids) + [0] * rest)
        targets.append(targets_of + [NO_LOSS] * rest)
    logits = network(input_ids=torch.tensor(padded), attention_mask=torch.tensor(mask), use_cache=False).logits
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.tensor(targets).flatten(), ignore_index=NO_LOSS
    )


# 3. The optimizer: AdamW over the adapters; all other weights are frozen and need neither gradients nor moments.
weights = [each for each in network.parameters() if each.requires_grad]
optimizer = torch.optim.AdamW(weights, lr=RATE, weight_decay=WEIGHT_DECAY)


def batches(epoch: int) -> list[np.ndarray]:
    """The batches of an epoch: alike in length within fifty batches, in an order drawn from seed and epoch."""
    generator = np.random.Generator(np.random.Philox(key=[SEED, epoch]))
    order, pool = generator.permutation(len(train)), 50 * BATCH_SIZE
    lengths = np.array([len(ids) for _, _, ids, _ in train])
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
    loss = loss_of(chosen)
    optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(weights, MAX_GRAD_NORM)
    optimizer.step()
    print(f"step {step + 1} loss {float(loss.detach()):.6f} norm {float(norm):.4f}")

# 5. The proof: how many of the prompts that it never saw it answers to the letter.
network.eval()
right = 0
for start in range(0, len(validation), 64):
    part = validation[start : start + 64]
    asked = tokenizer.pad({"input_ids": [prompt for prompt, *_ in part]}, return_tensors="pt")
    said = network.generate(**asked, do_sample=False, max_new_tokens=NEW)[:, asked["input_ids"].shape[1] :]
    answers = tokenizer.batch_decode(said, skip_special_tokens=True)
    right += sum(answer.strip() == row[1] for answer, row in zip(answers, part, strict=True))
print(f"answered to the letter {right / len(validation):.4f}")
