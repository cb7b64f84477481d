"""Trials that are finished are found again, whatever a kill or a disk did to the file."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelwright.errors import IntegrityError
from modelwright.training.journal import JOURNAL, enter, entries


@dataclass(frozen=True, slots=True)
class Trial:
    number: int
    tried: dict[str, Any]
    loss: float | None


TRIALS = [Trial(0, {}, 0.5), Trial(1, {"rate": 1e-3, "kind": "é"}, None), Trial(2, {"rate": 0.25}, 1e-300)]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    for trial in TRIALS:
        enter(tmp_path, trial)
    return tmp_path / JOURNAL


def test_what_was_entered_is_found(journal: Path) -> None:
    assert entries(journal.parent, Trial) == TRIALS
    assert entries(journal.parent / "none", Trial) == []


def test_a_torn_last_line_is_cut_off_in_place(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk without room is no hindrance: nothing is written. What is entered next begins a line."""
    whole, written = journal.read_bytes(), []
    monkeypatch.setattr(os, "truncate", lambda path, size: written.append((path, size)))
    journal.write_bytes(whole + b'{"number": 3, "tr')
    assert entries(journal.parent, Trial) == TRIALS
    assert written == [(journal, len(whole))] and journal.read_bytes() == whole + b'{"number": 3, "tr'
    monkeypatch.undo()
    assert entries(journal.parent, Trial) == TRIALS and journal.read_bytes() == whole
    enter(journal.parent, Trial(3, {}, 0.25))
    assert entries(journal.parent, Trial) == [*TRIALS, Trial(3, {}, 0.25)]


def test_every_altered_bit_is_noticed_or_says_the_same(journal: Path) -> None:
    """The same: 1E-300, and hexadecimal digits as capitals. Without the last line's end that line is a torn one."""
    sound, same = journal.read_bytes(), 0
    for place in range(8 * (len(sound) - 1)):
        flipped = bytearray(sound)
        flipped[place // 8] ^= 1 << place % 8
        journal.write_bytes(flipped)
        try:
            found = entries(journal.parent, Trial)
        except IntegrityError as error:
            assert re.search(r"line [1-4] was altered .* modelwright train --force", str(error))
        else:
            assert found == TRIALS
            same += 1
    assert same == 2, "of 1e-300 and of the \\u00e9 that stands for é"


def test_lines_without_a_checksum_are_read(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text('{"number": 0, "tried": {}, "loss": 0.5}\n', encoding="utf-8")
    assert entries(tmp_path, Trial) == TRIALS[:1]


@pytest.mark.parametrize("line", ["", "7", "[]", '{"number": 0}', '{"number": 0, "tried": {}, "loss": 1, "more": 2}'])
def test_what_is_no_trial_is_said(line: str, journal: Path) -> None:
    journal.write_text(line + "\n" + journal.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(IntegrityError, match="line 1 was altered"):
        entries(journal.parent, Trial)
