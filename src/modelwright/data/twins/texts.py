"""Texts that are nearly the same: other case, spaces or marks, slips of the pen, words reordered, an end cut off.

A text is the multiset of the pieces of its words: four letters long, a word's ends marked by a space, so that the
order of words counts for nothing. Short texts whose pieces differ by a few slips are also compared letter by letter.

Array letters: N texts, E pieces of all texts, K pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import polars as pl

from modelwright.data.hashing import mixed
from modelwright.data.twins.lsh import likely_pairs, signatures
from modelwright.data.twins.pairs import Pairs
from modelwright.data.twins.slips import CUT, slipped

ALIKE = 0.65
"""Of the pieces of two long texts, the share in common (Jaccard of multisets) from which they are twins. Where one
letter in twenty is wrong, .7 stay; of other texts in the same language .35. Chosen."""
SPELLED = 2 * CUT / (1 + CUT)
"""Of the letters of two short texts, in the order of their words or sorted by them, the share in common (1 - indel
distance / letters of both) from which their words are compared: what is left where as much as may be is cut off."""
FEWEST_WORDS, FEWEST_LETTERS = 3, 12
"""A text of fewer words and letters is a name or a code, which another resembles by chance. Chosen."""
LONG_WORDS = 60
"""From so many words on a text is long: candidates are found by pairs of neighbouring words, as the pieces of words are
common to all long texts of a language. Chosen."""
LETTERS_AT_ONCE = 4_000_000
"""Letters that are cut into pieces, or compared, at once: some 200 MB. Chosen."""


def text_twins(texts: pl.Series, *, known: int = 0) -> Pairs:
    """The pairs of texts that are nearly the same, `similarity` the share of pieces (or of letters) in common.

    They are the same where they hold the same numbers.

    Args:
        texts: Missing ones have no twin.
        known: The first so many are not compared with each other.
    """
    plain = plain_texts(texts).fill_null("")
    words, letters = plain.str.count_matches(" ", literal=True) + 1, plain.str.len_chars()
    fit = (words >= FEWEST_WORDS) | (letters >= FEWEST_LETTERS)
    found = []
    for chosen, cut in (
        (fit & (words < LONG_WORDS), word_pieces),
        (words >= ALIKE * LONG_WORDS, word_pairs),  # a twin has so many words at least
    ):
        found.append(_verified(plain, *_candidates(plain, chosen.arg_true().to_numpy(), known, cut)))
    return Pairs.joined(found)


def plain_texts(texts: pl.Series) -> pl.Series:
    """The words of each text in small letters, one space between two, a currency's sign with its amount; compatible
    characters are one (NFKC).
    """
    plain = texts.str.normalize("NFKC").str.to_lowercase()
    return plain.str.replace_all(r"[^\p{L}\p{M}\p{N}\p{Sc}]+", " ").str.strip_chars(" ")


def word_pieces(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """A hash (uint64) of every four letters in a row of a word and its outer spaces; where each text's start, N + 1."""
    codes = np.frombuffer((" " + "  ".join(texts) + " ").encode("utf-32-le"), np.uint32)
    starts_N = np.cumsum([0, *(len(text) + 2 for text in texts)])
    if len(codes) < 4:
        return np.zeros(0, np.uint64), np.zeros(len(starts_N), np.int64)
    letter = codes != ord(" ")
    inside = letter[1:-2] & letter[2:-1]
    hashes = np.zeros(len(codes) - 3, np.uint64)
    for place in range(4):
        hashes = hashes * _FACTOR + codes[place : len(codes) - 3 + place]
    before = np.concatenate(([0], np.cumsum(inside)))
    return mixed(hashes[inside]), before[np.minimum(starts_N, len(inside))]


def word_pairs(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """A hash (uint64) of every two neighbouring words; where each text's start, N + 1."""
    words = pl.Series(texts).str.split(" ")
    counts_N = words.list.len().to_numpy().astype(np.int64)
    hashes = words.explode().hash(seed=0).to_numpy()
    ends_N = np.cumsum(counts_N)
    paired = np.ones(len(hashes), bool)
    paired[ends_N - 1] = False
    both = mixed(hashes * _FACTOR + np.roll(hashes, -1))
    starts_N = np.concatenate(([0], np.cumsum(counts_N - 1)))
    return both[paired], starts_N


_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def _candidates(
    plain: pl.Series, places_M: np.ndarray, known: int, cut: Callable[[list[str]], tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs among `places_M` that are worth an exact look."""
    made, there = [], []
    for start, end in _portions(plain.gather(places_M).str.len_chars().to_numpy()):
        elements_E, starts_N = cut(plain.gather(places_M[start:end]).to_list())
        made.append(signatures(elements_E, starts_N))
        there.append(np.diff(starts_N) > 0)
    if not made:
        return places_M, places_M
    there_M = np.concatenate(there)
    places_M = places_M[there_M]
    first_K, second_K = likely_pairs(np.concatenate(made)[there_M], known=int((places_M < known).sum()))
    return places_M[first_K], places_M[second_K]


def _portions(letters_M: np.ndarray) -> Iterator[tuple[int, int]]:
    """Where portions of at most so many letters start and end; a longer text stands alone."""
    numbers_M = np.cumsum(letters_M.astype(np.int64) + 2) // LETTERS_AT_ONCE
    starts = np.flatnonzero(np.diff(numbers_M, prepend=-1))
    yield from pairwise([*starts.tolist(), len(letters_M)])


def _verified(plain: pl.Series, first_K: np.ndarray, second_K: np.ndarray) -> Pairs:
    """Those of the pairs that are twins."""
    letters_N = plain.str.len_chars().to_numpy().astype(np.int64)
    long_N = (plain.str.count_matches(" ", literal=True) + 1 >= LONG_WORDS).to_numpy()
    long_K = long_N[first_K] & long_N[second_K]
    found = [Pairs.none()]
    counts = dict(plain.str.split(" ").explode().value_counts().iter_rows())
    for places_K, twins in ((np.flatnonzero(~long_K), _short_twins), (np.flatnonzero(long_K), _long_twins)):
        for start, end in _portions(letters_N[first_K[places_K]] + letters_N[second_K[places_K]]):
            chosen_k = places_K[start:end]
            found.append(twins(plain, first_K[chosen_k], second_K[chosen_k], counts))
    return Pairs.joined(found)


def _long_twins(plain: pl.Series, first_K: np.ndarray, second_K: np.ndarray, counts: dict[str, int]) -> Pairs:
    """Those of the pairs that have most pieces in common."""
    places, index = np.unique(np.concatenate((first_K, second_K)), return_inverse=True)
    left_K, right_K = index[: len(first_K)], index[len(first_K) :]
    similarity_K = _pieces_in_common(plain.gather(places).to_list(), left_K, right_K)
    return Pairs(first_K, second_K, similarity_K, np.ones(len(first_K), bool)).where(similarity_K >= ALIKE)


def _short_twins(plain: pl.Series, first_K: np.ndarray, second_K: np.ndarray, counts: dict[str, int]) -> Pairs:
    """Those of the pairs that differ by slips; the same where their numbers are."""
    similarity_K = _letters_in_common(plain, first_K, second_K)
    near_K = similarity_K >= SPELLED
    first_K, second_K, similarity_K = first_K[near_K], second_K[near_K], similarity_K[near_K]
    left, right = plain.gather(first_K).to_list(), plain.gather(second_K).to_list()
    twins_K = np.array([slipped(one, other, counts) for one, other in zip(left, right, strict=True)], bool)
    numbers = pl.DataFrame({"left": left, "right": right}).select(
        pl.all().str.extract_all(r"\p{Sc}?\p{N}+\p{Sc}?").list.sort().list.join(" ")
    )
    same_K = (numbers["left"] == numbers["right"]).to_numpy()
    return Pairs(first_K, second_K, similarity_K, same_K).where(twins_K)


def _pieces_in_common(texts: list[str], left_k: np.ndarray, right_k: np.ndarray) -> np.ndarray:
    """The Jaccard similarity of multisets: sum of min over sum of max of how often each piece stands in either."""
    from scipy.sparse import csr_array

    elements_E, starts_N = word_pieces(texts)
    all_N = np.diff(starts_N)  # before the matrix takes the places over
    kinds, columns_E = np.unique(elements_E, return_inverse=True)
    shape = (len(texts), len(kinds))
    counts = csr_array((np.ones(len(columns_E), np.int32), columns_E, starts_N), shape=shape)
    counts.sum_duplicates()
    shared_k = counts[left_k].minimum(counts[right_k]).sum(axis=1)
    return np.asarray(shared_k / (all_N[left_k] + all_N[right_k] - shared_k), float)


def _letters_in_common(texts: pl.Series, first_K: np.ndarray, second_K: np.ndarray) -> np.ndarray:
    """1 - indel distance / letters of both, with the words as they stand or sorted, whichever is greater; 0 where that
    is below `SPELLED`.
    """
    from rapidfuzz.distance import Indel
    from rapidfuzz.process import cpdist

    greatest_K = np.zeros(len(first_K))
    for each in (texts, texts.str.split(" ").list.sort().list.join(" ")):
        sides = (each.gather(first_K).to_list(), each.gather(second_K).to_list())
        found_K = cpdist(*sides, scorer=Indel.normalized_similarity, score_cutoff=SPELLED, workers=-1)
        greatest_K = np.maximum(greatest_K, found_K)
    return greatest_K
