"""The frozen nouns, in the order in which they are made.

A record is data: no methods that do work, no open files. `id` is the first 16 hexadecimal digits of the
SHA-256 of everything else in it that does not depend on the clock. Names are contract: `--json` prints
them. Sizes are in bytes, times in seconds unless the name says `_ms`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Task = Literal["classification", "multilabel", "regression", "tagging", "generation", "language-modeling"]
LANGUAGE_TASKS: tuple[Task, ...] = ("generation", "language-modeling")
"""What language models are for."""
InputKind = Literal["text", "image", "table"]
ColumnKind = Literal["number", "category", "boolean", "date", "text", "messages", "image", "identifier", "constant"]
Severity = Literal["info", "warning", "error"]

POSITION = "__position__"
"""The column of every part that says where in the source an example stood, counted from 0."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95% interval; `low` and `high` are null where it is not a sample statistic."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the examples as the model sees it."""

    name: str
    kind: ColumnKind


@dataclass(frozen=True, slots=True)
class Schema:
    """What goes in and what comes out: all that a rung, a model or a server must know of the data.

    `inputs` holds only columns that models may use; `classes` is empty where answers are numbers or texts and
    otherwise in the order of the columns of every probability matrix. In a part, image columns hold the encoded file
    (PNG, JPEG) as bytes, and the output column holds, by task:

    - classification: the class, a string; regression: float64;
    - multilabel: the classes, a list of strings, sorted, empty where none fits;
    - tagging: a list of {start, end, label}: spans of characters of the one input text, in order, none within another;
    - generation: the right answer, a string;
    - language-modeling: how many bytes the text has in UTF-8, float64; what is answered is how many bits it takes;
    - the same with `masked`: how many bytes its hidden words have (data/hidden.py), and how many bits these take.
    """

    task: Task
    kind: InputKind
    inputs: tuple[Column, ...]
    output: str
    classes: tuple[str, ...] = ()
    positive: str | None = None  # the class that precision, recall and F1 of a two-class task are about
    masked: bool = False  # of language modeling: words are hidden and guessed from both sides

    @property
    def names(self) -> list[str]:
        """The names of the input columns, in order."""
        return [column.name for column in self.inputs]


class Span(NamedTuple):
    """Characters `start` to before `end` of a text, and what they are."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the data that a person should know, with examples and what to do next."""

    kind: str
    severity: Severity
    count: int
    examples: tuple[str, ...]
    next: str


@dataclass(frozen=True, slots=True)
class Seal:
    """The state of the sealed test part when the record was made; the ledger has the present one."""

    count: int
    looks_used: int
    looks_allowed: int


@dataclass(frozen=True, slots=True)
class Dataset:
    """Step 2: examples that can be learned from, split, with the test part sealed."""

    id: str
    path: str
    schema: Schema
    parts: dict[str, int]
    classes: tuple[str, ...]
    dropped: dict[str, int]
    findings: tuple[Finding, ...]
    seal: Seal
    source: str
    source_sha256: str
    split: str
    seconds: float
    excluded: dict[str, str] = field(default_factory=dict)
    label_ceiling: float | None = None


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds that a batch of one takes."""

    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class RungScore:
    """One rung of the ladder as measured, or the reason why it was skipped."""

    name: str
    kind: str
    score: Interval | None = None
    latency_ms: Latency | None = None
    cost_per_1000: float | None = None
    fit_seconds: float | None = None
    skipped: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    path: str | None = None
    describes: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Step 0: does the cheapest thing already meet the goal, or is it worth training?"""

    id: str
    dataset_id: str
    metric: str
    scored_on: str
    rungs: tuple[RungScore, ...]
    decision: Literal["stop", "train"]
    chosen: str
    reason: str


@dataclass(frozen=True, slots=True)
class Setting:
    """A resolved setting and the rule, probe or person that it comes from."""

    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Past:
    """How forecasts of one figure did here: runs, their median error as a share, and what the next is multiplied by."""

    runs: int
    error: float
    factor: float


@dataclass(frozen=True, slots=True)
class Rented:
    """A run on a machine that can be rented, at the price of a day."""

    name: str
    provider: str
    hours: Interval
    cost: Interval
    dollars_per_hour: float
    as_of: str
    source: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run is expected to take, each with its interval.

    `cost` is that of this machine's hours where a price is stated. `parts` are the seconds of each part of it; `past`
    says, by figure, how forecasts of such runs did on this machine; `rented` is the run elsewhere, the cheapest first.
    """

    seconds: Interval
    peak_memory_bytes: Interval
    cost: Interval
    parts: dict[str, float] = field(default_factory=dict)
    past: dict[str, Past] = field(default_factory=dict)
    disk_bytes: float = 0.0
    tier: str = ""
    tier_reason: str = ""
    rented: tuple[Rented, ...] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """An example as the network sees it: its tokens as text again; what carries loss stands in «»."""

    text: str
    label: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was seen before a run; losses are those of a few examples learnt by heart, above the least possible."""

    shown: tuple[Shown, ...]
    examples_cut: int
    tokens_cut: int  # the median, of those that are cut
    labels: dict[str, int]
    first_loss: float
    last_loss: float
    learning_rate: float  # that did not diverge
    notes: tuple[str, ...] = ()  # what of the examples is not learnt from, and why


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """How the error of a cheap model falls with the number of examples: error = floor + scale n^-power.

    `scores` are of the metric, by examples; `doubled` is what twice the data would likely bring. `needed` is how many
    examples the goal likely takes: null without a goal, or where more data will not do (`reachable` is then false).
    """

    model: str
    metric: str
    scores: dict[str, float]
    floor: float
    scale: float
    power: float
    doubled: Interval
    needed: Interval | None = None
    reachable: bool | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that was considered for the plan."""

    model: str
    method: str
    fits: bool
    reason: str


@dataclass(frozen=True, slots=True)
class BatchSize:
    """A size of batches that may be tried: how many make an epoch, and into how many pieces each is cut."""

    examples: int
    batches: int
    micro_batches: int


@dataclass(frozen=True, slots=True)
class Search:
    """What the trials of a training choose from; what the person named has one choice.

    `learning_rates` are the least and the greatest, by method. `estimate` is that of the first trial alone, which is
    the plan's own.
    """

    trials: int
    methods: tuple[str, ...]
    learning_rates: dict[str, tuple[float, float]]
    batch_sizes: tuple[BatchSize, ...]
    epochs: tuple[float, ...]
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Plan:
    """Step 3: the model, the method and every setting, with what it will take; `search` where there are trials.

    `no_curve` says why there is no `curve`.
    """

    id: str
    dataset_id: str
    model: str
    method: str
    settings: dict[str, Setting]
    estimate: Estimate
    candidates: tuple[Candidate, ...]
    preflight: Preflight | None = None
    curve: LearningCurve | None = None
    search: Search | None = None
    no_curve: str | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """One of several trainings: what it tried, its best validation, and how it ended.

    `pruned` is one that was stopped because it lagged behind the others, `diverged` one whose loss was lost. `score` is
    null where none was taken. `chosen` is the one whose weights the run has.
    """

    number: int
    settings: dict[str, Any]
    ended: Literal["completed", "stopped_early", "budget", "pruned", "diverged"]
    score: float | None
    loss: float
    seconds: float
    chosen: bool


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about a run that its losses show: a sentence with figures and what to do."""

    kind: Literal["spike", "lost", "slow", "overfitting", "underfitting"]
    step: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Run:
    """Step 4: what training did. `not_exact` says why an undisturbed run would have ended with other bits, if so.

    With `trials` it is about the chosen one, but for `seconds`, `peak_memory_bytes` and `forecast_error`: these are of
    all together.
    """

    id: str
    plan_id: str
    path: str
    weights_sha256: str
    status: Literal["completed", "stopped_early", "budget"]
    steps: int
    best_step: int
    train_loss: float
    validation: dict[str, Interval]
    seconds: float
    peak_memory_bytes: int
    forecast_error: dict[str, float]
    not_exact: tuple[str, ...] = ()
    remarks: tuple[Remark, ...] = ()
    trials: tuple[Trial, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """Precision, recall and F1 of one class."""

    name: str
    count: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Over- or underfitting in plain words, the evidence, and what to try next."""

    verdict: str
    evidence: str
    next: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A paired comparison: `difference` is ours minus theirs, oriented so that more is better."""

    to: str
    difference: float
    low: float
    high: float
    p: float
    real: bool


@dataclass(frozen=True, slots=True)
class SliceFigures:
    """The metric on one slice of the part, with its interval."""

    name: str
    count: int
    score: Interval


@dataclass(frozen=True, slots=True)
class Report:
    """Step 5: how good it is. A masked report (see the seal) has no figures, only `masked`."""

    id: str
    predictor: str
    split: str
    count: int
    metric: str
    metrics: dict[str, Interval]
    classes: tuple[ClassFigures, ...]
    diagnosis: Diagnosis | None
    meets: dict[str, bool | None]
    compared: Comparison | None
    confusion: tuple[tuple[int, ...], ...] = ()
    slices: tuple[SliceFigures, ...] = ()
    latency_ms: Latency | None = None
    cost_per_1000: float | None = None
    masked: str | None = None
    looks_used: int | None = None
    html: str | None = None


@dataclass(frozen=True, slots=True)
class Golden:
    """Golden cases of a package: stored answers that must come out again when it is loaded."""

    count: int
    passed: int


@dataclass(frozen=True, slots=True)
class Package:
    """A folder that holds all that is needed to answer: weights, schema, golden cases, hashes."""

    id: str
    path: str
    files: dict[str, str]
    golden: Golden
    latency_ms: Latency | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a step is; steps hand it to a callback, the command line draws it."""

    step: str  # "prepare", "ladder", "train"...
    what: str  # what is being done now, a short phrase
    done: float
    total: float | None = None
    unit: str = ""
    seconds_left: float | None = None
    note: str = ""
    lasting: str = ""  # to be shown on a line that stays


Record = Dataset | Verdict | Plan | Run | Report | Package

_CLOCK = frozenset(
    {
        *("id", "path", "html", "seconds", "fit_seconds", "latency_ms", "cost_per_1000", "peak_memory_bytes"),
        *("estimate", "forecast_error", "preflight", "curve", "no_curve"),
    }
)
"""Names of fields that depend on when and where something was made; what they hold enters no id."""


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: dataclasses become dicts, tuples lists, NaN and infinities null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def canonical(value: Any) -> str:
    """The one JSON text of `value`: sorted keys, no spaces; what is hashed."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(*values: Any) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the canonical JSON of `values`."""
    return hashlib.sha256(canonical(values).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def identify(record: Any) -> Any:
    """`record` with its `id` set from its content, leaving out what depends on the clock or the place."""
    return dataclasses.replace(record, id=digest(type(record).__name__, _timeless(plain(record))))


def _timeless(value: Any) -> Any:
    """`value`, as `plain` gave it, without the fields of _CLOCK at any depth."""
    if isinstance(value, dict):
        return {key: _timeless(each) for key, each in value.items() if key not in _CLOCK}
    return [_timeless(each) for each in value] if isinstance(value, list) else value
