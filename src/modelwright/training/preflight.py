"""Before a run: what the network is shown, whether it can learn at all, at which rate, and whether it fits.

Nothing here moves the weights that will train: all of it works on the job that the plan throws away.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
import polars as pl

from modelwright.errors import RefusedError
from modelwright.models.text import texts_of
from modelwright.records import LANGUAGE_TASKS, Preflight, Schema, Shown
from modelwright.training.job import Inputs, Job
from modelwright.training.loop import Recipe, steps
from modelwright.training.objectives import IGNORED
from modelwright.training.trained import Trained, begin

SHOWN = 3
"""Examples that are shown: a short one, a middling one, a long one."""
CHARACTERS = 300
"""Of a shown example at most."""
FEW = 8
"""Examples that a network which can learn must be able to learn by heart."""
RATES = (5e-4, 2e-3, 1e-2)
"""Of learning, at which that is tried, the likeliest first; a run takes thousands of steps, this only so many:"""
STEPS = 30
FALLEN, STUCK = 0.8, 0.1
"""Of the way from the first loss to the least possible: learnt by heart, and not learning at all. Chosen."""
HEART_SECONDS = 10.0
"""For either question: what a large network could not be asked in that time stays open. Chosen."""
RATE_STEPS = 10
"""At the run's rate, on real batches: one that is clearly too high shows by then. Chosen."""
RISEN = 1.5
"""Times the first losses, and the last ones diverge. Chosen: dropout and other batches make less of a difference."""
LOWERED = 3.0
"""What a rate that diverges is divided by, again and again, at most four times."""


def preflight(job: Job, train: pl.DataFrame, schema: Schema, *, rate: float, precision: str, asked: bool) -> Preflight:
    """What was seen.

    Args:
        job: As the plan built it; its network is of no use afterwards.
        train: The training part, as in the data.
        schema: Of the data.
        rate: The learning rate planned.
        precision: That of the run.
        asked: The user named the rate: then one that diverges is refused, not lowered.

    Raises:
        RefusedError: it learns nothing, or the user's rate diverges.
    """
    shown, cut, median_lost = _shown(job, train, schema)
    held = begin(job)
    start = {name: each.clone() for name, each in held.tensors().items()}
    first, last = _by_heart(held, precision, lambda: held.load(start))
    held.load(start)
    found = _bearable(held, rate, precision, lambda: held.load(start))
    if found < rate and asked:
        raise RefusedError(
            f"a learning rate of {rate:g} diverges within {RATE_STEPS} steps here; set training.learning_rate to"
            f" {found:g} or less, or to auto"
        )
    held.end()
    labels: dict[str, int] = {}
    if schema.task == "classification":
        labels = dict(Counter(map(str, train[schema.output].to_list())).most_common())
    return Preflight(
        shown=shown,
        examples_cut=cut,
        tokens_cut=median_lost,
        labels=labels,
        first_loss=first,
        last_loss=last,
        learning_rate=found,
        notes=job.notes,
    )


def marked(ids: Sequence[int], carries: Sequence[bool], decode: Callable[[list[int]], str]) -> str:
    """The tokens as text again; what carries loss stands in «».

    Args:
        ids: Of one example, without padding.
        carries: For each token, whether its target is one (not IGNORED).
        decode: Ids -> text, special tokens included.
    """
    pieces = []
    for carried, run in groupby(zip(ids, carries, strict=True), key=lambda pair: pair[1]):
        text = decode([token for token, _ in run])
        pieces.append(f"«{text}»" if carried else text)
    return "".join(pieces)


def _shown(job: Job, train: pl.DataFrame, schema: Schema) -> tuple[tuple[Shown, ...], int, int]:
    """Some examples as the network sees them; how many texts are cut, and the tokens that these lose (the median)."""
    tokenizer, lengths_N = job.predictor.tokenizer, job.train.lengths_N
    if tokenizer is None:
        return (), 0, 0
    positions = np.concatenate(job.order(0))
    order = positions[np.argsort(lengths_N[positions], kind="stable")]
    places = sorted({int(share * (len(order) - 1)) for share in np.linspace(0.05, 0.95, SHOWN)})
    answers, ahead = schema.task not in LANGUAGE_TASKS, schema.task in LANGUAGE_TASKS and not schema.masked
    shown = []
    for position in order[places]:
        ids, carries = _tokens(job, position, ahead=ahead)
        text = marked(ids, carries, tokenizer.decode)
        text = text if len(text) <= CHARACTERS else f"{text[: CHARACTERS // 2]} … {text[-CHARACTERS // 2 :]}"
        label = f"«{train[schema.output][int(position)]}»" if answers and not any(carries) else ""
        shown.append(Shown(text=text, label=label, tokens=len(ids)))
    return tuple(shown), *(_cut(job, train, schema) if answers else (0, 0))


def _tokens(job: Job, position: int, *, ahead: bool) -> tuple[list[int], list[bool]]:
    """The tokens at a position of the loop, and which of them carry loss.

    Args:
        job: Of tokens.
        position: As `order` names it.
        ahead: A target is the token after the one that it stands at, as in language models.
    """
    batch = job.train.batch(np.array([position]))
    ids: list[int] = batch.inputs["input_ids"][0].tolist()
    if batch.targets.shape != batch.inputs["input_ids"].shape:  # a class is no token: the label carries the loss
        return ids, [False] * len(ids)
    carries = (batch.targets[0] != IGNORED).tolist()
    if job.predictor.schema.masked:  # what is hidden is shown as it was
        ids = [
            true if hidden else read for read, true, hidden in zip(ids, batch.targets[0].tolist(), carries, strict=True)
        ]
    return ids, [False, *carries[:-1]] if ahead else carries


def _cut(job: Job, train: pl.DataFrame, schema: Schema) -> tuple[int, int]:
    """How many texts are longer than what is read, and the tokens that these lose (the median)."""
    longest = job.settings["max_length"]
    full = np.flatnonzero(job.train.lengths_N >= longest)
    if not len(full) or len(job.train) != len(train):
        return 0, 0
    texts = texts_of(schema, train[full[:1000]])
    found = job.predictor.tokenizer(texts, truncation=False, return_attention_mask=False, verbose=False)["input_ids"]
    lost = np.array([len(ids) - longest for ids in found])
    cut = lost > 0
    count = round(float(cut.mean()) * len(full))
    return count, int(np.median(lost[cut])) if cut.any() else 0


def _by_heart(held: Trained, precision: str, again: Callable[[], None]) -> tuple[float, float]:
    """The loss of a few examples before and after they were learnt, each less the least that is possible.

    Raises:
        RefusedError: it does not fall, though there was time.
    """
    few, floor, began = _few(held.job), _floor(held.job), time.perf_counter()
    best, whole = (math.nan, math.inf), True
    for rate in RATES:
        again()
        losses = _losses(held, rate, precision, [few], STEPS, enough=FALLEN, until=began + HEART_SECONDS)
        found = losses[0] - floor, min(losses) - floor
        best = min(best, found, key=lambda each: each[1])
        if found[1] <= (1 - FALLEN) * found[0]:
            return found
        whole = whole and (len(losses) == STEPS or math.isinf(losses[-1]))
        if time.perf_counter() - began > HEART_SECONDS:
            break
    if whole and not best[1] <= (1 - STUCK) * best[0]:  # not a number is no fall either
        cause = "check that the model's weights are whole and that something in it may move"
        if math.isinf(best[1]):
            cause = "its loss is not a number: try training.precision fp32"
        raise RefusedError(
            f"the network cannot learn even {len(few)} examples by heart: in {STEPS} steps their loss went from"
            f" {best[0]:.3g} to {best[1]:.3g} above the least possible; {cause}"
        )
    return best


def _few(job: Job) -> np.ndarray:
    """Short examples, of as many classes as there can be."""
    if not isinstance(job.train, Inputs) or job.train.targets.ndim > 1 or job.train.by_token:
        return min(job.order(0), key=lambda batch: int(job.train.lengths_N[batch].max()))[:FEW]
    order = np.argsort(job.train.lengths_N, kind="stable")
    order = order[len(order) // 10 :] if len(order) > 10 * FEW else order  # the shortest are often empty
    targets_N = job.train.targets
    by_class = {float(targets_N[place]): int(place) for place in order[::-1]}
    chosen = list(by_class.values())[:FEW]
    chosen += [int(place) for place in order if int(place) not in chosen][: FEW - len(chosen)]
    return np.array(chosen)


def _floor(job: Job) -> float:
    """The least loss that smoothed targets allow: their entropy."""
    share = job.settings.get("smoothing", 0.0)
    if not share:
        return 0.0
    count = job.network.head.out_features
    right, other = 1 - share + share / count, share / count
    return float(-right * math.log(right) - (count - 1) * other * math.log(other))


def _bearable(held: Trained, rate: float, precision: str, again: Callable[[], None]) -> float:
    """`rate`, or the first of ever lower ones at which the loss does not run away."""
    job, began = held.job, time.perf_counter()
    batches = job.order(0)
    middle = sorted(batches, key=lambda batch: int(job.train.lengths_N[batch].max()))[: len(batches) // 2 + 1]
    for _ in range(5):
        losses = _losses(held, rate, precision, middle, RATE_STEPS, until=began + HEART_SECONDS)
        again()
        third = max(1, len(losses) // 3)
        if losses[-1] < math.inf and np.mean(losses[-third:]) <= RISEN * np.mean(losses[:third]):
            return rate
        rate /= LOWERED
    return rate


def _losses(
    held: Trained,
    rate: float,
    precision: str,
    batches: list[np.ndarray],
    count: int,
    *,
    until: float,
    enough: float | None = None,
) -> list[float]:
    """The loss of each step at a steady rate; infinite, and the last, where it is no number.

    Args:
        held: In the shape that training wants.
        rate: Of learning.
        precision: That of the run.
        batches: Taken in turn.
        count: Steps.
        until: No step is begun after that, on the clock of time.perf_counter.
        enough: Stop where the loss has fallen by so much of itself.
    """
    job, floor = held.job, _floor(held.job)
    recipe = Recipe(10 * count, warmup=0.0, precision=precision, micro_batches=job.settings["micro_batches"])
    optimizer = held.optimizer(learning_rate=rate, scaled=precision == "fp16")
    still = replace(job, train=replace(job.train, vary=False)) if isinstance(job.train, Inputs) else job
    losses: list[float] = []
    loop = steps(job.network, job.objective, optimizer, recipe, order=lambda epoch: batches, fetch=still.fetch)
    try:
        for step in loop:
            losses.append(step.loss)
            fallen = enough is not None and step.loss - floor <= (1 - enough) * (losses[0] - floor) / 2
            if fallen or len(losses) == count or time.perf_counter() > until:
                return losses
    except RefusedError:  # the loop's word for a loss that is no number
        losses.append(math.inf)
    return losses
