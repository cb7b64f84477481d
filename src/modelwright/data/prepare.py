"""Step 2, told in order: gather, clean, look for leaks, split, seal, write."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from modelwright.data import sources
from modelwright.data.clean import Cleaned, clean, copied, hash_examples
from modelwright.data.findings import about_classes
from modelwright.data.gather import Gathered, Told, gather
from modelwright.data.labels import label_counts, several, spelled
from modelwright.data.leakage import leaks
from modelwright.data.official import told_by_test, unseen
from modelwright.data.outputs import classes_of, positive_of
from modelwright.data.parting import part_examples
from modelwright.data.parts import OPEN, part_file
from modelwright.data.seal import close_seal
from modelwright.data.splits import PARTS, TEST, TRAIN, VALIDATION
from modelwright.data.twins.settle import settle
from modelwright.disk import file_sha256, sync
from modelwright.errors import Fault, SourceError
from modelwright.problem import Problem
from modelwright.records import POSITION, Dataset, Finding, Progress, Schema, Seal, identify

FEWEST = 10
"""Examples that must be left: a tenth of fewer is none. Chosen: figures need hundreds, and will say so."""

_SEVERITIES = ("error", "warning", "info")
_STEPS = ("reading", "cleaning", "looking for near-duplicates", "looking for leaks", "splitting", "writing")


def prepare(problem: Problem, *, folder: Path, to: Path, progress: Told | None = None, masked: bool = False) -> Dataset:
    """The dataset of `problem`, written to `to`: the same data and problem always give the same one.

    Positions count the examples of the source from 0; those of an official test file are numbered on from
    there. An official test part is kept as published: only examples without an output, or of a class that
    train does not show, are left out of it.

    Args:
        problem: As stated; what it leaves `auto` is inferred.
        folder: The project's folder, which relative paths start from.
        to: An empty or absent folder, whose parent exists; filled in one step at the end.
        progress: Called now and then.
        masked: Whether a language model is to guess hidden words, and not to go on with texts.

    Raises:
        SourceError: the data cannot be read, does not fit the problem, or is too little to learn from.
    """
    started = time.monotonic()
    _check_shares(problem)
    gathered = gather(problem, folder=folder, progress=progress, masked=masked)
    _tell(progress, "cleaning")
    cleaned, official_N = _clean(gathered)
    if not gathered.running:
        _tell(progress, "looking for near-duplicates")
        cleaned, official_N = settle(cleaned, official_N, gathered.test, gathered.schema, problem.data.duplicates)
    _check_enough(cleaned.examples, gathered.schema)
    _tell(progress, "looking for leaks")
    leaking = tuple(leaks(cleaned.examples, gathered.schema, gathered.others, problem.data.split))
    _tell(progress, "splitting")
    parts_N, how, said = part_examples(problem, gathered, cleaned, official_N)
    parts, schema, lines, found = _parts(cleaned.examples, parts_N, gathered)
    dropped = pl.concat([gathered.dropped, cleaned.dropped, lines]).sort("position")
    kept = sum(map(len, parts))
    assert kept + len(dropped) == gathered.count, "examples in = examples kept + examples dropped"
    _tell(progress, "writing")
    seal = _write(parts, dropped, to)
    findings = [*gathered.findings, *cleaned.findings, *leaking, *said, *found]
    findings.sort(key=lambda finding: _SEVERITIES.index(finding.severity))
    dataset = Dataset(
        id="",
        path=str(to),
        schema=schema,
        parts={name: len(part) for name, part in zip(PARTS, parts, strict=True)},
        classes=schema.classes,
        dropped=dict(sorted(Counter(dropped["reason"].to_list()).items())),
        findings=tuple(findings),
        seal=seal,
        source=problem.data.source,
        source_sha256=_fingerprint(problem, folder),
        split=how,
        seconds=time.monotonic() - started,
        excluded=gathered.excluded,
        label_ceiling=cleaned.label_ceiling,
        parts_sha256={part: file_sha256(part_file(to, part)) for part in OPEN},
    )
    return identify(dataset)  # type: ignore[no-any-return]


def _tell(progress: Told | None, what: str) -> None:
    if progress:
        progress(Progress("prepare", what, _STEPS.index(what), len(_STEPS), "steps"))


def _check_shares(problem: Problem) -> None:
    """Return if every part that no official split fills has a share."""
    split = problem.data.split
    faults = []
    for part, share in (("validation", split.validation), ("test", split.test)):
        official = split.column is not None or (part == "test" and problem.data.test is not None)
        if share == 0 and not official:
            todo = "give it a share, 0.1 for example"
            faults.append(Fault(f"data.split.{part}", "is 0", "a share above 0", todo))
    if faults:
        raise SourceError(faults)


def _clean(gathered: Gathered) -> tuple[Cleaned, np.ndarray]:
    """The examples without copies and contradictions, and without those in the official test part."""
    schema, test = gathered.schema, gathered.test
    cleaned = clean(gathered.examples, schema)
    stays_N = gathered.examples[POSITION].is_in(cleaned.examples[POSITION].implode()).to_numpy()
    official_N = gathered.official_N[stays_N]
    if test is None:
        return cleaned, official_N
    together = [*schema.names, schema.output]
    both = pl.concat([cleaned.examples.select(together), test.select(together)])
    if schema.kind == "table" and not copied(both, together):
        return cleaned, official_N  # they agree by chance, as examples within train do
    hashes_N, test_hashes_N = (hash_examples(each, schema.names) for each in (cleaned.examples, test))
    gone, lines, found = told_by_test(cleaned.examples, hashes_N, test, test_hashes_N, schema.output)
    kept_N = ~gone.to_numpy()
    twins_N = None
    if cleaned.twins_N is not None:
        twins_N = np.unique(cleaned.twins_N[kept_N], return_inverse=True)[1].astype(np.int64)
    cleaned = dataclasses.replace(
        cleaned,
        examples=cleaned.examples.filter(~gone),
        dropped=pl.concat([cleaned.dropped, lines]),
        findings=(*cleaned.findings, *found),
        twins_N=twins_N,
    )
    return cleaned, official_N[kept_N]


def _check_enough(examples: pl.DataFrame, schema: Schema) -> None:
    """Return if there is something to learn."""
    output = spelled(examples[schema.output])
    distinct = output.n_unique()
    where = f"column {schema.output!r}"
    if len(examples) < FEWEST:
        found = f"{len(examples)} examples are left"
        fault = Fault("the data", found, f"at least {FEWEST}", "collect more; figures need hundreds")
    elif distinct < 2 and schema.task not in ("tagging", "language-modeling"):
        what = {"classification": "class", "multilabel": "answer"}.get(schema.task, "value")
        found = f"every example has the same {what}, {output[0]!r}"
        fault = Fault(where, found, f"at least two different {what}s", "name another output column, or add examples")
    elif schema.task == "classification" and distinct > len(examples) / 2:
        found = f"{distinct:,} different labels for {len(examples):,} examples"
        fault = Fault(where, found, "labels that repeat", "name another output column, or `task: regression`")
    else:
        return
    raise SourceError(fault)


def _parts(
    examples: pl.DataFrame, parts_N: np.ndarray, gathered: Gathered
) -> tuple[list[pl.DataFrame], Schema, pl.DataFrame, list[Finding]]:
    """The three parts as they are stored, the whole schema, lines for dropped.parquet, findings."""
    schema = gathered.schema
    columns = [POSITION, *schema.names, schema.output]
    parts = [examples.filter(parts_N == part).select(columns) for part in (TRAIN, VALIDATION, TEST)]
    if gathered.test is not None:
        parts[TEST] = gathered.test.select(columns)
    lines, findings = gathered.dropped.clear(), []
    if schema.task == "classification" or several(schema.task):
        classes = (
            [*label_counts(parts[TRAIN][schema.output])]
            if several(schema.task)
            else classes_of(parts[TRAIN][schema.output])
        )
        for part in (VALIDATION, TEST):
            parts[part], gone, found = unseen(parts[part], schema.output, classes)
            lines = pl.concat([lines, gone])
            findings += found
        counts: Counter[str] = Counter()
        for stored in parts:
            counts.update(label_counts(stored[schema.output]))
        ordered = {name: counts[name] for name in classes}
        positive = None if several(schema.task) else positive_of(ordered)
        things = "spans" if schema.task == "tagging" else "examples"
        findings += about_classes(ordered, several=several(schema.task), things=things)
        schema = dataclasses.replace(schema, classes=tuple(classes), positive=positive)
    for name, stored in zip(PARTS, parts, strict=True):
        if stored.is_empty():
            fault = Fault("data.split", f"the {name} part is empty", "examples in every part", _EMPTY)
            raise SourceError(fault)
    if schema.task == "classification" and len(schema.classes) < 2:
        fault = Fault("data.split", "train has one class only", "at least two", _EMPTY)
        raise SourceError(fault)
    if several(schema.task) and not schema.classes:
        raise SourceError(Fault("data.split", "no training example has a label", "examples of every label", _EMPTY))
    return parts, schema, lines, findings


_EMPTY = "change the shares, the group or the time column"


def _write(parts: list[pl.DataFrame], dropped: pl.DataFrame, to: Path) -> Seal:
    """The seal of the test part, once all files stand in `to`: all of them or none."""
    with _replacing(to) as folder:
        parts[TRAIN].write_parquet(part_file(folder, "train"))
        parts[VALIDATION].write_parquet(part_file(folder, "validation"))
        dropped.write_parquet(folder / "dropped.parquet")
        for name in ("train", "validation", "dropped"):
            sync(folder / f"{name}.parquet")
        seal = close_seal(folder, parts[TEST])
        sync(folder)
    return seal


@contextlib.contextmanager
def _replacing(to: Path) -> Iterator[Path]:
    """A new folder beside `to` that takes its place at the end; it is removed where something fails."""
    folder = to.with_name(f".{to.name}-{uuid.uuid4().hex}")
    folder.mkdir()
    try:
        yield folder
        folder.rename(to)
        sync(to.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fingerprint(problem: Problem, folder: Path) -> str:
    """The SHA-256 of the source, or of the source's and the official test file's together."""
    source = sources.fingerprint(problem.data.source, folder=folder, query=problem.data.query)
    if problem.data.test is None:
        return source
    test = sources.fingerprint(problem.data.test, folder=folder)
    return hashlib.sha256(f"{source} {test}".encode()).hexdigest()
