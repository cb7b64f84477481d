"""Looks at a test part outlive the dataset that they were spent on: preparing again buys no new ones."""

from __future__ import annotations

import shutil
from pathlib import Path

from modelwright.data.ledger import LEDGER
from modelwright.data.seal import carry_looks

_ASIDE = ".replaced"


def set_aside(place: Path) -> None:
    """Make way for a dataset at `place`; one that is there already keeps its ledger under another name."""
    if not place.exists():
        return
    if not (place / LEDGER).exists():
        shutil.rmtree(place)
        return
    number = 1
    while (aside := place.with_name(f"{place.name}{_ASIDE}-{number}")).exists():
        number += 1
    place.rename(aside)


def keep_looks(place: Path) -> None:
    """Let the looks at this very test part, spent in any dataset of the project, count on at `place`.

    Raises:
        SealError: a ledger does not verify.
    """
    others = [path.parent for path in place.parent.glob(f"*/{LEDGER}") if path.parent != place]
    for other in sorted(others, key=lambda folder: -(folder / LEDGER).stat().st_size):
        if carry_looks(other, place):
            break
    for aside in place.parent.glob(f"{place.name}{_ASIDE}-*"):
        shutil.rmtree(aside)  # the new one has all that it had, or another test part
