"""A predictor -> a package: a folder that holds all it takes to answer, and proves itself when loaded."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
from collections.abc import Mapping
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from modelwright.deployment import golden, reference, requirements
from modelwright.deployment.card import card
from modelwright.deployment.files import MANIFEST, SUMS, publish, sums_text, walk
from modelwright.deployment.load import FORMAT, Loaded, load_package
from modelwright.deployment.signature import Signature, describe, schema_of
from modelwright.disk import file_sha256
from modelwright.errors import Fault, InputError
from modelwright.models.predictors import Predictor, save_predictor
from modelwright.records import Latency, Package, plain

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # problem.Problem.name
REFERENCE_EXAMPLES = 2_000  # each costs an answer; a share of them is known to 1 point; chosen
LATENCY_CALLS = 32
LATENCY_SECONDS = 2.0  # at most, where one call is slow; chosen, not measured


def package(
    predictor: Predictor,
    *,
    name: str,
    to: Path,
    examples: pl.DataFrame,
    lineage: dict[str, object],
    seed: int,
    excluded: Mapping[str, str] | None = None,
) -> Package:
    """The package `to`/`name`-1, or with the next free number: written whole or not at all.

    Before it gets its name it is loaded back from its files and must give the same answers to its golden
    cases, asked as a caller would ask them.

    Args:
        predictor: What answers.
        name: The problem's name.
        to: The project's `packages` folder; made where it is missing.
        examples: Validation examples, with the output column; golden cases are drawn from them, so a few
            of them are in the package. Everything else in it is counts and quantiles.
        lineage: Where it comes from: `problem`, `dataset`, `verdict`, `plan`, `run`, `report`, each a
            record or only its id. What is given as a record is told in the model card.
        seed: Of the draw.
        excluded: Columns that the data has and the model does not use -> why; callers may send them.

    Raises:
        InputError: the name cannot be a folder's, or there are no examples.
        IntegrityError: the saved predictor does not answer as the one in memory.
    """
    if not NAME.fullmatch(name):
        raise InputError(Fault("name", repr(name), "letters, digits, dots, dashes; at most 100"))
    if examples.is_empty():
        raise InputError(Fault("examples", "there are none", "validation examples to draw golden cases from"))
    to.mkdir(parents=True, exist_ok=True)
    partial = to / f".{name}-{secrets.token_hex(4)}.partial"
    try:
        signature = describe(predictor, examples, excluded or {})
        _write(partial, predictor, signature, examples, seed)
        while True:
            number = _next_number(to, name)
            _seal(partial, predictor, signature, f"{name}-{number}", lineage)
            loaded = load_package(partial)
            if publish(partial, to / f"{name}-{number}"):
                break
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    final = to / f"{name}-{number}"
    files = {path: file_sha256(final / path) for path in walk(final)}
    return Package(loaded.id, str(final), files, loaded.golden, _latency(loaded, examples))


def _write(folder: Path, predictor: Predictor, signature: Signature, examples: pl.DataFrame, seed: int) -> None:
    """All files that do not depend on the package's number."""
    cases = golden.lines(predictor, golden.draw(examples, predictor.schema, seed), signature)
    save_predictor(predictor, folder / "model")
    (folder / "golden.jsonl").write_text("".join(f"{line}\n" for line in cases), encoding="utf-8")
    _write_json(folder / "signature.json", schema_of(signature))
    shown = examples.sample(min(len(examples), REFERENCE_EXAMPLES), seed=seed)
    _write_json(folder / "reference.json", reference.sketch(predictor.schema, shown, predictor.predict(shown)))


def _seal(folder: Path, predictor: Predictor, signature: Signature, title: str, lineage: Mapping[str, object]) -> None:
    """The card, the manifest and the hashes: what depends on the number."""
    golden_count = len((folder / "golden.jsonl").read_text(encoding="utf-8").splitlines())
    text = card(predictor, signature, title, plain(dict(lineage)), golden_count)
    (folder / "MODEL_CARD.md").write_text(text, encoding="utf-8")
    hashes = {path: file_sha256(folder / path) for path in walk(folder) if path not in (MANIFEST, SUMS)}
    name, _, number = title.rpartition("-")
    manifest = {
        "format": FORMAT,
        "name": name,
        "version": int(number),
        "made_by": {"modelwright": installed("modelwright")},
        "predictor": predictor.kind,
        "schema": plain(predictor.schema),
        "lineage": _slim(lineage),
        "requirements": requirements.needed(folder / "model"),
        "golden": {"count": golden_count, "tolerance": golden.TOLERANCE},
        "files": hashes,
    }
    _write_json(folder / MANIFEST, manifest)
    hashes[MANIFEST] = file_sha256(folder / MANIFEST)
    (folder / SUMS).write_text(sums_text(hashes), encoding="utf-8")


def _slim(lineage: Mapping[str, object]) -> dict[str, Any]:
    """The lineage as the manifest holds it: ids and figures, not the examples that findings quote."""
    slim: dict[str, Any] = {}
    for step, record in plain(dict(lineage)).items():
        if not isinstance(record, dict):
            slim[step] = record
            continue
        kept = ("id", "name", "statement", "metric", "metrics", "split", "count", "goal")
        slim[step] = {key: record[key] for key in kept if record.get(key) is not None}
    return slim


def _next_number(to: Path, name: str) -> int:
    pattern = re.compile(re.escape(name) + r"-([1-9]\d{0,8})")
    taken = [int(match[1]) for path in to.iterdir() if (match := pattern.fullmatch(path.name))]
    return max(taken, default=0) + 1


def _latency(loaded: Loaded, examples: pl.DataFrame) -> Latency:
    """Milliseconds for one example at a time; the first call, which warms up, is not counted."""
    frame = examples.head(LATENCY_CALLS).select(loaded.schema.names)
    loaded.predictor.predict(frame[:1])
    times: list[float] = []
    begin = time.perf_counter()
    for index in range(LATENCY_CALLS):
        start = time.perf_counter()
        loaded.answer(frame[index % len(frame)])
        times.append(1000 * (time.perf_counter() - start))
        if time.perf_counter() - begin > LATENCY_SECONDS:
            break
    return Latency(float(np.percentile(times, 50)), float(np.percentile(times, 95)))


def _write_json(path: Path, content: Any) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
