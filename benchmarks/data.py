"""Data that can be trusted: what is found of what was planted, beside the tools that people use.

    python benchmarks/data.py [--quick] [--only twins]

Near-duplicates: texts of words as often as movie reviews have them, one in twenty altered: written otherwise, mistyped,
in another order, cut off. `ratio` is ours / peer, above 1 in our favour. The peer runs in the environment of the peers.
Data is looked for in $MODELWRIGHT_SHARED_DATA, else ../shared/data.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import venv
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
from table import Row, merge, row, show

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("MODELWRIGHT_SHARED_DATA", HERE.parent.parent / "shared/data"))
PEERS = HERE / ".peers-data"
RESULTS = HERE / "results" / "data.json"
COUNT, PLANTED = 100_000, 0.05
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def peers() -> str:
    """The interpreter of the peers' environment, made where it is missing."""
    python = PEERS / "bin" / "python"
    if not (PEERS / "made").exists():
        print("making the peers' environment", file=sys.stderr)
        venv.create(PEERS, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "-c", str(HERE.parent / "constraints.txt")]
        subprocess.run([*install, "datasketch==2.0.0", "polars", "numpy"], check=True)
        (PEERS / "made").touch()
    return str(python)


def run(python: str, script: str, *words: object) -> dict[str, Any]:
    """The last line that a contestant prints."""
    command = [python, str(HERE / "contestants" / script), *map(str, words)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{found.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(found.stdout.strip().splitlines()[-1])
    return told


def _typed_wrong(text: str, chance: random.Random) -> str:
    """One to five in a hundred letters wrong: lost, doubled, another, or swapped with the next; one at least."""
    letters = list(text)
    count = max(1, round(chance.uniform(0.01, 0.05) * len(letters)))
    for place in chance.sample(range(len(letters) - 1), count):
        kind = chance.randrange(4)
        if kind == 3:
            letters[place], letters[place + 1] = letters[place + 1], letters[place]
        else:
            letters[place] = ("", letters[place] * 2, chance.choice(LETTERS))[kind]
    return "".join(letters)


def _reordered(text: str, chance: random.Random) -> str:
    words = text.split()
    if chance.random() < 0.5:
        place = chance.randrange(len(words) - 1)
        words[place], words[place + 1] = words[place + 1], words[place]
        return " ".join(words)
    return " ".join(chance.sample(words, len(words)))


ALTERED: dict[str, Callable[[str, random.Random], str]] = {
    "exact": lambda text, chance: text,
    "case": lambda text, chance: chance.choice((text.upper(), text.title(), text.capitalize())),
    "spaces": lambda text, chance: (
        "  " + text.replace(" ", "  ", chance.randint(1, 3)) + chance.choice((" ", "!", "."))
    ),
    "typos": _typed_wrong,
    "order": _reordered,
    "truncation": lambda text, chance: text[: round(chance.uniform(0.7, 0.95) * len(text))],
}


def planted(count: int, *, seed: int = 0) -> tuple[list[str], dict[tuple[int, int], str]]:
    """So many texts, and of each pair of twins the kind."""
    chance = random.Random(seed)
    reviews = pl.read_csv(DATA / "text/movie_reviews.csv.gz", n_rows=500)["text"].to_list()
    counts = Counter(word for text in reviews for word in text.lower().split() if word.isalpha())
    words, weights = zip(*sorted(counts.items()), strict=True)
    own = round(count * (1 - PLANTED))
    texts = [" ".join(chance.choices(words, weights, k=chance.randint(5, 15))) for _ in range(own)]
    pairs = {}
    for number, place in enumerate(chance.sample(range(own), count - own)):
        kind = list(ALTERED)[number % len(ALTERED)]
        pairs[place, len(texts)] = kind
        texts.append(ALTERED[kind](texts[place], chance))
    return texts, pairs


def _recalls(found: dict[str, Any], pairs: dict[tuple[int, int], str]) -> dict[str, float]:
    """The share of each kind that was found, of all, and the precision."""
    mine = set(zip(*found["pairs"], strict=True))
    sizes, hits = Counter(pairs.values()), Counter(kind for pair, kind in pairs.items() if pair in mine)
    shares = {kind: hits[kind] / sizes[kind] for kind in ALTERED}
    every = sum(hits.values())
    return {**shares, "all": every / len(pairs), "precision": every / max(1, len(mine))}


TARGETS = {"exact": 1.0, "typos": 0.95, "order": 0.95, "precision": 0.98}


def twins(*, quick: bool) -> list[Row]:
    """Near-duplicates of short texts: what share is found, how many texts a second, how much memory."""
    count = COUNT // 5 if quick else COUNT
    texts, pairs = planted(count)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "texts.parquet"
        pl.DataFrame({"text": texts}).write_parquet(path)
        ours, theirs = [], []
        for _ in range(1 if quick else 2):
            ours.append(run(sys.executable, "twins_ours.py", path))
            theirs.append(run(peers(), "twins_datasketch.py", path, 0.5))
        rows = []
        mine, other = _recalls(ours[0], pairs), _recalls(theirs[0], pairs)
        for kind, share in mine.items():
            what = kind if kind == "precision" else f"recall, {kind}"
            rows.append(row(f"near-duplicates: {what}", share, other[kind], "share", target=TARGETS.get(kind)))
        rates = [count / min(each["seconds"] for each in found) for found in (ours, theirs)]
        rows.append(row("near-duplicates: texts a second", *rates, "texts/s", target=10.0))
        if not quick:
            texts, pairs = planted(10 * count)
            pl.DataFrame({"text": texts}).write_parquet(path)
            found = run(sys.executable, "twins_ours.py", path)
            rows.append(row("near-duplicates: peak memory, a million texts", found["peak_bytes"] / 1e9, 2.0, "GB"))
            rows.append(row("near-duplicates: seconds, a million texts", found["seconds"], None, "s"))
            large = _recalls(found, pairs)
            rows.append(row("near-duplicates: recall, a million texts", large["all"], None, "share"))
            rows.append(row("near-duplicates: precision, a million texts", large["precision"], None, "share"))
    return rows


SECTIONS = {"twins": twins}


def main() -> None:
    """Run the sections asked for, print a table and keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a fifth of the texts, in under five minutes")
    parser.add_argument("--only", choices=sorted(SECTIONS))
    asked = parser.parse_args()
    rows: list[Row] = []
    for name, section in SECTIONS.items():
        if asked.only in (None, name):
            rows += show(section(quick=asked.quick))
    if not asked.quick:
        merge(RESULTS, rows)


if __name__ == "__main__":
    main()
