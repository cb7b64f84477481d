"""MiniLM on banking77 by the HF Trainer, its own environment; one JSON line on standard output.

    python encoder_hf.py MODEL_FOLDER TRAIN.csv TEST.csv --mode default|bf16|grouped --seed 0 --epochs 3 [--steps 60]

With --steps only the rate is measured. Otherwise accuracy on the test file is taken at the end, when the clock has
stopped.
"""

from __future__ import annotations

import argparse
import csv
import json
import time

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("train")
parser.add_argument("test")
parser.add_argument("--mode", choices=["default", "bf16", "grouped"], default="default")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=float, default=3.0)
parser.add_argument("--steps", type=int, default=-1)
asked = parser.parse_args()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from datasets import Dataset  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)


def rows(path: str) -> tuple[list[str], list[str]]:
    with open(path, encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    return [row["text"] for row in found], [row["category"] for row in found]


(train_texts, train_labels), (test_texts, test_labels) = rows(asked.train), rows(asked.test)
classes = sorted(set(train_labels))
began, paused = time.perf_counter(), 0.0
torch.manual_seed(asked.seed)
tokenizer = AutoTokenizer.from_pretrained(asked.folder)
model = AutoModelForSequenceClassification.from_pretrained(asked.folder, num_labels=len(classes))


def tokenized(texts: list[str], labels: list[str]) -> Dataset:
    found = tokenizer(texts, truncation=True, max_length=256)
    return Dataset.from_dict({**found, "labels": [classes.index(each) for each in labels]})


train = tokenized(train_texts, train_labels)
test = tokenizer(test_texts, truncation=True, max_length=256)["input_ids"]
truth = np.array([classes.index(each) for each in test_labels])
order = np.argsort([len(ids) for ids in test], kind="stable")
curve: list[dict[str, float]] = []


def accuracy() -> float:
    """Of the model as it stands, in batches by length."""
    model.eval()
    right = 0
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=asked.mode != "default"):
        for start in range(0, len(order), 128):
            chosen = order[start : start + 128]
            batch = tokenizer.pad({"input_ids": [test[i] for i in chosen]}, return_tensors="pt")
            right += int((model(**batch).logits.argmax(-1).numpy() == truth[chosen]).sum())
    model.train()
    return right / len(truth)


class Watch(TrainerCallback):
    """Notes seconds since the start and the accuracy at the end."""

    def on_step_end(self, args, state, control, **kwargs):
        global paused
        if asked.steps < 0 and state.global_step == state.max_steps:
            stopped = time.perf_counter()
            seconds = stopped - began - paused
            curve.append({"seconds": seconds, "step": state.global_step, "accuracy": accuracy()})
            paused += time.perf_counter() - stopped


modes = {"default": {}, "bf16": {"bf16": True}, "grouped": {"bf16": True, "train_sampling_strategy": "group_by_length"}}
arguments = TrainingArguments(
    output_dir="/tmp/modelwright-peer",
    per_device_train_batch_size=32,
    learning_rate=5e-5,
    num_train_epochs=asked.epochs,
    max_steps=asked.steps,
    seed=asked.seed,
    use_cpu=not torch.cuda.is_available(),
    save_strategy="no",
    report_to="none",
    disable_tqdm=True,
    logging_strategy="no",
    **modes[asked.mode],
)
trainer = Trainer(
    model=model,
    args=arguments,
    train_dataset=train,
    data_collator=DataCollatorWithPadding(tokenizer),
    callbacks=[Watch()],
)
started, before = time.perf_counter(), paused
told = trainer.train()
seconds = time.perf_counter() - started - (paused - before)
examples = told.global_step * 32
print(
    json.dumps(
        {"samples_per_second": examples / seconds, "seconds": time.perf_counter() - began - paused, "curve": curve}
    )
)
