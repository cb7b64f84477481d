"""Step 3: which model, trained how, and what it will take. Every value has an origin: the user, a rule or a probe."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from modelwright.data.parts import read_part
from modelwright.errors import RefusedError
from modelwright.models.catalogue import Entry, catalogue, locate, on_this_machine
from modelwright.models.encode import is_remembered
from modelwright.models.precision import best_precision, device
from modelwright.problem import Problem
from modelwright.records import (
    Candidate,
    Dataset,
    Estimate,
    Interval,
    Plan,
    Progress,
    Schema,
    Setting,
    identify,
)
from modelwright.training.activations import checkpointing
from modelwright.training.estimate import Probe, probe
from modelwright.training.job import Job, build

CLASSICAL = "trees, linear and their blend"
MAX_TOKENS = 256
"""Longer texts are cut: on news and reviews the first 256 tokens hold nearly all that a classifier uses, and time
grows faster than length. Chosen, not measured."""
LEAST_EPOCHS = 0.2
"""Training on less than this share of the examples is not worth its name. Chosen."""
SEARCHED = (0.2, 0.03, 1.0)
"""Of the budget, what the search of a table takes: usually, at least, at most. It ends when nothing more is gained:
after .03 to .75 of 640 s on ten tables of 178 to 50,000 examples (measured)."""
OFTEN_BELOW = 2
"""With fewer epochs than that, validation comes twice an epoch. Chosen."""
ADAPTED = ("lora", "qlora")
RANK = 16
"""Of adapters: on small data a classifier gains nothing from more (Hu et al. 2021, table 6, find 8 enough)."""
BUDGET_SHARE = 0.8
"""Of the budget, what the epochs may be planned to fill: forecasts are off by up to a tenth, and saving costs."""


def plan(
    dataset: Dataset,
    problem: Problem,
    *,
    folder: Path,
    metric: str,
    budget_seconds: float,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Plan:
    """The plan for `dataset`.

    Args:
        dataset: Step 2.
        problem: Its model and training sections overrule the rules.
        folder: The project's, which a relative `model.base` is relative to.
        metric: Decides which checkpoint is the best one.
        budget_seconds: What the training may take; epochs are planned to fit.
        progress: Told of each stage.

    Raises:
        InputError: `model.base` names no model here.
        RefusedError: nothing here can be trained on this kind of data.
    """
    schema = dataset.schema
    candidates = consider(schema, dataset, problem, folder=folder)
    chosen = next((each for each in candidates if each.fits), None)
    if chosen is None:
        raise RefusedError("no model here fits: " + "; ".join(f"{c.model}: {c.reason}" for c in candidates))
    if chosen.method == "classical":
        return _classical(dataset, problem, candidates, metric, budget_seconds)
    base = locate(chosen.model, folder=folder)
    train, validation = read_part(dataset, "train"), read_part(dataset, "validation")
    origins = _sizes(schema, train, problem, base, chosen.method)
    settings = {name: each.value for name, each in origins.items()}

    def note(what: str) -> None:
        progress(Progress("plan", what, 0))

    job = build(schema, train, validation, base=base, settings={**settings, "micro_batches": 1}, note=note)
    note("timing a few steps")
    precision = problem.training.precision
    origins["precision"] = (
        Setting(best_precision(), "probe of matrix products")
        if precision == "auto"
        else Setting(precision, "problem.yaml")
    )
    scratch = isinstance(base, str)
    read = scratch or is_remembered(job.network, job.train.features, precision=origins["precision"].value)
    measured = probe(job, precision=origins["precision"].value)
    reading = 0.0 if read else 1.2 * measured.forward_seconds_per_example * len(job.train)
    origins |= _schedule(
        job, measured, problem, scratch=scratch, reading_seconds=reading, budget_seconds=budget_seconds
    )
    origins["metric"] = Setting(metric, "problem")
    estimate = _estimate(job, measured, origins, reading_seconds=reading)
    record = Plan("", dataset.id, chosen.model, chosen.method, origins, estimate, tuple(candidates))
    identified: Plan = identify(record)
    return identified


def consider(schema: Schema, dataset: Dataset, problem: Problem, *, folder: Path) -> list[Candidate]:
    """The models that come into question, the preferred first; the first that fits is taken."""
    method, base = problem.model.method, problem.model.base
    if schema.kind == "table" or method == "classical":
        if schema.kind != "table":
            return [Candidate(CLASSICAL, "classical", False, f"the ladder already has it for {schema.kind}")]
        fits = method in ("auto", "classical")
        return [Candidate(CLASSICAL, "classical", fits, "tables: tuned within the budget" if fits else method)]
    if base != "auto":
        found = locate(base, folder=folder)
        wanted = "scratch" if isinstance(found, str) else "full"
        return [_asked(base, wanted, method)]
    listed = [_candidate(entry, schema, dataset, method) for entry in catalogue().values() if entry.kind == schema.kind]
    return sorted(listed, key=lambda each: not each.fits)


def _asked(base: str, wanted: str, method: str) -> Candidate:
    if method in ADAPTED and wanted == "full":
        missing = _missing(method)
        return Candidate(base, method, not missing, missing or "named in problem.yaml")
    return Candidate(base, wanted, method in ("auto", wanted), "named in problem.yaml")


def _missing(method: str) -> str:
    """Which package `method` needs that is not installed, or nothing."""
    needed = {"lora": ("peft",), "qlora": ("peft", "bitsandbytes")}[method]
    lacking = [name for name in needed if find_spec(name) is None]
    return f"needs {' and '.join(lacking)}: pip install 'modelwright[{method}]'" if lacking else ""


def _candidate(entry: Entry, schema: Schema, dataset: Dataset, method: str) -> Candidate:
    kind = "scratch" if entry.config else "full"
    if method in ADAPTED and kind == "full":
        if missing := _missing(method):
            return Candidate(entry.name, method, False, missing)
        kind = method
    if method not in ("auto", kind):
        return Candidate(entry.name, kind, False, f"model.method is {method}")
    if entry.hub and on_this_machine(entry) is None:
        return Candidate(entry.name, kind, False, "not on this machine; name it as model.base to download it")
    if entry.gpu_examples and (device() == "cpu" or dataset.parts["train"] < entry.gpu_examples):
        return Candidate(entry.name, kind, False, f"pays with a GPU and {entry.gpu_examples:,} examples")
    return Candidate(entry.name, kind, True, entry.about)


def _classical(
    dataset: Dataset, problem: Problem, candidates: list[Candidate], metric: str, budget_seconds: float
) -> Plan:
    origin = "problem.yaml" if problem.training.budget_minutes else "default for a machine of this kind"
    settings = {
        "seed": Setting(problem.seed, "problem.yaml"),
        "metric": Setting(metric, "problem"),
        "budget_seconds": Setting(round(budget_seconds), origin),
    }
    seconds = Interval(*(share * budget_seconds for share in SEARCHED))
    nothing = Interval(0.0, 0.0, 0.0)
    size = 2e8 + 60.0 * dataset.parts["train"] * len(dataset.schema.inputs)
    memory = Interval(size, 0.5 * size, 2 * size)
    record = Plan(
        "", dataset.id, CLASSICAL, "classical", settings, Estimate(seconds, memory, nothing), tuple(candidates)
    )
    identified: Plan = identify(record)
    return identified


def _sizes(schema: Schema, train: Any, problem: Problem, base: Path | str, method: str) -> dict[str, Setting]:
    """The settings that must be known before the network is built."""
    asked = problem.training
    image = schema.kind == "image"
    batch_size = Setting(64 if image else 32, "rule: 64 images, 32 texts")
    if asked.batch_size != "auto":
        batch_size = Setting(asked.batch_size, "problem.yaml")
    max_length = Setting(0, "not a text") if image else _max_length(base)
    return {
        "batch_size": batch_size,
        "max_length": max_length,
        "checkpointing": checkpointing(base, examples=batch_size.value, tokens=max_length.value),
        "image_size": _image_size(schema, train, base) if image else Setting(0, "not an image"),
        "smoothing": Setting(0.1 if image and schema.task == "classification" else 0.0, "rule: 0.1 for images"),
        "vary": Setting(image, "rule: images are varied, texts are not"),
        "seed": Setting(problem.seed, "problem.yaml"),
        "max_grad_norm": Setting(asked.max_grad_norm, "problem.yaml"),
        "rank": Setting(RANK if method in ADAPTED else 0, f"rule: {RANK} for adapters, none otherwise"),
        "alpha": Setting(2 * RANK if method in ADAPTED else 0, "rule: twice the rank"),
        "quantised": Setting(method == "qlora", "the method"),
    }


def _max_length(base: Path | str) -> Setting:
    from modelwright.models.text import longest_tokens

    limit = longest_tokens(Path(base))
    return Setting(min(limit, MAX_TOKENS), f"rule: {MAX_TOKENS} tokens, and the model reads {limit} at most")


def _image_size(schema: Schema, train: Any, base: Path | str) -> Setting:
    from modelwright.models.image import side_for

    if isinstance(base, Path):
        return Setting(224, "rule: what image models are pre-trained on")
    most = 64 if device() == "cpu" else 128
    return Setting(side_for(schema, train, most=most), f"the images' own size, at most {most}")


def _schedule(
    job: Job, measured: Probe, problem: Problem, *, scratch: bool, reading_seconds: float, budget_seconds: float
) -> dict[str, Setting]:
    """Learning rates, epochs and steps; the epochs fit the budget unless the user named them."""
    asked, count = problem.training, len(job.train)
    batches = job.order(0)
    per_epoch = measured.epoch_seconds(batches, job.train.features.lengths_N)
    validation = measured.forward_seconds_per_example * (len(job.validation) + len(job.watched))
    if scratch:
        epochs, rule = min(60.0, max(10.0, 60_000 / count)), "rule: 60,000 images seen, 10 to 60 epochs"
    else:
        epochs, rule = min(10.0, max(3.0, 12_000 / count)), "rule: 12,000 texts seen, 3 to 10 epochs"
    start_seconds = validation + reading_seconds
    left = BUDGET_SHARE * budget_seconds - start_seconds
    affordable = left / (per_epoch + validation)
    if affordable < OFTEN_BELOW:
        affordable = left / (per_epoch + 2 * validation)
    if asked.epochs != "auto":
        epochs, rule = float(asked.epochs), "problem.yaml"
    elif affordable < LEAST_EPOCHS:
        needed = math.ceil((LEAST_EPOCHS * (per_epoch + 2 * validation) + start_seconds) / BUDGET_SHARE / 60) + 1
        raise RefusedError(
            f"an epoch takes about {per_epoch / 60:.1f} min here, and the budget leaves {budget_seconds / 60:.1f} min"
            f" for training; set training.budget_minutes about {needed} min higher, or training.epochs"
        )
    elif affordable < epochs:
        epochs, rule = affordable, "what the budget allows"
    rate = 2e-3 if scratch else 5e-4 if job.settings["rank"] else 5e-5
    rate_origin = "rule: 2e-3 from scratch, 5e-4 for adapters, 5e-5 for a pre-trained encoder"
    if asked.learning_rate != "auto":
        rate, rate_origin = float(asked.learning_rate), "problem.yaml"
    steps = max(1, math.ceil(epochs * len(batches)))
    every = len(batches) if epochs >= OFTEN_BELOW else max(1, len(batches) // 2)
    return {
        "epochs": Setting(round(epochs, 3), rule),
        "steps": Setting(steps, "epochs x batches"),
        "validate_every": Setting(min(every, steps), "rule: each epoch, or half of one where there are under two"),
        "patience": Setting(12 if scratch else 3, "rule: validations without a better one before stopping"),
        "learning_rate": Setting(rate, rate_origin),
        "warmup": Setting(0.06, "rule"),
        "head": Setting("random" if scratch else "linear fit on frozen features", "rule"),
        "micro_batches": Setting(1, "a batch fits in memory"),
        "budget_seconds": Setting(
            round(budget_seconds), "problem.yaml" if asked.budget_minutes else "default for this machine"
        ),
    }


def _estimate(job: Job, measured: Probe, settings: dict[str, Setting], *, reading_seconds: float) -> Estimate:
    """Seconds and peak memory of the run, with ranges as wide as such forecasts were off when tried."""
    batches = job.order(0)
    lengths_N = job.train.features.lengths_N
    epochs = settings["steps"].value / len(batches)
    seconds = epochs * measured.epoch_seconds(batches, lengths_N)
    validations = 1 + math.ceil(settings["steps"].value / settings["validate_every"].value)
    answered = validations * (len(job.validation) + len(job.watched))
    seconds += answered * measured.forward_seconds_per_example + reading_seconds + 4
    memory = float(measured.peak_memory_bytes)
    return Estimate(
        seconds=Interval(seconds, 0.8 * seconds, 1.3 * seconds),
        peak_memory_bytes=Interval(memory, 0.9 * memory, 1.2 * memory),
        cost=Interval(0.0, 0.0, 0.0),
    )
