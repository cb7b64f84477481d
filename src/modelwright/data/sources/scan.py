"""A look at a block of delimited text as bytes: where its records end, and which of them are not what they should be.

Letters: M = the quotes, separators and line ends in the block; L = its lines; R = its records.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

STRAY_LINES = 20
"""So many whole records in a row inside quotes mean that the quote was a stray one. Chosen."""

_QUOTE, _NEWLINE, _RETURN, _SPACE, _TAB, _NUL = 34, 10, 13, 32, 9, 0
_Ints = npt.NDArray[np.int64]
_Bytes = npt.NDArray[np.uint8]
_Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scan:
    """What a block holds.

    Args:
        trusted: Whether its quotes pair up, so that the rest may be believed.
        end: Where its last whole record ends.
        wrong: Records that cannot be read: number among the block's records, line from 0, and why.
        starts_R, ends_R: Where each record that is not blank begins and ends.
        good_R: Whether it has the right number of fields and no NUL.
    """

    trusted: bool
    end: int = 0
    wrong: tuple[tuple[int, int, str], ...] = ()
    starts_R: _Ints = field(default_factory=lambda: np.empty(0, np.int64))
    ends_R: _Ints = field(default_factory=lambda: np.empty(0, np.int64))
    good_R: _Flags = field(default_factory=lambda: np.empty(0, np.bool_))
    whole: bool = False

    def cut(self, text: bytes) -> bytes:
        """The good records of `text`, one behind the other."""
        if self.whole:
            return text[: self.end]
        if not self.good_R.any():
            return b""
        starts, ends = self.starts_R[self.good_R], self.ends_R[self.good_R]
        breaks = np.flatnonzero(starts[1:] != ends[:-1]) + 1
        runs = zip(starts[np.r_[0, breaks]], ends[np.r_[breaks - 1, len(ends) - 1]], strict=True)
        return b"".join(text[start:end] for start, end in runs)

    def positions(self, first: int) -> _Ints:
        """The positions of the good records, where the block's first record stands at `first`."""
        return np.flatnonzero(self.good_R).astype(np.int64) + first


def scanned(text: bytes, separator: str, width: int | None, *, final: bool) -> Scan:
    """The scan of `text`, which begins with a record.

    Args:
        width: How many fields a record has; None for as many as the first one has.
        final: Whether the text ends here, so that a last line without end is a record.
    """
    if final and not text.endswith(b"\n"):
        text += b"\n"
    bytes_ = np.frombuffer(text, np.uint8)
    sep = ord(separator)
    quoted = b'"' in text
    marks = (bytes_ == sep) | (bytes_ == _NEWLINE)
    if quoted:
        marks |= bytes_ == _QUOTE
    at_M: _Ints = np.flatnonzero(marks)
    kind_M = bytes_[at_M]
    inside_M = np.zeros(len(at_M), np.bool_)
    if quoted:
        quote_M = kind_M == _QUOTE
        inside_M = (np.cumsum(quote_M) & 1).astype(np.bool_)
        if not _quotes_pair(bytes_, at_M, quote_M, inside_M, sep) or (final and inside_M[-1]):
            return Scan(trusted=False)
    newline_M = kind_M == _NEWLINE
    ends_R = at_M[newline_M & ~inside_M] + 1
    if not len(ends_R):
        return Scan(trusted=not final)
    starts_R = np.concatenate([[0], ends_R[:-1]])
    separators_R = _counts(at_M[(kind_M == sep) & ~inside_M], ends_R)
    lines_at = at_M[newline_M]
    length_R = ends_R - starts_R - 1
    length_R -= (length_R > 0) & (bytes_[np.maximum(ends_R - 2, 0)] == _RETURN)
    blank_R = length_R == 0
    if width is None:
        width = int(separators_R[np.argmin(blank_R)]) + 1
    scan = _judged(text, bytes_, starts_R, ends_R, blank_R, separators_R, lines_at, width)
    # A block without fault is what it says, however odd; only a fault makes a short quoted field doubtful.
    longest = 1 if scan.wrong else STRAY_LINES
    if quoted and _swallowed(bytes_, at_M[kind_M == sep], ends_R, lines_at, width, longest):
        return Scan(trusted=False)
    return scan


def _counts(places: _Ints, ends: _Ints) -> _Ints:
    """How many of the sorted `places` lie before each end and after the one before."""
    return np.diff(np.searchsorted(places, ends), prepend=0)


def _quotes_pair(bytes_: _Bytes, at_M: _Ints, quote_M: _Flags, inside_M: _Flags, sep: int) -> bool:
    """Whether every quote opens right behind a separator or line end, closes right before one, or is doubled."""
    before = np.concatenate([np.array([_NEWLINE], np.uint8), bytes_])
    after = np.concatenate([bytes_, np.array([_NEWLINE], np.uint8)])
    opening = before[at_M[quote_M & inside_M]]
    closing = after[at_M[quote_M & ~inside_M] + 1]
    opens = (opening == sep) | (opening == _NEWLINE) | (opening == _QUOTE)
    closes = (closing == sep) | (closing == _NEWLINE) | (closing == _RETURN) | (closing == _QUOTE)
    return bool(opens.all() and closes.all())


def _swallowed(bytes_: _Bytes, separators_at: _Ints, ends_R: _Ints, lines_at: _Ints, width: int, longest: int) -> bool:
    """Whether a record of more than `longest` lines is made of lines that all look like records without its quotes."""
    if width < 2 or len(lines_at) == len(ends_R):
        return False
    # Prose has a space behind its commas, records have none (as careful.looks_whole).
    spaced = separators_at[(bytes_[separators_at + 1] == _SPACE) & (bytes_[separators_at] != _TAB)]
    fits_L = (_counts(separators_at, lines_at + 1) == width - 1) & (_counts(spaced, lines_at + 1) == 0)
    lines_R = _counts(lines_at, ends_R)
    fitting_R = _counts(lines_at[fits_L], ends_R)
    return bool(((lines_R > longest) & (fitting_R == lines_R)).any())


def _judged(
    text: bytes,
    bytes_: _Bytes,
    starts_R: _Ints,
    ends_R: _Ints,
    blank_R: _Flags,
    separators_R: _Ints,
    lines_at: _Ints,
    width: int,
) -> Scan:
    """The scan of a block whose quotes pair up: blank records taken out, wrong ones told apart."""
    good_R = separators_R == width - 1
    nul_R = np.zeros(len(ends_R), np.bool_)
    if b"\0" in text:
        nul_R = _counts(np.flatnonzero(bytes_ == _NUL), ends_R) > 0
    real_R = ~blank_R
    end = int(ends_R[-1])
    starts_R, ends_R, separators_R = starts_R[real_R], ends_R[real_R], separators_R[real_R]
    nul_R = nul_R[real_R]
    good_R = good_R[real_R] & ~nul_R
    wrong = []
    for record in np.flatnonzero(~good_R).tolist():
        fields = f"{separators_R[record] + 1} fields where {width} are expected"
        why = "a NUL byte, or bytes that are no text" if nul_R[record] else fields
        wrong.append((record, int(np.searchsorted(lines_at, starts_R[record])), why))
    whole = bool(good_R.all() and not blank_R.any())
    return Scan(True, end, tuple(wrong), starts_R, ends_R, good_R, whole)
