"""From a file to a measured test figure, on real data, beside what a careful person's scikit-learn script gets.

    python benchmarks/spine.py [--quick] [--only NAME]

Each row is one figure: `ours` from `modelwright run --json` in a process of its own, `peer` from the script below
on the same test examples, `ratio` ours / peer. Data is looked for in $MODELWRIGHT_SHARED_DATA, else ../shared/data.
A row without a peer compares with the target that the project set itself.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from table import merge, row, show

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("MODELWRIGHT_SHARED_DATA", HERE.parent.parent / "shared/data"))
COMMAND = [str(Path(sys.executable).with_name("modelwright"))]
RESULTS = HERE / "results" / "spine.json"


@dataclass(frozen=True)
class Task:
    """One problem: its fields in problem.yaml, the metric to report, and how the peer sees it."""

    name: str
    source: str
    output: str
    metric: str
    target: float
    kind: str
    problem: dict[str, Any] = field(default_factory=dict)
    quick: bool = False
    train: bool = False
    minutes: float | None = 4.0  # the budget; None is the default of twelve


TASKS = [
    Task(
        "banking77",
        "text/banking77_train.csv",
        "category",
        "accuracy",
        0.92,
        "text",
        {"input": "text", "data": {"test": "text/banking77_test.csv"}},
        train=True,
        minutes=None,
    ),
    Task("sms_spam", "text/sms_spam.tsv", "column_1", "f1", 0.95, "text", quick=True),
    Task(
        "newsgroups20",
        "text/newsgroups20.csv.gz",
        "label",
        "accuracy",
        0.0,
        "text",
        {"input": "text", "data": {"split": {"column": "split"}}},
        minutes=None,
    ),
    Task(
        "adult",
        "tabular/adult_train.csv.gz",
        "income",
        "accuracy",
        0.870,
        "table",
        {"data": {"test": "tabular/adult_test.csv.gz"}},
    ),
    Task("telco_churn", "tabular/telco_churn.csv", "Churn", "roc_auc", 0.84, "table", quick=True),
    Task("california_housing", "tabular/california_housing.csv", "median_house_value", "r2", 0.83, "table"),
    Task(
        "bike_sharing_hour",
        "tabular/bike_sharing_hour.csv",
        "cnt",
        "r2",
        0.94,
        "table",
        {
            "input": [
                "dteday",
                "season",
                "yr",
                "mnth",
                "hr",
                "holiday",
                "weekday",
                "workingday",
                "weathersit",
                "temp",
                "atemp",
                "hum",
                "windspeed",
            ]
        },
    ),
    Task("sign_digits_64", "image/sign_digits_64.zip", "label", "accuracy", 0.93, "image", train=True, minutes=None),
]


def modelwright(*words: str, cwd: Path) -> tuple[dict[str, Any], float, float]:
    """What a command prints as JSON, its wall seconds, and its peak memory in bytes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    began = time.perf_counter()
    done = subprocess.run([*COMMAND, *words], cwd=cwd, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode not in (0, 1) or not done.stdout.strip():
        raise RuntimeError(f"modelwright {' '.join(words)} ended with {done.returncode}: {done.stderr[-2000:]}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return json.loads(done.stdout), seconds, max(before, peak) * 1024.0


def measured(task: Task, folder: Path) -> list[dict[str, Any]]:
    """The rows of one task."""
    data = {"source": str(DATA / task.source), **task.problem.get("data", {})}
    if "test" in data:
        data["test"] = str(DATA / data["test"])
    fields = {"name": task.name, "metric": task.metric, "output": task.output, **task.problem, "data": data}
    fields["training"] = {"budget_minutes": task.minutes}
    folder.mkdir()
    (folder / "problem.yaml").write_text(yaml.safe_dump(fields))
    words = ["run", ".", "--json", *(["--train"] if task.train else [])]
    found, seconds, _ = modelwright(*words, cwd=folder)
    report, dataset = found["report"], found["dataset"]
    ours = report["metrics"][task.metric]
    peer = PEERS[task.kind](dataset, task)
    more = {"low": ours["low"], "high": ours["high"], "target": task.target, "predictor": report["predictor"]}
    more["decision"] = found["verdict"]["decision"]
    rows = [row(f"{task.name} {task.metric}", ours["value"], peer, "", **more)]
    rows.append(row(f"{task.name} run", seconds, None, "s", minutes=task.minutes))
    if task.name == "banking77":
        linear = next(each for each in found["verdict"]["rungs"] if each["name"] == "linear")
        on_test = _on_official_test(task, Path(linear["path"]))
        rows.append(row("banking77 linear rung accuracy", on_test, None, "", target=0.885))
        on_test = _on_official_test(task, Path(found["run"]["path"]) / "predictor")
        rows.append(row("banking77 fine-tuned accuracy", on_test, None, "", target=0.92))
    return rows


def _on_official_test(task: Task, folder: Path) -> float:
    """The accuracy of a saved predictor, packaged or not, on the official test file."""
    from modelwright.models.predictors import load_predictor

    predictor = load_predictor(folder)
    test = pl.read_csv(DATA / task.problem["data"]["test"])
    answers = np.array(predictor.schema.classes)[predictor.predict(test).indices_N]
    return float((answers == test[task.output].to_numpy()).mean())


def parts(dataset: dict[str, Any]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What the peer may learn from, and the test examples that both are judged on."""
    folder = Path(dataset["path"])
    open_parts = [pl.read_parquet(folder / f"{name}.parquet") for name in ("train", "validation")]
    return pl.concat(open_parts), pl.read_parquet(folder / "sealed/test.parquet")


def score(task: Task, truth: Any, answers: Any, chance: Any = None) -> float:
    from sklearn import metrics

    if task.metric == "f1":
        return float(metrics.f1_score(truth, answers, pos_label="spam"))
    if task.metric == "roc_auc":
        return float(metrics.roc_auc_score(truth == "Yes", chance))
    return float({"accuracy": metrics.accuracy_score, "r2": metrics.r2_score}[task.metric](truth, answers))


def peer_text(dataset: dict[str, Any], task: Task) -> float:
    """TF-IDF of words and pairs, logistic regression with C = 20: what the tutorials end with."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    train, test = parts(dataset)
    column = dataset["schema"]["inputs"][0]["name"]
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=20, max_iter=300)
    )
    model.fit(train[column].fill_null("").to_list(), train[task.output].to_list())
    return score(task, test[task.output].to_numpy(), model.predict(test[column].fill_null("").to_list()))


def peer_table(dataset: dict[str, Any], task: Task) -> float:
    """Histogram gradient boosting with 300 trees at rate 0.05, categories as categories."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    train, test = (each.to_pandas() for each in parts(dataset))
    names = [column["name"] for column in dataset["schema"]["inputs"]]
    for name in names:
        if train[name].dtype.kind not in "bifu":
            if "datetime" in str(train[name].dtype) or "date" in str(train[name].map(type).iloc[0]):
                train[name], test[name] = (part[name].astype("datetime64[s]").astype("int64") for part in (train, test))
                continue
            kind = train[name].astype("category").dtype
            train[name], test[name] = train[name].astype(kind), test[name].astype(kind)
    common: dict[str, Any] = {
        "max_iter": 300,
        "learning_rate": 0.05,
        "categorical_features": "from_dtype",
        "random_state": 0,
    }
    if task.metric == "r2":
        model = HistGradientBoostingRegressor(**common).fit(train[names], train[task.output])
        return score(task, test[task.output], model.predict(test[names]))
    model = HistGradientBoostingClassifier(**common).fit(train[names], train[task.output])
    chance = model.predict_proba(test[names])[:, -1]
    return score(task, test[task.output].to_numpy(), model.predict(test[names]), chance)


def peer_image(dataset: dict[str, Any], task: Task) -> float:
    """A support vector machine on 32 x 32 grey pixels."""
    import io

    from PIL import Image
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    def pixels(part: pl.DataFrame) -> Any:
        opened = (Image.open(io.BytesIO(each)).convert("L").resize((32, 32)) for each in part["image"])
        return np.stack([np.asarray(each, dtype=np.float32).ravel() for each in opened])

    train, test = parts(dataset)
    model = make_pipeline(StandardScaler(), SVC(C=10)).fit(pixels(train), train[task.output].to_list())
    return score(task, test[task.output].to_numpy(), model.predict(pixels(test)))


PEERS: dict[str, Callable[[dict[str, Any], Task], float]] = {
    "text": peer_text,
    "table": peer_table,
    "image": peer_image,
}


def speed(root: Path, *, quick: bool) -> list[dict[str, Any]]:
    """The limits on time and memory: help, a million rows, and a whole run of the sizes that are promised."""
    took = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([*COMMAND, "--help"], capture_output=True, check=True)
        took.append(time.perf_counter() - began)
    rows = [row("modelwright --help", float(np.median(took)), None, "s", target=0.5)]
    rows += _million(root / "million", 100_000 if quick else 1_000_000)
    if not quick:
        rows += _whole_runs(root)
    return rows


def _million(folder: Path, count: int) -> list[dict[str, Any]]:
    folder.mkdir()
    generator = np.random.default_rng(0)
    columns: dict[str, Any] = {f"number_{i}": generator.normal(size=count).round(4) for i in range(5)}
    columns |= {f"kind_{i}": generator.choice(["red", "green", "blue", "grey"], size=count) for i in range(3)}
    columns["count"] = generator.integers(0, 1000, size=count)
    columns["answer"] = np.where(columns["number_0"] + generator.normal(size=count) > 0, "yes", "no")
    pl.DataFrame(columns).write_csv(folder / "data.csv")
    fields = {"name": "million", "output": "answer", "data": {"source": "data.csv"}}
    (folder / "problem.yaml").write_text(yaml.safe_dump(fields))
    watched = ["/usr/bin/time", "-f", "%M", *COMMAND] if Path("/usr/bin/time").exists() else COMMAND
    began = time.perf_counter()
    done = subprocess.run([*watched, "prepare", ".", "--json"], cwd=folder, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - began
    rows = [row(f"prepare {count:,} x 10", seconds, None, "s", target=20.0)]
    if watched is not COMMAND:
        peak = float(done.stderr.strip().splitlines()[-1]) / 1e6
        rows.append(row(f"prepare {count:,} x 10, peak memory", peak, None, "GB", target=2.0))
    return rows


def _whole_runs(root: Path) -> list[dict[str, Any]]:
    """25,000 short texts (banking77's, with a number put in so that none repeats) and 50,000 table rows."""
    texts = pl.read_csv(DATA / "text/banking77_train.csv")
    more = pl.concat([texts.with_columns(text=pl.col("text") + f" ({i})") for i in range(3)]).head(25_000)
    table = pl.concat([pl.read_csv(DATA / f"tabular/adult_{part}.csv.gz") for part in ("train", "test")])
    table = table.with_columns(pl.col("income").str.strip_chars(".")).sample(50_000, with_replacement=True, seed=0)
    table = table.with_columns(noise=pl.Series(np.random.default_rng(0).normal(size=50_000)))
    rows = []
    for name, frame, output in (("25,000 short texts", more, "category"), ("50,000 table rows", table, "income")):
        folder = root / output
        folder.mkdir()
        frame.write_csv(folder / "data.csv")
        fields = {"name": output, "output": output, "data": {"source": "data.csv"}}
        (folder / "problem.yaml").write_text(yaml.safe_dump(fields))
        _, seconds, _ = modelwright("run", ".", "--json", "--train", cwd=folder)
        rows.append(row(f"run on {name}", seconds / 60, None, "min", target=12.0))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="two small tasks and a tenth of the rows, in under five minutes"
    )
    parser.add_argument("--only", help="one task, or `speed`")
    asked = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"no data at {DATA}: set MODELWRIGHT_SHARED_DATA")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as root:
        for task in TASKS:
            if (asked.only and asked.only != task.name) or (asked.quick and not task.quick):
                continue
            rows += show(measured(task, Path(root) / task.name))
        if asked.only in (None, "speed"):
            rows += show(speed(Path(root), quick=asked.quick))
    merge(RESULTS, rows)


if __name__ == "__main__":
    main()
