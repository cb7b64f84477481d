"""LoRA and QLoRA beside a Llama on instruction rows by Modelwright's own job, loop and objective; one JSON line.

python adapters_ours.py MODEL ROWS.npz --method lora|qlora --steps 30
"""

from __future__ import annotations

import argparse
import json
import resource
import time
import warnings
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("rows")
parser.add_argument("--method", choices=["lora", "qlora"], default="lora")
parser.add_argument("--steps", type=int, default=30)
parser.add_argument(
    "--recompute", type=int, default=0, help="blocks whose forward pass is repeated in the backward pass"
)
parser.add_argument("--fixed", action="store_true", help="rows in the order of the file: for comparing losses")
asked = parser.parse_args()
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import torch  # noqa: E402

from modelwright.models import adapters  # noqa: E402
from modelwright.models.language import language_in  # noqa: E402
from modelwright.models.predictors.language_model import LanguageModel, Wording  # noqa: E402
from modelwright.models.text import Tokens, tokenizer_from  # noqa: E402
from modelwright.records import Column, Schema  # noqa: E402
from modelwright.training.job import Inputs, Job  # noqa: E402
from modelwright.training.loop import Recipe, steps  # noqa: E402
from modelwright.training.memory import pages_kept  # noqa: E402
from modelwright.training.objectives import IGNORED, OBJECTIVES  # noqa: E402
from modelwright.training.trained import begin  # noqa: E402

BATCH, WARM = 8, 3
adapters.DROPOUT = 0.0  # as the peer is told
held = np.load(asked.rows)
flat, starts, prompts = held["flat"], held["starts"], held["prompts"]
folder = Path(asked.model)
tokenizer = tokenizer_from(folder)
tokens = Tokens(flat, starts, int(tokenizer.pad_token_id))
targets = np.append(flat[1:], IGNORED).astype(np.int32)
for i, prompt in enumerate(prompts):
    targets[starts[i] : starts[i] + prompt - 1] = IGNORED
    targets[starts[i + 1] - 1] = IGNORED
inputs = Inputs(tokens, targets, np.zeros(len(prompts)), by_token=True)
torch.manual_seed(0)
network = language_in(folder, "causal")
schema = Schema("generation", "text", (Column("prompt", "text"),), "answer")
settings = {
    "rank": 16,
    "alpha": 32,
    "quantised": asked.method == "qlora",
    "precision": "bf16",
    "batch_size": BATCH,
    "checkpointing": asked.recompute,
}
job = Job(
    predictor=LanguageModel(schema, network, Wording(512), tokenizer),
    train=inputs,
    watched=inputs,
    validation=inputs,
    objective=OBJECTIVES["causal"](),
    settings={**settings, "seed": 0},
    base=folder,
)
held_job = begin(job)
job = held_job.job
first = []
with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
    for position in range(4):
        loss = job.objective.loss(job.network, job.fetch(np.array([position])))
        first.append(float(loss.sum) / loss.units)
lengths, marks, counts, losses = np.diff(starts), [], [], []
batches = [np.arange(i, i + BATCH) for i in range(0, len(prompts) - BATCH, BATCH)]
order = (lambda epoch: batches) if asked.fixed else job.order


def fetch(positions: np.ndarray):
    """The batch, its tokens counted."""
    counts.append(int(lengths[positions].sum()))
    return job.fetch(positions)


recipe = Recipe(steps=asked.steps, warmup=0.05, precision="bf16")
optimizer = held_job.optimizer(learning_rate=2e-4)
with pages_kept():
    for step in steps(job.network, job.objective, optimizer, recipe, order=order, fetch=fetch):
        marks.append(time.perf_counter())
        losses.append(step.loss)
rate = sum(counts[WARM:]) / (marks[-1] - marks[WARM - 1])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
frozen = [each for each in job.network.parameters() if not each.requires_grad] + list(job.network.buffers())
for each in list(frozen):  # four bits come with their scales
    if asked.method == "qlora" and getattr(each, "quant_state", None) is not None:
        frozen += [each.quant_state.absmax, each.quant_state.state2.absmax]
stores = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in frozen}  # tied ones count once
weights = sum(stores.values())
step_seconds = (marks[-1] - marks[WARM - 1]) / (len(marks) - WARM)
found = {"tokens_per_second": rate, "peak_bytes": peak, "first_losses": first, "losses": losses}
print(json.dumps({**found, "frozen_bytes": weights, "step_seconds": step_seconds}))
