"""A small language model from scratch, in one page and with no abstraction: what Modelwright's loop does.

    python examples/language_model.py TRAIN.txt VALIDATION.txt

The vocabulary is learnt from the first file, and so is the Llama that goes on with its text. Where blocks begin, and
their order, is drawn from seed and epoch, so this page and the house's loop find the same losses
(tests/test_examples.py). The house takes products in bfloat16 where the machine is quick at it; this page never does.
"""

import math
import sys

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

SEED, BATCH_SIZE, EPOCHS, RATE, WARMUP, MAX_GRAD_NORM, WEIGHT_DECAY = 0, 8, 8, 2e-3, 0.06, 1.0, 0.1
VOCABULARY, LENGTH = 512, 64  # pieces that are learnt, at most; tokens that are read at once
END = "<|end|>"

# 1. The data: pieces that stand together often become one token (byte-pair encoding); a text is a stream of them.
texts = []
for name in sys.argv[1:]:
    with open(name, encoding="utf-8") as file:
        texts.append(file.read())
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
alphabet = pre_tokenizers.ByteLevel.alphabet()  # every byte is a token from the start: no text is unknown
trainer = trainers.BpeTrainer(
    vocab_size=VOCABULARY,
    min_frequency=2,
    special_tokens=[END, "<|pad|>"],
    initial_alphabet=alphabet,
    show_progress=False,
)
tokenizer.train_from_iterator(texts[:1], trainer)
end = tokenizer.token_to_id(END)
train, validation = (np.array([*tokenizer.encode(text).ids, end]) for text in texts)

# 2. The network: two layers of a Llama with fresh weights; one table is both embedding and vocabulary.
torch.manual_seed(SEED)
config = LlamaConfig(
    hidden_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=352,
    tie_word_embeddings=True,
    vocab_size=tokenizer.get_vocab_size(),
    max_position_embeddings=LENGTH,
    bos_token_id=end,
    eos_token_id=end,
    pad_token_id=tokenizer.token_to_id("<|pad|>"),
)
network = LlamaForCausalLM(config)


def loss_of(stream: np.ndarray, starts: np.ndarray) -> torch.Tensor:
    """The mean cross-entropy of each next token in the blocks of the stream that start there."""
    places = starts[:, None] + np.arange(LENGTH)
    logits = network(input_ids=torch.from_numpy(stream[places]), use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.from_numpy(stream[places + 1]).flatten())


# 3. The optimizers: Muon makes all singular values of a matrix's momentum 1; AdamW moves the table and the vectors.
weights = list(network.parameters())
table = network.get_input_embeddings().weight
matrices = [each for each in weights if each.dim() == 2 and each is not table]
others = [each for each in weights if each.dim() != 2 or each is table]
optimizers = [
    torch.optim.Muon(matrices, weight_decay=WEIGHT_DECAY, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
    torch.optim.AdamW(others, betas=(0.9, 0.95), weight_decay=0.0),
]


def batches(epoch: int) -> list[np.ndarray]:
    """Where the blocks of each batch start: one after another from an offset, in an order, both drawn."""
    generator = np.random.Generator(np.random.Philox(key=[SEED, epoch]))
    blocks = (len(train) - 1) // LENGTH - 1
    room = len(train) - 1 - blocks * LENGTH
    starts = generator.integers(0, min(LENGTH, room) + 1) + LENGTH * generator.permutation(blocks)
    return [starts[at : at + BATCH_SIZE] for at in range(0, blocks - BATCH_SIZE + 1, BATCH_SIZE)]


# 4. The loop: a batch in, its loss, its gradient, a step down; the rate rises a little, then falls to nought.
per_epoch = len(batches(0))
total = EPOCHS * per_epoch
rise = max(1.0, WARMUP * total)
for step in range(total):
    loss = loss_of(train, batches(step // per_epoch)[step % per_epoch])
    network.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(weights, MAX_GRAD_NORM)
    cosine = 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, total - rise)))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = RATE * ((step + 1) / (rise + 1) if step < rise else cosine)
        optimizer.step()
    print(f"step {step + 1} loss {float(loss.detach()):.6f} norm {float(norm):.4f}")

# 5. The proof: how many bits a byte of the text takes that it never saw, and how it goes on with it.
network.eval()
starts = np.arange(0, len(validation) - LENGTH, LENGTH)
with torch.inference_mode():
    nats = sum(LENGTH * float(loss_of(validation, starts[at : at + 1])) for at in range(len(starts)))
read = validation[1 : len(starts) * LENGTH + 1]  # the first token has nothing before it, the last fill no block
print(f"bits per byte {nats / math.log(2) / len(tokenizer.decode(read.tolist()).encode()):.4f}")
begin = torch.from_numpy(validation[None, : LENGTH // 4])
said = network.generate(begin, attention_mask=torch.ones_like(begin), do_sample=True, max_length=LENGTH)
print("it goes on:", tokenizer.decode(said[0].tolist()))
