"""MODEL_CARD.md: written from the evidence, so that nobody has to write it and nothing in it is a hope.

The front matter is the one of the Hugging Face hub (huggingface.co/docs/hub/model-cards).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import Any

import yaml

from modelwright.deployment.signature import SAID, Signature, example_input
from modelwright.models.predictors import Predictor, completer_of
from modelwright.models.predictors.decision import Decision
from modelwright.records import LANGUAGE_TASKS, Schema

COLUMNS = 6  # of the example call
SHOWN_CLASSES = 30
WEAKEST = 5  # classes named among the limits
PIPELINES = {
    ("text", "classification"): "text-classification",
    ("text", "multilabel"): "text-classification",
    ("text", "tagging"): "token-classification",
    ("image", "classification"): "image-classification",
    ("image", "multilabel"): "image-classification",
    ("table", "classification"): "tabular-classification",
    ("table", "regression"): "tabular-regression",
    ("text", "generation"): "text-generation",
    ("text", "language-modeling"): "text-generation",
}


def card(predictor: Predictor, signature: Signature, title: str, lineage: Mapping[str, Any], golden_count: int) -> str:
    """The text of the card.

    Args:
        predictor: What the package holds.
        signature: Of it.
        title: The package's name with its number.
        lineage: The evidence, as plain data: step -> record, or only its id; absent steps are not told.
        golden_count: How many golden cases the package holds.
    """
    records = {step: record if isinstance(record, dict) else {} for step, record in lineage.items()}
    problem, dataset, report = (records.get(step, {}) for step in ("problem", "dataset", "report"))
    front = yaml.safe_dump(_front(predictor.schema, title, report), sort_keys=False, allow_unicode=True)
    sections = [
        f"---\n{front}---\n\n# {title}",
        "\n".join(_purpose(predictor, problem)),
        "## Data\n\n" + "\n".join(_data(predictor.schema, dataset)),
        "## Figures\n\n" + "\n".join(_figures(report, problem)),
        "## Limits\n\n" + "\n".join(_limits(predictor.schema, dataset, report)),
        "## How to call it\n\n" + _calling(signature, title),
        "## Where it comes from\n\n" + "\n".join(_origin(predictor, lineage, golden_count)),
    ]
    return "\n\n".join(sections) + "\n"


def _front(schema: Schema, title: str, report: Mapping[str, Any]) -> dict[str, Any]:
    front: dict[str, Any] = {"library_name": "modelwright", "tags": ["modelwright", schema.kind, schema.task]}
    pipeline = "fill-mask" if schema.masked else PIPELINES.get((schema.kind, schema.task))
    if pipeline is not None:
        front["pipeline_tag"] = pipeline
    metrics = report.get("metrics") or {}
    if metrics:
        front["metrics"] = list(metrics)
        figures = [{"type": name, "value": figure["value"]} for name, figure in metrics.items()]
        task = {"type": pipeline or f"{schema.kind}-{schema.task}"}
        about = {
            "task": task,
            "dataset": {"name": "its own", "type": "private", "split": report.get("split")},
        }
        front["model-index"] = [{"name": title, "results": [about | {"metrics": figures}]}]
    return front


def _purpose(predictor: Predictor, problem: Mapping[str, Any]) -> Iterator[str]:
    schema = predictor.schema
    if problem.get("statement"):
        yield _line(problem["statement"]) + "\n"
    inputs = f"`{schema.names[0]}`" if len(schema.names) == 1 else f"{len(schema.names)} columns of a table"
    named = "" if schema.task == "language-modeling" else f"`{schema.output}`: "
    outputs = named + SAID[schema.task].format(len(schema.classes))
    kind = schema.kind if len(schema.names) == 1 else "table"
    yield f"It reads {inputs} ({kind}) and answers with {outputs}."
    if completer_of(predictor) is not None:
        yield "It can also go on with a text (`POST /complete`)."
    if isinstance(predictor, Decision) and predictor.weights_C is not None:
        weights = sorted(zip(predictor.weights_C, schema.classes, strict=True), reverse=True)[:SHOWN_CLASSES]
        spoken = ", ".join(f"`{_line(name)}` x{weight:.3g}" for weight, name in weights)
        yield (
            f"\nThe class is answered whose probability times weight is largest, so it need not be the likeliest one:"
            f" that serves {problem.get('metric') or 'the metric'} best. Weights: {spoken}."
        )
    if isinstance(predictor, Decision) and predictor.thresholds_C is not None:
        pairs = sorted(zip(predictor.thresholds_C, schema.classes, strict=True))[:SHOWN_CLASSES]
        spoken = ", ".join(f"`{_line(name)}` {threshold:.2g}" for threshold, name in pairs)
        same = len({threshold for threshold, _ in pairs}) == 1
        least, serves = f"{pairs[0][0]:.2g}" if same else "its threshold", problem.get("metric") or "the metric"
        told = "" if same else f" Thresholds: {spoken}."
        yield f"\nA label is answered from a probability of {least} on, which serves {serves} best.{told}"
    if problem.get("correct"):
        yield f"\nA correct answer: {_line(problem['correct'])}"


def _data(schema: Schema, dataset: Mapping[str, Any]) -> Iterator[str]:
    parts = dataset.get("parts") or {}
    if not parts:
        yield "The record of the dataset was not given when the package was made."
        return
    source = PurePosixPath(str(dataset.get("source", "")).split("?")[0]).name  # no path, no password of a URL
    counted = ", ".join(f"{count:,} {part}" for part, count in parts.items())
    yield f"- source: `{source}`" if source else "- source: not recorded"
    yield f"- examples: {counted}" + (f"; split {_line(dataset['split'])}" if dataset.get("split") else "")
    dropped = {reason: count for reason, count in (dataset.get("dropped") or {}).items() if count}
    if dropped:
        yield "- left out: " + ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in dropped.items())
    if schema.classes:
        shown = ", ".join(f"`{_line(name)}`" for name in schema.classes[:SHOWN_CLASSES])
        more = len(schema.classes) - SHOWN_CLASSES
        what = "classes" if schema.task == "classification" else "labels"
        yield f"- {what}: {shown}" + (f" and {more} more" if more > 0 else "")
    for name, why in (dataset.get("excluded") or {}).items():
        yield f"- not used: `{_line(name)}` ({_line(why)})"


def _figures(report: Mapping[str, Any], problem: Mapping[str, Any]) -> Iterator[str]:
    metrics = report.get("metrics") or {}
    if not metrics:
        yield "No report was given when the package was made: nothing is claimed about how good it is."
        return
    yield f"Measured on {report.get('count', 0):,} examples of the {report.get('split')} part.\n"
    yield "| metric | value | 95% interval |\n|---|---|---|"
    for name, figure in metrics.items():
        low, high = figure.get("low"), figure.get("high")
        interval = f"{low:.4g} to {high:.4g}" if low is not None and high is not None else "none"
        yield f"| {name} | {figure['value']:.4g} | {interval} |"
    if problem.get("goal") is not None:
        judged = (report.get("meets") or {}).get("goal")
        met = "not judged" if judged is None else "met" if judged else "not met"
        yield f"\nThe goal, {report.get('metric')} of {problem['goal']:g}, is {met}."
    compared = report.get("compared")
    if compared:
        real = "real" if compared["real"] else "within noise"
        yield (
            f"\nAgainst {compared['to']}: {compared['difference']:+.4g} "
            f"[{compared['low']:.4g}, {compared['high']:.4g}], p = {compared['p']:.2g}: {real}."
        )


def _limits(schema: Schema, dataset: Mapping[str, Any], report: Mapping[str, Any]) -> Iterator[str]:
    yield "- It knows only what its data showed; on inputs of another origin the figures above do not hold."
    if schema.task in LANGUAGE_TASKS:
        yield "- What it writes may be untrue, and may repeat what it learnt from word for word."
    if schema.task == "tagging":
        yield "- It labels whole words, and no span lies within another."
    if schema.task == "classification":
        yield f"- It always answers with one of its {len(schema.classes)} classes, also where none fits."
    weakest = sorted(report.get("classes") or [], key=lambda figures: figures["f1"])[:WEAKEST]
    if weakest and len(schema.classes) > 2:
        shown = ", ".join(f"`{_line(each['name'])}` {each['f1']:.2f} (of {each['count']})" for each in weakest)
        what = "classes" if schema.task == "classification" else "labels"
        yield f"- Weakest {what} by F1: {shown}."
    slices = sorted(report.get("slices") or [], key=lambda each: each["score"]["value"])
    if slices:
        worst, best = slices[0], slices[-1]
        yield (
            f"- {report.get('metric')} by slice runs from {worst['score']['value']:.4g} "
            f"on {_line(worst['name'])} ({worst['count']} examples) to {best['score']['value']:.4g} "
            f"on {_line(best['name'])}."
        )
    if report.get("diagnosis"):
        yield f"- {_line(report['diagnosis']['verdict'])}: {_line(report['diagnosis']['evidence'])}"
    if dataset.get("label_ceiling") is not None:
        yield f"- The labels themselves support at most {dataset['label_ceiling']:.3g}."
    for finding in dataset.get("findings") or []:
        if finding["severity"] != "info":
            kind = finding["kind"].replace("_", " ")
            yield f"- In the data: {kind}, {finding['count']:,}. {_line(finding['next'])}"


def _calling(signature: Signature, title: str) -> str:
    one: Any = example_input(signature, COLUMNS)
    if len(signature.names) == 1:  # its bare value will do
        one = "base64 of an image file" if signature.kind == "image" else one[signature.names[0]]
    body = json.dumps({"inputs": [one]}, ensure_ascii=False)
    more = "\n\n(`signature.json` lists every column.)" if len(signature.names) > COLUMNS else ""
    return (
        f"```sh\nmodelwright serve {title}\n```\n\n```http\nPOST /predict\nContent-Type: application/json\n\n"
        f"{body}\n```\n\n```python\nfrom modelwright.deployment.load import load_package\n\n"
        f"load_package({title!r}).predict([{one!r}])\n```{more}"
    )


def _origin(predictor: Predictor, lineage: Mapping[str, Any], golden_count: int) -> Iterator[str]:
    kind = predictor.kind
    if isinstance(predictor, Decision):
        kind = f"{predictor.inner.kind}, with {'weights' if predictor.thresholds_C is None else 'thresholds'}"
    yield f"- predictor: {kind}, made by Modelwright {version('modelwright')}"
    for step, record in lineage.items():
        found = record.get("id") if isinstance(record, dict) else record
        if isinstance(found, str):
            yield f"- {step}: `{_line(found)}`"
    yield f"- {golden_count} golden cases, drawn from the validation part, are asked each time it is loaded"


def _line(text: Any) -> str:
    """`text` on one line, with nothing that Markdown or HTML would read as its own."""
    flat = " ".join(str(text).split())
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace("`", "'").replace("|", "\\|")
