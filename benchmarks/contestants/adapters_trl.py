"""LoRA beside a Llama on instruction rows of mixed length, by TRL; one JSON line on standard output.

    python adapters_trl.py MODEL ROWS.npz --mode default|lean --steps 30

`lean` turns off TRL's recomputing of activations, which it does by default. MODEL is a folder in hub layout; ROWS.npz
holds `flat` and `starts` (the tokens of all rows) and `prompts` (how many tokens of each row carry no loss).
"""

from __future__ import annotations

import argparse
import json
import resource
import time

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("rows")
parser.add_argument("--mode", choices=["default", "kept"], default="default")
parser.add_argument("--steps", type=int, default=30)
asked = parser.parse_args()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from datasets import Dataset  # noqa: E402
from peft import LoraConfig  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback  # noqa: E402
from trl import SFTConfig, SFTTrainer  # noqa: E402

BATCH, LENGTH, WARM = 8, 512, 3
held = np.load(asked.rows)
flat, starts, prompts = held["flat"], held["starts"], held["prompts"]
ids = [flat[starts[i] : starts[i + 1]].tolist() for i in range(len(prompts))]
masks = [[0] * int(p) + [1] * (len(row) - int(p)) for row, p in zip(ids, prompts, strict=True)]
marks: list[float] = []
tokens: list[int] = []


class Mark(TrainerCallback):
    """Notes when each step ended."""

    def on_step_end(self, args, state, control, **kwargs):
        marks.append(time.perf_counter())


class Counting(SFTTrainer):
    """Counts the real tokens of each batch."""

    def training_step(self, model, inputs, *rest):
        tokens.append(int(inputs["attention_mask"].sum()))
        return super().training_step(model, inputs, *rest)


torch.manual_seed(0)
model = AutoModelForCausalLM.from_pretrained(asked.model, dtype=torch.float32)
first = []  # the loss of fixed rows before any step, in the trainer's own precision
with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
    for position in range(4):
        row = torch.tensor([ids[position]])
        labels = row.clone()
        labels[:, : int(prompts[position])] = -100
        first.append(float(model(row, labels=labels).loss))
trainer = Counting(
    model=model,
    args=SFTConfig(
        output_dir="/tmp/modelwright-peer",
        per_device_train_batch_size=BATCH,
        max_steps=asked.steps,
        learning_rate=2e-4,
        bf16=True,
        use_cpu=True,
        max_length=LENGTH,
        completion_only_loss=True,
        gradient_checkpointing=asked.mode == "default",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_strategy="no",
    ),
    train_dataset=Dataset.from_dict({"input_ids": ids, "completion_mask": masks}),
    processing_class=AutoTokenizer.from_pretrained(asked.model),
    peft_config=LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"),
    callbacks=[Mark()],
)
trainer.train()
rate = sum(tokens[WARM:]) / (marks[-1] - marks[WARM - 1])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"tokens_per_second": rate, "peak_bytes": peak, "first_losses": first}))
