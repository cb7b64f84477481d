"""Sets that are nearly equal, found among millions without comparing all pairs.

MinHash (Broder 1997): a signature of P slots agrees with another in each slot with the probability of the sets'
Jaccard similarity J. Slots are taken in bands of `ROWS`; sets that agree in one whole band are compared (Indyk and
Motwani 1998), which finds a pair with probability 1 - (1 - J^ROWS)^BANDS: .998 at J = .52, .68 at .3, .006 at .05.
Where many sets share a band, as texts of one template do, more slots are asked of them until few do (Bawa et al. 2005).

Array letters: N sets, P slots, E elements of all sets, K pairs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from modelwright.data.hashing import mixed

BANDS, ROWS = 42, 3
SLOTS = BANDS * ROWS
CROWD = 16
"""Sets that share a band and are all compared with each other; of more, further slots must agree. Chosen."""
DEEPEST = 8
"""Slots that are asked at most; who agrees in so many is compared with the nearest in order alone. Chosen."""
LIKELY = 0.3
"""Share of agreeing slots from which a pair is worth an exact look. At J = .5 a pair falls below with p = 3e-6."""
AT_ONCE = 1_000_000
"""Pairs whose slots are compared at once: 126 MB. Chosen."""
SETS_AT_ONCE = 20_000
"""Sets whose signatures are taken at once: they pass through a list of Python numbers. Chosen."""
SEED = 1


def signatures(elements_E: np.ndarray, starts_N: np.ndarray) -> np.ndarray:
    """The MinHash signature (uint32 [N, P]) of each set.

    Args:
        elements_E: Well mixed hashes (uint64) of all sets' elements, set after set.
        starts_N: Where each set starts, and the end: N + 1 places.
    """
    from rensa import RMinHash

    found = np.empty((len(starts_N) - 1, SLOTS), np.uint32)
    for first in range(0, len(found), SETS_AT_ONCE):
        places = starts_N[first : first + SETS_AT_ONCE + 1].astype(np.uint64)
        chosen_E = np.ascontiguousarray(elements_E[int(places[0]) : int(places[-1])])
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(chosen_E, places - places[0], SLOTS, SEED)
        found[first : first + SETS_AT_ONCE] = matrix.to_rows()
    return found


def likely_pairs(signatures_NP: np.ndarray, *, known: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The pairs (first_K < second_K, sorted) that share a band and agree in enough slots.

    Args:
        signatures_NP: As `signatures` made them; sets without elements must not be among them.
        known: The first so many are not compared with each other.
    """
    short_NP = signatures_NP.astype(np.uint8)  # a slot agrees by chance in one of 256: enough to sort out most pairs
    count, kept = len(signatures_NP), []
    for band in range(BANDS):
        for first_K, second_K in _together(signatures_NP, band * ROWS):
            if known:
                new_K = np.maximum(first_K, second_K) >= known
                first_K, second_K = first_K[new_K], second_K[new_K]
            for start in range(0, len(first_K), AT_ONCE):
                left_K, right_K = first_K[start : start + AT_ONCE], second_K[start : start + AT_ONCE]
                agree_K = (short_NP[left_K] == short_NP[right_K]).mean(axis=1) >= LIKELY
                low_K, high_K = np.minimum(left_K, right_K)[agree_K], np.maximum(left_K, right_K)[agree_K]
                kept.append(low_K * count + high_K)
    codes_K = np.unique(np.concatenate(kept)) if kept else np.zeros(0, np.int64)
    return codes_K // max(1, count), codes_K % max(1, count)


def _together(signatures_NP: np.ndarray, start: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of sets that agree in the slots from `start` on, cyclically: in `ROWS`, or in more where many do."""
    places_M = np.arange(len(signatures_NP))
    keys_M = np.zeros(len(places_M), np.uint64)
    for depth in range(DEEPEST):
        slots_M = signatures_NP[places_M, (start + depth) % SLOTS]
        keys_M = mixed(keys_M ^ slots_M)
        if depth + 1 < ROWS:
            continue
        order_M = np.argsort(keys_M, kind="stable")
        places_M, keys_M = places_M[order_M], keys_M[order_M]
        firsts_B = np.flatnonzero(np.diff(keys_M, prepend=~keys_M[:1]))
        sizes_B = np.diff(firsts_B, append=len(keys_M))
        crowded_M = np.repeat(sizes_B > CROWD, sizes_B)
        last = depth + 1 == DEEPEST
        yield from _pairs(places_M if last else places_M[~crowded_M], sizes_B if last else sizes_B[sizes_B <= CROWD])
        places_M, keys_M = places_M[crowded_M], keys_M[crowded_M]
        if not len(places_M):
            return


def _pairs(places_M: np.ndarray, sizes_B: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each with those after it in its bucket, up to `CROWD` further on."""
    ends_M = np.repeat(np.cumsum(sizes_B), sizes_B)
    for step in range(1, min(CROWD, int(sizes_B.max(initial=1)) - 1) + 1):
        first_K = np.flatnonzero(np.arange(len(places_M)) + step < ends_M)
        yield places_M[first_K], places_M[first_K + step]
