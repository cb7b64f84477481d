"""Trains each kind undisturbed, then under kill -9 and on full disks; prints what each ended with, as JSON.

    python worker.py ROOT KILLS

Libraries are imported once; every training is a fork, so a kill costs tenths of a second, not six. The parent only
imports: Polars and torch must not have started threads in a process that forks.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # a forked child must not meet the threads of its parent

import lightgbm  # noqa: F401 - imported here so that no child has to
import optuna  # noqa: F401 - as above
import peft  # noqa: F401 - as above
import torch  # noqa: F401 - as above
import transformers  # noqa: F401 - as above
from kinds import KINDS
from pydantic import TypeAdapter

from modelwright.errors import ResourceError
from modelwright.problem import parse
from modelwright.records import Dataset, Plan, Progress
from modelwright.training import checkpoint, search
from modelwright.training import train as training
from modelwright.training.plan import plan

FULL = 3
"""What a training that met a full disk exits with."""
Found = dict[str, Any]


def prepared(root: Path, kind: str) -> None:
    """Write the dataset and the plan, in a child of its own."""
    dataset = KINDS[kind].dataset(root / "dataset")
    stated = KINDS[kind].problem(root)
    problem, _ = parse({**stated, "training": {**stated["training"], "precision": "fp32"}})
    made = plan(dataset, problem, folder=root, metric=KINDS[kind].metric, budget_seconds=600)
    (root / "dataset.json").write_bytes(TypeAdapter(Dataset).dump_json(dataset))
    (root / "plan.json").write_bytes(TypeAdapter(Plan).dump_json(made))


def trained(root: Path, name: str, *, progress: Callable[[Progress], None] = lambda progress: None) -> None:
    """The training in `root/name`, from the written dataset and plan; no clock decides anything in it."""
    checkpoint.EVERY_SECONDS = 0.05
    search.MOST_TRIALS = 4
    made = TypeAdapter(Plan).validate_json((root / "plan.json").read_bytes())
    run = training.train(
        TypeAdapter(Dataset).validate_json((root / "dataset.json").read_bytes()),
        made,
        metric=made.settings["metric"].value,
        folder=root / name,
        project=root,
        budget_seconds=6000,
        progress=progress,
    )
    (root / name / "id").write_text(run.id)


def watched(folder: Path, reached: Callable[[int], None]) -> None:
    """Call `reached` with the number of each opening, renaming and removing of a file in `folder`, before it is."""
    count, inside = 0, str(folder)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir") and inside in str(arguments[0]):
            count += 1
            reached(count)

    sys.addaudithook(hook)


def counting(root: Path, name: str) -> None:
    """The training, and how many file operations it made in its folder."""
    last = 0

    def reached(number: int) -> None:
        nonlocal last
        last = number

    watched(root / name, reached)
    trained(root, name)
    (root / "operations").write_text(str(last))


def killed_at(root: Path, name: str, operation: int) -> None:
    """The training, killed by itself just before a file operation in its folder."""

    def reached(number: int) -> None:
        if number == operation:
            os.kill(os.getpid(), signal.SIGKILL)

    watched(root / name, reached)
    trained(root, name)


def fork(work: Callable[[], None]) -> int:
    """The process number of a child that does `work` and ends with 0, with FULL, or with 1 and its trace."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except ResourceError as error:
            print(f"full: {error}", file=sys.stderr, flush=True)
            os._exit(FULL)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return child


def ended(child: int, *, code: int = 0) -> None:
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == code, f"a child ended with {status}"


def result(root: Path, name: str, kind: str) -> Found:
    """What a run ended with: hashes of its weights and logs, and its record's id."""
    folder, rows = root / name, KINDS[kind]
    weights = sorted(path for path in (folder / "predictor").rglob("*") if path.is_file())
    files = [*weights, *(folder / log for log in rows.logs)]
    found: Found = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    if rows.journal:
        trials = [json.loads(line) for line in (folder / rows.journal).read_text().splitlines()]
        found[rows.journal] = [{**trial, "seconds": None, "crc32": None} for trial in trials]
    return {**found, "record": (folder / "id").read_text()}


def kills(root: Path, kind: str, count: int, chance: random.Random) -> Found:
    """Half of the kills at a random time, half at a random file operation, again and again in the same run."""
    ended(fork(lambda: prepared(root, kind)))
    began = time.monotonic()
    ended(fork(lambda: counting(root, "whole")))
    whole_seconds = time.monotonic() - began
    operations, killed, names = int((root / "operations").read_text()), 0, []
    while killed < count:
        if killed % 2:
            operation = chance.randint(1, operations)
            child = fork(lambda at=operation: killed_at(root, "killed", at))  # type: ignore[misc]
        else:
            child = fork(lambda: trained(root, "killed"))
            time.sleep(chance.uniform(0.02, 0.95) * whole_seconds)
            os.kill(child, signal.SIGKILL)  # one that has ended waits to be asked for, and is not harmed
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code in (0, -signal.SIGKILL), f"a child ended with {code}"
        if code:
            killed += 1
        else:  # it ended before the kill: the next kills hit a fresh run
            names.append(f"ended-{len(names)}")
            (root / "killed").rename(root / names[-1])
    ended(fork(lambda: trained(root, "killed")))
    return {"kills": killed, "whole": result(root, "whole", kind)} | {
        "others": [result(root, name, kind) for name in (*names, "killed")]
    }


def limited(root: Path, name: str, most: Callable[[Path], int]) -> None:
    """The training, unable from step 20 on to write a file of more bytes than `most` says of the run's folder."""

    def progress(told: Progress) -> None:
        if told.what == "training" and told.done == 20:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most(root / name), resource.RLIM_INFINITY))

    trained(root, name, progress=progress)


def full(root: Path) -> Found:
    """The encoder's run where checkpoints cannot grow, or the log, and in a file system of its own that fills up."""
    ended(fork(lambda: limited(root, "limited", lambda folder: 20_000)), code=FULL)
    kept = sorted(path.name for path in (root / "limited/checkpoints").iterdir())
    ended(fork(lambda: trained(root, "limited")))
    ended(fork(lambda: limited(root, "torn", lambda folder: (folder / "log.jsonl").stat().st_size + 10)), code=FULL)
    ended(fork(lambda: trained(root, "torn")))
    found: Found = {name: result(root, name, "encoder") for name in ("limited", "torn")} | {"kept": kept}
    place = root / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "none", str(place)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        return {**found, "small": None}
    try:
        ended(fork(lambda: trained(root, "small")), code=FULL)
        subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
        ended(fork(lambda: trained(root, "small")))
        shutil.copytree(place, root / "copied")
    finally:
        subprocess.run(["umount", str(place)], check=True)
    return {**found, "small": result(root, "copied", "encoder")}


def of_kind(root: Path, kind: str, count: int) -> None:
    """Write what happened to one kind into `root/found.json`."""
    root.mkdir()
    found = kills(root, kind, count, random.Random(kind))
    if kind == "encoder":
        found["full"] = full(root)
    (root / "found.json").write_text(json.dumps(found))


def main(root: Path, count: int) -> None:
    """Two kinds at a time: more would only wait for each other where there are two cores."""
    children: list[int] = []
    for number, kind in enumerate(KINDS):
        share = count // len(KINDS) + (number < count % len(KINDS))
        children.append(fork(lambda kind=kind, share=share: of_kind(root / kind, kind, share)))  # type: ignore[misc]
        if len(children) == 2:
            ended(children.pop(0))
    for child in children:
        ended(child)
    print(json.dumps({kind: json.loads((root / kind / "found.json").read_text()) for kind in KINDS}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
