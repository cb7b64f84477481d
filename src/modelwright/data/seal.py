"""The sealed test part: who looked at it, when, for what, and what they were told.

In a dataset's folder, `sealed/test.parquet` holds the test examples and `ledger.jsonl` every look (see
`ledger.py`). The ledger's first entry states the SHA-256 and the count of the test file, so a test file that
was changed or swapped is noticed. A look writes two entries: `look` before the test examples are handed out,
so that a crash costs the look, and `answer` before the answer is released.

What is released follows the Ladder mechanism (Blum and Hardt, "The Ladder: A Reliable Leaderboard for
Machine Learning Competitions", ICML 2015): the first look gives its figures, a later one only where it beats
the best so far by more than z paired standard errors. z is the normal quantile of 1 - .05 / looks, .05 being
shared out over all looks (Bonferroni): 2.81 for 20, so the chance of ever releasing a gain that is not there
stays near 5%.

This guards against fooling oneself, not against a forger: whoever can write the folder can rewrite it all.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import polars as pl

from modelwright.data.ledger import HEAD, LEDGER, RESTORE, Entry, append, locked
from modelwright.disk import file_sha256, sync
from modelwright.errors import SealError
from modelwright.records import Dataset, Seal

LOOKS = 20
"""Looks allowed by default. Chosen: enough for a project's releases, and z stays under 3."""

ALPHA = 0.05
"""The chance, over all looks together, of releasing a gain that is not there."""

FOLDER, TEST = "sealed", "test.parquet"


@dataclass(frozen=True, slots=True)
class Best:
    """The best predictor that looked so far, and what its judge kept of each test example, in their order."""

    predictor: str
    number: int
    kept: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Answer:
    """What a judge found out.

    Args:
        figures: All that is released where the look earns it; must be what JSON can hold.
        kept: One line per test example, in their order: what the judge of a later predictor needs for a
            paired comparison with this one (its predictions, say). It never leaves the seal otherwise.
        gain: How much better than the best so far, in the metric, more is better; None where there is none.
        standard_error: Of `gain`, paired over the test examples.
    """

    figures: dict[str, Any]
    kept: pl.DataFrame
    gain: float | None = None
    standard_error: float | None = None


Judge = Callable[[pl.DataFrame, Best | None], Answer]
"""(test examples, best so far) -> Answer. The examples must not outlive the call; it may not open the seal."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the one who looked is told: `figures`, or None and in `masked` the reason why."""

    number: int
    figures: dict[str, Any] | None
    masked: str | None
    against: str | None  # the predictor that was the best so far
    looks_used: int
    looks_allowed: int
    repeated: bool = False  # the same question was answered before; this cost nothing


@dataclass(frozen=True, slots=True)
class SealState:
    """The verified state of a seal."""

    count: int
    looks_used: int
    looks_allowed: int
    z: float
    sha256: str
    best: str | None  # the predictor that is the best so far


def close_seal(folder: Path, examples: pl.DataFrame, *, looks: int = LOOKS) -> Seal:
    """The seal put on `examples` as the test part of the dataset in `folder`; its ledger is begun."""
    (folder / FOLDER).mkdir()
    path = folder / FOLDER / TEST
    examples.write_parquet(path)
    sync(path)
    first = {"kind": "sealed", "sha256": file_sha256(path), "count": len(examples), "looks_allowed": looks}
    append(folder, [], first)
    return Seal(len(examples), 0, looks)


def carry_looks(previous: Path, folder: Path) -> bool:
    """Whether the dataset in `folder` has the test part of the one in `previous`; then its looks count on.

    For a dataset that is prepared again: without this, preparing again would buy new looks.

    Raises:
        SealError: one of the ledgers does not verify.
    """
    with locked(folder) as entries, locked(previous) as before:
        if entries[0]["sha256"] != before[0]["sha256"] or len(entries) > 1:
            return False
        for path in (previous / FOLDER).glob("look-*.parquet"):
            shutil.copy2(path, folder / FOLDER / path.name)
        for name in (LEDGER, HEAD):
            shutil.copy2(previous / name, folder / name)
            sync(folder / name)
    return True


def open_seal(dataset: Dataset) -> SealState:
    """The state of the seal of `dataset`, after checking its ledger and the test file's hash.

    Raises:
        SealError: the ledger or the test file is missing, or is not what was written.
    """
    folder = Path(dataset.path)
    with locked(folder) as entries:
        _check_test(folder, entries)
    first, best = entries[0], _best_entry(entries)
    return SealState(
        count=first["count"],
        looks_used=_looks(entries),
        looks_allowed=first["looks_allowed"],
        z=quantile(first["looks_allowed"]),
        sha256=first["sha256"],
        best=best["predictor"] if best else None,
    )


def look(dataset: Dataset, *, predictor: str, purpose: str, judge: Judge) -> Look:
    """What may be said about `predictor` on the sealed test part, at the cost of one look.

    A question that was answered before (same predictor, same purpose) gets the recorded answer at no cost.

    Args:
        dataset: Whose test part it is.
        predictor: Names what is judged by its content, so that another training gets another name.
        purpose: What the figures are for, in a few words; stands in the ledger.
        judge: Gets the test examples and computes; nothing else does.

    Raises:
        SealError: no looks are left, or the ledger or the test file is not what was written.
    """
    folder = Path(dataset.path)
    asked = {"predictor": predictor, "purpose": purpose}
    with locked(folder) as entries:
        for entry in entries:
            if entry["kind"] == "answer" and {key: entry[key] for key in asked} == asked:
                return _told(entry, entries, repeated=True)
        number, allowed = _looks(entries) + 1, entries[0]["looks_allowed"]
        if number > allowed:
            todo = "collect new examples, prepare them as a new dataset and test on those"
            raise SealError(f"all {allowed} looks at the test part of {folder} are used; {todo}")
        _check_test(folder, entries)
        best = _load_best(folder, entries)
        append(folder, entries, {"kind": "look", "look": number, **asked})
        answer = judge(pl.read_parquet(folder / FOLDER / TEST), best)
        outcome = _outcome(answer, best, entries[0])
        if outcome["released"]:
            outcome["kept"] = _keep(folder, number, answer.kept)
        append(folder, entries, {"kind": "answer", "look": number, **asked, **outcome})
        return _told(entries[-1], entries)


def quantile(looks: int) -> float:
    """The paired standard errors that a gain must exceed: the normal quantile of 1 - ALPHA / looks."""
    return NormalDist().inv_cdf(1 - ALPHA / looks)


def _outcome(answer: Answer, best: Best | None, first: Entry) -> dict[str, Any]:
    """What the ledger says of `answer`: the figures where they are released, never where they are not."""
    assert len(answer.kept) == first["count"], "a judge keeps one line per test example"
    if best is None:
        return {"released": True, "figures": answer.figures, "against": None}
    assert answer.gain is not None and answer.standard_error is not None, "a judge compares with the best"
    released = bool(answer.gain > quantile(first["looks_allowed"]) * answer.standard_error)
    figures = answer.figures if released else None
    return {"released": released, "figures": figures, "against": best.predictor}


def _told(entry: Entry, entries: list[Entry], *, repeated: bool = False) -> Look:
    """The answer in `entry` as the one who asked may see it."""
    allowed = entries[0]["looks_allowed"]
    masked = None
    if not entry["released"]:
        masked = (
            f"not better than the best so far ({entry['against']}) by more than {quantile(allowed):.2f} "
            "paired standard errors, so the figures stay sealed"
        )
    used = _looks(entries)
    return Look(entry["look"], entry["figures"], masked, entry["against"], used, allowed, repeated)


def _best_entry(entries: list[Entry]) -> Entry | None:
    released = [entry for entry in entries if entry["kind"] == "answer" and entry["released"]]
    return released[-1] if released else None


def _load_best(folder: Path, entries: list[Entry]) -> Best | None:
    entry = _best_entry(entries)
    if entry is None:
        return None
    path = folder / FOLDER / entry["kept"]["file"]
    if not path.is_file() or file_sha256(path) != entry["kept"]["sha256"]:
        raise SealError(f"{path} is not what the ledger says; {RESTORE}")
    return Best(entry["predictor"], entry["look"], pl.read_parquet(path))


def _keep(folder: Path, number: int, kept: pl.DataFrame) -> dict[str, str]:
    """The name and hash of the file that holds what the judge kept in look `number`."""
    path = folder / FOLDER / f"look-{number}.parquet"
    kept.write_parquet(path)
    sync(path)
    return {"file": path.name, "sha256": file_sha256(path)}


def _looks(entries: list[Entry]) -> int:
    return sum(entry["kind"] == "look" for entry in entries)


def _check_test(folder: Path, entries: list[Entry]) -> None:
    path = folder / FOLDER / TEST
    if not path.is_file():
        raise SealError(f"{path} is missing; {RESTORE}")
    if file_sha256(path) != entries[0]["sha256"]:
        raise SealError(f"{path} is not the file that was sealed: its SHA-256 has changed; {RESTORE}")
