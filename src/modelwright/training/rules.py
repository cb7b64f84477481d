"""The rules that resolve what the user left to us; every value says which rule, or who, it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelwright.errors import RefusedError
from modelwright.models.precision import device
from modelwright.problem import Problem
from modelwright.records import LANGUAGE_TASKS, Schema, Setting
from modelwright.training.activations import checkpointing
from modelwright.training.consider import adapter_sizes
from modelwright.training.estimate import Forecast
from modelwright.training.language_rules import fitting_length, fresh_vocabulary, language_sizes, text_bytes

PRETRAINED_SIDE = 224
"""Pixels on a side that image models are pre-trained on, since Krizhevsky et al. 2012, section 4.1."""
MAX_TOKENS = 256
"""Longer texts are cut: on news and reviews the first 256 tokens hold nearly all that a classifier uses, and time
grows faster than length. Chosen, not measured."""
LEAST_EPOCHS = 0.2
"""Training on less than this share of the examples is not worth its name. Chosen."""
OFTEN_BELOW = 2
"""With fewer epochs than that, validation comes twice an epoch. Chosen."""
TAGGING_RATE = 1e-4
"""Chosen: the states of words must move further than a mean that a sentence encoder was trained for."""
LANGUAGE_EPOCHS = {True: 20.0, False: 3.0}
"""From scratch, and not: what is read again is worth nearly as much up to four times and little after sixteen
(Muennighoff et al. 2023, section 6); validation ends it before that where it is so."""
MASKED_EPOCHS = {True: 40.0, False: 10.0}
"""From scratch, and not: a pass asks for 15% of the tokens. Chosen; validation ends it before that where it is so."""
MASKED_RATE = {False: 1e-4, True: 4e-4}
"""Gururangan et al. 2020, table 13; and where the layer that guesses is fresh. Measured: MiniLM on 960 messages of
banking77, four epochs, 1.97 and 1.78 bits a byte."""
SHALLOW, DEEP_RATE = 2, 5e-4
"""Layers of a text encoder from scratch up to which 2e-3 is its rate, and the rate of deeper ones. Measured: on 2,000
texts of banking77 two layers reach .73 at 2e-3 and .55 at 5e-4; six learn which of two words comes first at 5e-4 (1.0)
and nothing at 2e-3 (.46 of two classes)."""
BUDGET_SHARE = 0.8
"""Of the budget, what the epochs may be planned to fill: forecasts are off by up to a tenth, and saving costs."""


def sizes(schema: Schema, train: Any, problem: Problem, base: Path | str, method: str) -> dict[str, Setting]:
    """The settings that must be known before the network is built."""
    if schema.task in LANGUAGE_TASKS:
        return language_sizes(schema, train, problem, base, method)
    asked = problem.training
    image = schema.kind == "image"
    batch_size = Setting(64 if image else 32, "rule: 64 images, 32 texts")
    if asked.batch_size != "auto":
        batch_size = Setting(asked.batch_size, "problem.yaml")
    max_length = Setting(0, "not a text") if image else _max_length(schema, train, base)
    return {
        "batch_size": batch_size,
        "max_length": max_length,
        "checkpointing": checkpointing(base, examples=batch_size.value, tokens=max_length.value),
        "image_size": image_size(schema, train, base) if image else Setting(0, "not an image"),
        "vocabulary": _vocabulary(schema, train, base),
        "smoothing": Setting(0.1 if image and schema.task == "classification" else 0.0, "rule: 0.1 for images"),
        "vary": Setting(image, "rule: images are varied, texts are not"),
        "seed": Setting(problem.seed, "problem.yaml"),
        "max_grad_norm": Setting(asked.max_grad_norm, "problem.yaml"),
        **adapter_sizes(method),
    }


def has_budget(problem: Problem) -> bool:
    """Whether the user said what a run may take or cost."""
    return problem.training.budget_minutes is not None or problem.training.budget_dollars is not None


def _max_length(schema: Schema, train: Any, base: Path | str) -> Setting:
    from modelwright.models.text import longest_tokens

    if isinstance(base, str):
        return fitting_length(text_bytes(schema, train), most=MAX_TOKENS)
    limit = longest_tokens(base)
    return Setting(min(limit, MAX_TOKENS), f"rule: {MAX_TOKENS} tokens, and the model reads {limit} at most")


def _vocabulary(schema: Schema, train: Any, base: Path | str) -> Setting:
    if schema.kind == "image":
        return Setting(0, "not a text")
    return fresh_vocabulary(text_bytes(schema, train)) if isinstance(base, str) else Setting(0, "the model's own")


def image_size(schema: Schema, train: Any, base: Path | str) -> Setting:
    """The side in pixels at which a network reads these images.

    Raises:
        InputError: the pre-trained one reads images that are not square, or does not say legibly which.
    """
    from modelwright.models.image import side_for
    from modelwright.models.preprocessor import own_side

    if isinstance(base, Path):
        own = own_side(base)
        return Setting(own, "the model's own") if own else Setting(PRETRAINED_SIDE, "rule: what most models were shown")
    most = 64 if device() == "cpu" else 128
    return Setting(side_for(schema, train, most=most), f"the images' own size, at most {most}")


def schedule(forecast: Forecast, problem: Problem, *, scratch: bool, budget_seconds: float) -> dict[str, Setting]:
    """Learning rates, epochs and steps; the epochs fit the budget unless the user named them.

    Raises:
        RefusedError: not even a part of an epoch fits the budget.
    """
    asked, job = problem.training, forecast.job
    count, per_epoch = len(job.train), len(job.order(0))
    schema = job.predictor.schema
    fresh = schema.masked and job.network.fresh
    habits = _habits(schema, job.settings["rank"], count, scratch=scratch, fresh=fresh)
    epochs, rule = habits.epochs
    if asked.epochs != "auto":
        epochs, rule = float(asked.epochs), "problem.yaml"
    else:
        affordable = affordable_epochs(forecast, budget_seconds)
        if affordable < epochs:
            epochs, rule = affordable, "what the budget allows"
    rate, rate_origin = habits.learning_rate
    if scratch and schema.kind == "text" and schema.task not in LANGUAGE_TASKS and _layers(job.network) > SHALLOW:
        rate, rate_origin = DEEP_RATE, f"rule: {DEEP_RATE:g} from scratch with more than {SHALLOW} layers"
    if asked.learning_rate != "auto":
        rate, rate_origin = float(asked.learning_rate), "problem.yaml"
    steps = max(1, math.ceil(epochs * per_epoch))
    return {
        "epochs": Setting(round(epochs, 3), rule),
        "steps": Setting(steps, "epochs x batches"),
        "validate_every": Setting(
            steps_between(epochs, per_epoch), "rule: each epoch, or half of one where there are under two"
        ),
        "patience": Setting(habits.patience, "rule: validations without a better one before stopping"),
        "learning_rate": Setting(rate, rate_origin),
        "warmup": Setting(0.06, "rule"),
        "head": Setting(habits.head, "rule"),
        "budget_seconds": Setting(
            round(budget_seconds), "problem.yaml" if has_budget(problem) else "default for this machine"
        ),
    }


def _layers(network: Any) -> int:
    return int(network.transformer.config.num_hidden_layers)


def steps_between(epochs: float, per_epoch: int) -> int:
    """The steps from one validation to the next.

    Args:
        epochs: Of the whole training.
        per_epoch: Batches of each.
    """
    every = per_epoch if epochs >= OFTEN_BELOW else max(1, per_epoch // 2)
    return min(every, max(1, math.ceil(epochs * per_epoch)))


def usual_rate(schema: Schema, *, rank: int, scratch: bool) -> float:
    """The rule's learning rate; `rank` is that of adapters, 0 without."""
    return _habits(schema, rank, 1, scratch=scratch).learning_rate[0]


@dataclass(frozen=True, slots=True)
class _Habits:
    """How a kind of network is usually trained; each with the rule in words."""

    epochs: tuple[float, str]
    learning_rate: tuple[float, str]
    patience: int
    head: str


def _habits(schema: Schema, rank: int, count: int, *, scratch: bool, fresh: bool = False) -> _Habits:
    task = schema.task
    if schema.masked:
        return _Habits(
            (
                MASKED_EPOCHS[scratch],
                "rule: 40 passes from scratch, 10 for a pre-trained model: each hides other words",
            ),
            (2e-3 if scratch else MASKED_RATE[fresh], "rule: 2e-3 from scratch, 4e-4 under a fresh layer, else 1e-4"),
            3,
            "random",
        )
    if task in LANGUAGE_TASKS:
        return _Habits(
            (LANGUAGE_EPOCHS[scratch], "rule: 20 passes from scratch, 3 for a pre-trained language model"),
            (2e-3 if scratch else 2e-4 if rank else 2e-5, "rule: 2e-3 from scratch, 2e-4 for adapters, else 2e-5"),
            3,
            "random",
        )
    if task == "tagging" and not rank and not scratch:
        seen = min(10.0, max(3.0, 12_000 / count)), "rule: 12,000 texts seen, 3 to 10 epochs"
        rate = TAGGING_RATE, f"rule: {TAGGING_RATE:g} for tags of words"
        return _Habits(seen, rate, 3, "linear fit on frozen features")
    rate_rule = "rule: 2e-3 from scratch, 5e-4 for adapters, 5e-5 for a pre-trained encoder"
    rate = (2e-3 if scratch else 5e-4 if rank else 5e-5), rate_rule
    if scratch:
        seen = min(60.0, max(10.0, 60_000 / count)), "rule: 60,000 examples seen, 10 to 60 epochs"
        return _Habits(seen, rate, 12, "random")
    seen = min(10.0, max(3.0, 12_000 / count)), "rule: 12,000 texts seen, 3 to 10 epochs"
    return _Habits(seen, rate, 3, "linear fit on frozen features")


def affordable_epochs(forecast: Forecast, budget_seconds: float) -> float:
    """How many epochs the budget pays for.

    Raises:
        RefusedError: too few to be worth it.
    """
    once = forecast.start_seconds + forecast.validation_seconds + forecast.end_seconds
    left = BUDGET_SHARE * budget_seconds - once
    affordable = left / (forecast.epoch_seconds + forecast.validation_seconds)
    if affordable < OFTEN_BELOW:
        affordable = left / (forecast.epoch_seconds + 2 * forecast.validation_seconds)
    if affordable >= LEAST_EPOCHS:
        return affordable
    least = LEAST_EPOCHS * (forecast.epoch_seconds + 2 * forecast.validation_seconds) + once
    needed = math.ceil((least / BUDGET_SHARE - budget_seconds) / 60) + 1
    raise RefusedError(
        f"an epoch takes about {forecast.epoch_seconds / 60:.1f} min here, and the budget leaves"
        f" {budget_seconds / 60:.1f} min for training; set training.budget_minutes about {needed} min higher, or"
        " training.epochs"
    )
