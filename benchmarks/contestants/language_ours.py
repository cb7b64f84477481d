"""A small Llama from scratch by Modelwright's own network, stream, objective and loop; prints what its peers print.

python language_ours.py TOKENS.npz --seed 0 --steps 60 [--curve]
"""

from __future__ import annotations

import argparse
import json
import time

parser = argparse.ArgumentParser()
parser.add_argument("tokens")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=60)
parser.add_argument("--rate", type=float, default=2e-3)
parser.add_argument("--optimizer", choices=["adamw", "muon"], default="muon")
parser.add_argument("--plain", action="store_true", help="without torch.compile")
parser.add_argument("--curve", action="store_true")
asked = parser.parse_args()

import numpy as np  # noqa: E402
import torch  # noqa: E402

from modelwright.models.language import language_from_scratch  # noqa: E402
from modelwright.models.predictors.language_model import LanguageModel, Wording  # noqa: E402
from modelwright.models.text import Tokens  # noqa: E402
from modelwright.records import Column, Schema  # noqa: E402
from modelwright.training.job import Inputs, Job  # noqa: E402
from modelwright.training.loop import Recipe, steps  # noqa: E402
from modelwright.training.memory import pages_kept  # noqa: E402
from modelwright.training.objectives.vocabulary import NextToken  # noqa: E402
from modelwright.training.streams import Stream  # noqa: E402
from modelwright.training.trained import begin  # noqa: E402

BATCH, CONTEXT, WARM = 16, 256, 10
tokens = np.load(asked.tokens)
train, validation = (Stream(tokens[name], CONTEXT) for name in ("train", "validation"))
torch.manual_seed(asked.seed)
sizes = {
    "vocab_size": int(tokens["vocabulary"]),
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "intermediate_size": 1024,
    "max_position_embeddings": CONTEXT,
}
network = language_from_scratch("llama", "causal", sizes)
objective = NextToken()
settings = {
    "batch_size": BATCH,
    "seed": asked.seed,
    "rank": 0,
    "checkpointing": 0,
    "micro_batches": 1,
    "optimizer": asked.optimizer,
    "compile": not asked.plain,
}
schema = Schema("language-modeling", "text", (Column("text", "text"),), "bytes")
nothing = Inputs(Tokens(np.zeros(0), np.zeros(1), 0), np.zeros(0), np.zeros(0), by_token=True)  # judged below instead
predictor = LanguageModel(schema, network, Wording(CONTEXT), None)
held = begin(Job(predictor, train, nothing, nothing, objective, settings, "llama"))


def validation_loss() -> float:
    """Nats per token over the whole validation stream, in blocks."""
    network.eval()
    starts = np.arange((len(validation.flat) - 1) // CONTEXT) * CONTEXT
    total, units = 0.0, 0
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for first in range(0, len(starts), BATCH):
            found = objective.loss(network, validation.batch(starts[first : first + BATCH]))
            total, units = total + float(found.sum), units + found.units
    network.train()
    return total / units


optimizer = held.optimizer(learning_rate=asked.rate)
recipe = Recipe(steps=asked.steps, warmup=0.05, precision="bf16", seed=asked.seed)


marks: list[float] = []
curve: list[dict[str, float]] = []
began, paused = time.perf_counter(), 0.0
with pages_kept():
    for step in steps(network, objective, optimizer, recipe, order=held.job.order, fetch=held.job.fetch):
        marks.append(time.perf_counter())
        if asked.curve and (step.number % max(1, asked.steps // 20) == 0 or step.number == asked.steps):
            stopped = time.perf_counter()
            curve.append({"seconds": stopped - began - paused, "step": step.number, "loss": validation_loss()})
            paused += time.perf_counter() - stopped
            marks[-1] = time.perf_counter()
learnt = (len(marks) - WARM) * BATCH * CONTEXT
print(json.dumps({"tokens_per_second": learnt / (marks[-1] - marks[WARM - 1]), "curve": curve}))
