"""A small Llama from scratch on tokens in a file, by the tools that people use; one JSON line on standard output.

    python language_peers.py TOKENS.npz --mode hf|hf_bf16|trl|compiled --seed 0 --steps 60

`compiled` is a lean loop of one's own: torch.compile, bfloat16, fused AdamW, warm-up and cosine. TOKENS.npz holds
`train` and `validation` (int32 streams) and `vocabulary`. Rates leave the first ten steps out, in which is compiled.
"""

from __future__ import annotations

import argparse
import json
import math
import time

parser = argparse.ArgumentParser()
parser.add_argument("tokens")
parser.add_argument("--mode", choices=["hf", "hf_bf16", "trl", "compiled"], default="compiled")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=60)
parser.add_argument("--curve", action="store_true")
asked = parser.parse_args()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM  # noqa: E402

BATCH, CONTEXT, WARM, RATE = 16, 256, 10, 1e-3
held = np.load(asked.tokens)
train, validation, vocabulary = (
    held["train"].astype(np.int64),
    held["validation"].astype(np.int64),
    int(held["vocabulary"]),
)
torch.manual_seed(asked.seed)
model = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=6,
        intermediate_size=1024,
        max_position_embeddings=CONTEXT,
    )
)
blocks = train[: (len(train) - 1) // CONTEXT * CONTEXT].reshape(-1, CONTEXT)
marks: list[float] = []  # when each step ended


def validation_loss() -> float:
    """Nats per token over the whole validation stream, in blocks."""
    model.eval()
    count = (len(validation) - 1) // CONTEXT
    ids = torch.from_numpy(validation[: count * CONTEXT].reshape(count, CONTEXT))
    targets = torch.from_numpy(validation[1 : count * CONTEXT + 1].reshape(count, CONTEXT))
    total = 0.0
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for start in range(0, count, BATCH):
            logits = model(ids[start : start + BATCH]).logits.float()
            target = targets[start : start + BATCH].flatten()
            total += float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), target, reduction="sum"))
    model.train()
    return total / targets.numel()


def compiled() -> list[dict[str, float]]:
    """The lean loop; seconds do not count the time that validation takes."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    quick, curve, began, paused = torch.compile(model), [], time.perf_counter(), 0.0
    generator = np.random.default_rng(asked.seed)
    rise = max(1, asked.steps // 20)
    for step in range(asked.steps):
        rate = RATE * min((step + 1) / rise, 0.5 * (1 + math.cos(math.pi * step / asked.steps)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        starts = generator.integers(0, len(train) - CONTEXT - 1, BATCH)[:, None] + np.arange(CONTEXT)
        ids, targets = torch.from_numpy(train[starts]), torch.from_numpy(train[starts + 1])
        with torch.autocast("cpu", torch.bfloat16):
            logits = quick(ids, use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        marks.append(time.perf_counter())
        if asked.curve and step + 1 == asked.steps:
            curve.append({"seconds": time.perf_counter() - began - paused, "step": step + 1, "loss": validation_loss()})
    return curve


def by_trainer() -> None:
    """HF's Trainer, or TRL's with packing."""
    from datasets import Dataset
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Mark(TrainerCallback):
        """Notes when each step ended."""

        def on_step_end(self, args, state, control, **kwargs):
            marks.append(time.perf_counter())

    options = {
        "output_dir": "/tmp/modelwright-peer",
        "per_device_train_batch_size": BATCH,
        "max_steps": asked.steps,
        "learning_rate": RATE,
        "seed": asked.seed,
        "use_cpu": True,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "logging_strategy": "no",
    }
    rows = [block.tolist() for block in blocks]
    if asked.mode == "trl":
        from tokenizers import Tokenizer, models
        from transformers import PreTrainedTokenizerFast
        from trl import SFTConfig, SFTTrainer

        bare = Tokenizer(models.WordLevel({"<end>": 0}, unk_token="<end>"))
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=bare, eos_token="<end>", pad_token="<end>")
        config = SFTConfig(**options, bf16=True, packing=True, max_length=CONTEXT)
        data = Dataset.from_dict({"input_ids": rows})
        trainer = SFTTrainer(
            model=model, args=config, train_dataset=data, processing_class=tokenizer, callbacks=[Mark()]
        )
    else:
        data = Dataset.from_dict({"input_ids": rows, "labels": rows})
        config = TrainingArguments(**options, bf16=asked.mode == "hf_bf16")
        trainer = Trainer(model=model, args=config, train_dataset=data, callbacks=[Mark()])
    trainer.train()


curve = compiled() if asked.mode == "compiled" else by_trainer() or []
tokens = (len(marks) - WARM) * BATCH * CONTEXT
print(json.dumps({"tokens_per_second": tokens / (marks[-1] - marks[WARM - 1]), "curve": curve}))
