"""A small network that tells images apart, from scratch, in one page: what Modelwright's loop does.

    python examples/images.py TRAIN_FOLDER VALIDATION_FOLDER

A folder has a folder of images for each class. The order of the images is drawn from seed and epoch, so this page and
the house's loop find the same losses (tests/test_examples.py). The house can vary the images; this page does not.
"""

import math
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from transformers import ResNetConfig, ResNetModel

SEED, BATCH_SIZE, EPOCHS, RATE, WARMUP, MAX_GRAD_NORM, WEIGHT_DECAY = 0, 16, 5, 2e-3, 0.06, 1.0, 0.01
SIDE, SMOOTHING = 32, 0.1

# 1. The data: squares of red, green and blue in bytes, labels as numbers.
classes = sorted(folder.name for folder in Path(sys.argv[1]).iterdir())
parts = []
for name in sys.argv[1:]:
    found, labels = [], []
    for path in sorted(Path(name).glob("*/*")):
        with Image.open(path) as image:
            square = ImageOps.pad(image.convert("RGB"), (SIDE, SIDE), Image.Resampling.BILINEAR)
        found.append(np.asarray(square).transpose(2, 0, 1))
        labels.append(classes.index(path.parent.name))
    parts.append((torch.from_numpy(np.stack(found)), torch.tensor(labels)))
(train, train_labels), (validation, validation_labels) = parts
mean = (train / 255).mean((0, 2, 3), keepdim=True)
deviation = (train / 255).std((0, 2, 3), keepdim=True)

# 2. The network: four stages of a ResNet with fresh weights, and a linear layer that gives a score for each class.
torch.manual_seed(SEED)
sizes = {"embedding_size": 32, "hidden_sizes": [32, 64, 128, 256], "depths": [1, 1, 1, 1]}
encoder = ResNetModel(ResNetConfig(num_channels=3, layer_type="basic", **sizes))
head = torch.nn.Linear(encoder.config.hidden_sizes[-1], len(classes))
torch.nn.init.normal_(head.weight, std=0.02)
torch.nn.init.zeros_(head.bias)


def scores(images: torch.Tensor) -> torch.Tensor:
    """The scores of these images: (n, classes)."""
    return head(encoder(pixel_values=(images / 255 - mean) / deviation).pooler_output.flatten(1))


# 3. The optimizer: AdamW; kernels and matrices are pulled towards nought, biases and norms are not.
weights = [*encoder.parameters(), *head.parameters()]
decayed, others = [each for each in weights if each.dim() > 1], [each for each in weights if each.dim() <= 1]
optimizer = torch.optim.AdamW(
    [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}], lr=RATE
)


def batches(epoch: int) -> list[np.ndarray]:
    """The batches of an epoch, in an order drawn from seed and epoch."""
    generator = np.random.Generator(np.random.Philox(key=[SEED, epoch]))
    order = generator.permutation(len(train))
    found = [order[first : first + BATCH_SIZE] for first in range(0, len(order), BATCH_SIZE)]
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
    loss = torch.nn.functional.cross_entropy(scores(train[chosen]), train_labels[chosen], label_smoothing=SMOOTHING)
    optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(weights, MAX_GRAD_NORM)
    optimizer.step()
    print(f"step {step + 1} loss {float(loss.detach()):.6f} norm {float(norm):.4f}")

# 5. The proof: how many of the examples that it never saw it answers rightly.
encoder.eval()
with torch.inference_mode():
    found = torch.cat([scores(validation[i : i + 64]) for i in range(0, len(validation), 64)]).argmax(1)
print(f"accuracy {float((found == validation_labels).float().mean()):.4f}")
