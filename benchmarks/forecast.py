"""How far forecasts are off: twenty trainings are planned, and then done, on real data.

    python benchmarks/forecast.py [--quick] [--only NAME]

Each configuration is planned and trained by `plan` and `train` of the library, half of them in one process and half
in two, as `modelwright run` and `modelwright plan; modelwright train` do. No forecast learns from the one before: the
file of past forecasts is another for each. A row is seconds or peak memory: `ours` is the forecast, `peer` what the
run took, `ratio` forecast / actual; memory is forecast for a process that only trains (`alone`), and where it planned
too, with a share of what it holds since. Run it alone on the machine. Data is looked for in $MODELWRIGHT_SHARED_DATA,
else ../shared/data.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from table import Row, merge, row, show

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("MODELWRIGHT_SHARED_DATA", HERE.parent.parent / "shared/data"))
RESULTS = HERE / "results" / "forecast.json"
SOURCES: dict[str, dict[str, Any]] = {
    "names": {"task": "language-modeling", "data": "lm/names.txt"},
    "shakespeare": {"task": "language-modeling", "data": "lm/tinyshakespeare.txt"},
    "alpaca": {
        "task": "generation",
        "input": "messages",
        "output": "output",
        "data": "instruct/alpaca_en_demo999.json",
    },
    "entities": {"task": "tagging", "output": "tags", "data": "token/wnut17_train.conll"},
    "banking77": {"output": "category", "data": "text/banking77_train.csv"},
    "sms": {"output": "column_1", "data": "text/sms_spam.tsv"},
    "movies": {"output": "label", "input": "text", "data": "text/movie_reviews.csv.gz"},
    "news": {"output": "label", "input": "text", "data": "text/newsgroups20.csv.gz"},
    "languages": {"output": "label", "input": "text", "data": "text/udhr_langid.csv.gz"},
    "signs": {"output": "label", "data": "image/sign_digits_64.zip"},
    "clothing": {"output": "label", "data": "image/clothing_small_112.zip"},
    "characters": {"output": "label", "data": "image/omniglot_small1.zip"},
}


METRIC = {"language-modeling": "bits_per_byte", "generation": "token_f1", "tagging": "micro_f1"}


@dataclass(frozen=True)
class Configuration:
    """A source, how many of its examples are trained on, and what problem.yaml says of the training."""

    source: str
    examples: int | None
    method: str = "auto"
    training: dict[str, Any] = field(default_factory=dict)
    quick: bool = False

    @property
    def name(self) -> str:
        said = " ".join(f"{key} {value}" for key, value in self.training.items())
        examples = f"{self.examples:,}" if self.examples else "all"
        return f"{self.source} {examples} {self.method} {said}"


def asked(
    source: str, examples: int | None, epochs: float, batch: int, method: str = "auto", **more: Any
) -> Configuration:
    quick = bool(more.pop("quick", False))
    return Configuration(source, examples, method, {"epochs": epochs, "batch_size": batch, **more}, quick)


CONFIGURATIONS = [
    asked("banking77", 2000, 3, 32, quick=True),
    asked("banking77", 6000, 1, 32),
    asked("banking77", 3000, 2, 16),
    asked("banking77", 1500, 5, 64),
    asked("banking77", 1000, 2, 32, precision="fp32"),
    asked("shakespeare", None, 1, 16, "scratch"),
    asked("sms", 2000, 2, 32, quick=True),
    asked("names", 8000, 1, 64, "scratch"),
    asked("movies", 300, 1, 16),
    asked("alpaca", 500, 2, 8, "scratch"),
    asked("news", 400, 1, 32),
    asked("entities", 1500, 2, 32, quick=True),
    asked("languages", 1500, 2, 32),
    asked("banking77", 1500, 3, 32, "lora", quick=True),
    asked("sms", 1200, 2, 16, "lora"),
    asked("movies", 200, 1, 8, "lora"),
    asked("banking77", 500, 2, 32, "qlora"),
    asked("signs", 1600, 10, 64, quick=True),
    asked("clothing", 2000, 6, 32),
    asked("characters", 2000, 6, 64),
]


def prepared(wanted: Configuration, folder: Path) -> Any:
    """The problem and the dataset, with only so many training examples, and as many to validate as an eighth."""
    import polars as pl

    from modelwright.data.prepare import prepare
    from modelwright.problem import parse

    source = SOURCES[wanted.source]
    stated = {
        "name": "forecast",
        "data": {"source": str(DATA / source["data"]), "split": {"train": 0.7, "validation": 0.2, "test": 0.1}},
        "model": {"method": wanted.method},
        "training": wanted.training,
        **{name: source[name] for name in ("task", "input", "output") if name in source},
    }
    problem, _ = parse(stated)
    dataset = prepare(problem, folder=folder, to=folder / "dataset", progress=lambda progress: None)
    counts = {}
    for part, most in (("train", wanted.examples), ("validation", max(50, (wanted.examples or 0) // 8))):
        path = Path(dataset.path) / f"{part}.parquet"
        frame = pl.read_parquet(path)
        if wanted.examples:
            frame = frame.sample(min(most or 0, len(frame)), seed=0, shuffle=True)
            frame.write_parquet(path)
        counts[part] = len(frame)
    return problem, dataclasses.replace(dataset, parts={**dataset.parts, **counts}, parts_sha256={})


def work(folder: Path, wanted: Configuration, *, together: bool) -> None:
    """In a process of its own: make what is missing of the dataset, the plan and the run; one a call, or all."""
    from pydantic import TypeAdapter
    from pydantic_core import to_json

    from modelwright.problem import Problem
    from modelwright.records import Dataset, Plan, Run
    from modelwright.training.plan import plan
    from modelwright.training.train import train

    def keep(name: str, kind: Any, make: Any) -> tuple[Any, bool]:
        path = folder / f"{name}.json"
        if path.exists():
            return TypeAdapter(kind).validate_json(path.read_bytes()), False
        made = make()
        path.write_bytes(to_json(made, inf_nan_mode="strings"))
        return made, True

    (problem, dataset), made = keep("dataset", tuple[Problem, Dataset], lambda: prepared(wanted, folder))
    if made:
        return
    common = {"metric": METRIC.get(dataset.schema.task, "macro_f1"), "budget_seconds": 1e5}
    began = time.perf_counter()
    found, made = keep("plan", Plan, lambda: plan(dataset, problem, folder=folder, **common))
    if made:
        (folder / "planned").write_text(str(time.perf_counter() - began))
    if made and not together:
        return
    keep("run", Run, lambda: train(dataset, found, folder=folder / "run", project=folder, **common))


def measured(wanted: Configuration, folder: Path, *, together: bool) -> list[Row]:
    """The rows of one configuration."""
    import json

    folder.mkdir()
    place = str(CONFIGURATIONS.index(wanted))
    environment = {**os.environ, "MODELWRIGHT_STATE": str(folder / "state"), "HF_HUB_OFFLINE": "1"}
    while not (folder / "run.json").exists():
        before = set(folder.iterdir())
        command = [sys.executable, __file__, "--work", str(folder), place, "together" if together else "apart"]
        subprocess.run(command, check=True, env=environment)
        assert set(folder.iterdir()) > before, "no step was taken"
    plan, run = (json.loads((folder / f"{name}.json").read_text()) for name in ("plan", "run"))
    share = run["steps"] / plan["settings"]["steps"]["value"]
    more = {"parts": plan["estimate"]["parts"], "status": run["status"], "share": share, "together": together}
    more["planned_seconds"] = float((folder / "planned").read_text())
    actual, peak = run["seconds"], run["peak_memory_bytes"] / 1e9
    rows = [
        row(f"{wanted.name}: seconds", actual / (1 + run["forecast_error"]["seconds"]), actual, "s", **more),
        row(
            f"{wanted.name}: peak memory",
            peak / (1 + run["forecast_error"]["peak_memory_bytes"]),
            peak,
            "GB",
            alone=plan["estimate"]["peak_memory_bytes"]["value"] / 1e9,
        ),
    ]
    return show(rows)


def summary(rows: list[Row]) -> list[Row]:
    """How many forecasts lie within a tenth, and the memory's largest underestimate."""
    seconds = [each["ratio"] for each in rows if each["name"].endswith(": seconds")]
    memory = [each["ratio"] for each in rows if each["name"].endswith(": peak memory")]
    count = len(seconds)
    return [
        row("seconds within 10%", sum(abs(1 / each - 1) <= 0.1 for each in seconds), count, "of all", target=0.9),
        row("peak memory within 10%", sum(abs(1 / each - 1) <= 0.1 for each in memory), count, "of all", target=1.0),
        row("peak memory, worst underestimate", 1 - min(memory), None, "share", target=0.05),
        row("planning, longest", max(each.get("planned_seconds", 0.0) for each in rows), None, "s", target=30.0),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="four configurations, in under five minutes")
    parser.add_argument("--only", help="those whose name holds this")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(Path(given.work[0]), CONFIGURATIONS[int(given.work[1])], together=given.work[2] == "together")
        return
    if not DATA.is_dir():
        sys.exit(f"no data at {DATA}: set MODELWRIGHT_SHARED_DATA")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as root:
        for number, wanted in enumerate(CONFIGURATIONS):
            if (given.only and given.only not in wanted.name) or (given.quick and not wanted.quick):
                continue
            rows += measured(wanted, Path(root) / str(number), together=number % 2 == 0)
    rows += show(summary(rows))
    if not (given.only or given.quick):
        merge(RESULTS, rows)


if __name__ == "__main__":
    main()
