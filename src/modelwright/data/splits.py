"""Who goes where: train, validation or test, as a pure function of the seed and of the examples' positions.

Array letters: N examples, G groups, C strata (classes, or bins of a number), P parts.
"""

from __future__ import annotations

import numpy as np

from modelwright.data.hashing import mixed
from modelwright.errors import Fault, SourceError

TRAIN, VALIDATION, TEST = 0, 1, 2
PARTS = ("train", "validation", "test")

BINS = 10
"""Strata that a regression's output is cut into; deciles, as is usual. Chosen, not measured."""

FREE = -1
"""The part of what has not been placed."""

EXCHANGES = 20_000
"""Groups times strata up to which groups are also exchanged between parts; beyond, placing them is enough.
Measured over ten seeds: the worst deviation of a class's share falls from 2.2 to 0.5 points for 50 groups of 1
to 39 examples, from 1.0 to 0.5 for 100, and from 0.3 to 0.2 for 300."""

GREEDY_GROUPS = 5000
"""Groups that are placed one by one; the smaller rest is dealt out. 5,000 take under a second."""


def split(
    positions_N: np.ndarray,
    *,
    shares: tuple[float, float, float],
    seed: int,
    strata_N: np.ndarray | None = None,
    groups_N: np.ndarray | None = None,
    times_N: np.ndarray | None = None,
) -> np.ndarray:
    """The part of each example (int8, an index into `PARTS`).

    With times, train comes before validation before test, and examples of one time never straddle; with
    groups as well, a group stands at its latest time. Otherwise parts are stratified, and groups are
    kept whole. Every stratum has an example in train where there is one to give.

    Args:
        positions_N: Where each example stands in the source; with the seed, all that chance depends on.
        shares: Of train, validation and test; they add up to 1. A share of 0 leaves that part empty.
        seed: Another seed, another split.
        strata_N: Codes from 0 of the class, or of the bin of the output (`bins_N`).
        groups_N: Codes from 0; examples of one group go into one part.
        times_N: Anything that sorts.

    Raises:
        SourceError: there are fewer groups, or fewer different times, than parts to fill.
    """
    count = len(positions_N)
    strata_N = np.zeros(count, np.int64) if strata_N is None else strata_N
    if times_N is not None:
        return _by_time(times_N, groups_N, shares)
    keys_N = _keys(positions_N, seed)
    if groups_N is None:
        parts_N = _deal(strata_N, keys_N, shares, seed)
        _spread_rare(parts_N, strata_N, keys_N, shares)
    else:
        parts_N = _by_group(groups_N, strata_N, keys_N, shares, seed)
    return parts_N


def bins_N(values_N: np.ndarray, bins: int = BINS) -> np.ndarray:
    """The quantile bin of each value: codes from 0, at most `bins` of them, equal values together."""
    edges = np.unique(np.quantile(values_N, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, values_N, side="right").astype(np.int64)


def _keys(values: np.ndarray, seed: int) -> np.ndarray:
    """A random-looking uint64 for each integer: SplitMix64 (Steele, Lea, Flood 2014), keyed by the seed.

    Depends on the example alone, so that dropping one example does not reshuffle the others.
    """
    with np.errstate(over="ignore"):
        keyed = np.uint64(seed + 1) * np.uint64(0xD1B54A32D192ED03)
        return mixed(values.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + keyed)


def _deal(strata: np.ndarray, keys: np.ndarray, shares: tuple[float, float, float], seed: int) -> np.ndarray:
    """Parts dealt out evenly along the list sorted by stratum, in random order within one.

    Every run of the list, so every stratum, holds its share of each part to within about one example,
    and so does the whole: rounding each stratum by itself would starve parts of rare classes.
    """
    order = np.lexsort((keys, _keys(strata, seed)))
    parts = np.full(len(order), TRAIN, np.int8)
    parts[order[_ticks(len(order), shares[TEST])]] = TEST
    rest = order[parts[order] != TEST]
    if shares[VALIDATION] > 0:
        share = shares[VALIDATION] / (shares[VALIDATION] + shares[TRAIN])
        parts[rest[_ticks(len(rest), share)]] = VALIDATION
    return parts


def _ticks(count: int, share: float) -> np.ndarray:
    """True at round(count * share) evenly spaced places of `count`."""
    reached = np.floor(np.arange(count + 1) * share + 0.5)
    return np.asarray(np.diff(reached) > 0)


def _spread_rare(
    parts_N: np.ndarray, strata_N: np.ndarray, keys_N: np.ndarray, shares: tuple[float, float, float]
) -> None:
    """Give train one example of every stratum, then the other parts, exchanging with a common stratum.

    Without it a class of seven examples is missing in some test parts, and its F1 and every ROC AUC with
    it. Where a part is small for its strata (fewer than two examples each), only train is served.
    """
    strata = int(strata_N.max(initial=-1)) + 1
    have_PC = np.stack([np.bincount(strata_N[parts_N == part], minlength=strata) for part in range(3)])
    totals_C = have_PC.sum(axis=0)
    for stratum in np.flatnonzero((have_PC[TRAIN] == 0) & (totals_C > 0)):
        members = np.flatnonzero(strata_N == stratum)
        moved = members[np.argmax(have_PC[parts_N[members], stratum] * 2 + (parts_N[members] == VALIDATION))]
        _move(moved, TRAIN, parts_N, strata_N, have_PC)
    for part in (VALIDATION, TEST):
        if shares[part] == 0 or have_PC[part].sum() < 2 * strata:
            continue
        for stratum in np.flatnonzero((have_PC[part] == 0) & (totals_C >= 3) & (have_PC[TRAIN] >= 2)):
            common = int(have_PC[part].argmax())
            if have_PC[part, common] < 2:
                break
            for kind, source, goal in ((stratum, TRAIN, part), (common, part, TRAIN)):
                members = np.flatnonzero((strata_N == kind) & (parts_N == source))
                _move(members[keys_N[members].argmin()], goal, parts_N, strata_N, have_PC)


def _move(example: np.intp, part: int, parts_N: np.ndarray, strata_N: np.ndarray, have_PC: np.ndarray) -> None:
    have_PC[parts_N[example], strata_N[example]] -= 1
    have_PC[part, strata_N[example]] += 1
    parts_N[example] = part


def _by_time(times_N: np.ndarray, groups_N: np.ndarray | None, shares: tuple[float, float, float]) -> np.ndarray:
    """Earlier before later; a cut stands at the change of time nearest to where the share asks for it."""
    codes_N = np.unique(times_N, return_inverse=True)[1].astype(np.int64)
    if groups_N is not None:
        latest_G = np.zeros(int(groups_N.max()) + 1, np.int64)
        np.maximum.at(latest_G, groups_N, codes_N)
        codes_N = np.unique(latest_G[groups_N], return_inverse=True)[1].astype(np.int64)
    ends = np.cumsum(np.bincount(codes_N))  # examples up to and with each time
    wanted = [part for part in range(3) if shares[part] > 0]
    if len(ends) < len(wanted):
        raise SourceError(Fault("data.split.time", f"{len(ends)} different times", f"at least {len(wanted)}", _FEWER))
    parts_T = np.full(len(ends), wanted[-1], np.int8)
    first = 0
    for done, part in enumerate(wanted[:-1]):
        target = sum(shares[: part + 1]) * ends[-1]
        last_free = len(ends) - (len(wanted) - done - 1)  # leave a time for each part to come
        cut = first + 1 + int(np.abs(ends[first:last_free] - target).argmin())
        parts_T[first:cut] = part
        first = cut
    return np.asarray(parts_T[codes_N])


_FEWER = "use a finer column, or leave it out"


def _by_group(
    groups_N: np.ndarray,
    strata_N: np.ndarray,
    keys_N: np.ndarray,
    shares: tuple[float, float, float],
    seed: int,
) -> np.ndarray:
    """Whole groups: the largest placed one by one where they are needed most, the small ones dealt out."""
    groups = int(groups_N.max(initial=-1)) + 1
    wanted = [part for part in range(3) if shares[part] > 0]
    if groups < len(wanted):
        raise SourceError(Fault("data.split.group", f"{groups} groups", f"at least {len(wanted)}", _FEWER))
    size_G = np.bincount(groups_N, minlength=groups)
    key_G = np.full(groups, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(key_G, groups_N, keys_N)
    first_N = np.lexsort((keys_N, groups_N))
    main_G = strata_N[first_N[np.searchsorted(groups_N[first_N], np.arange(groups))]]
    largest_G = np.lexsort((key_G, -size_G))
    placed = largest_G[: min(GREEDY_GROUPS, int((size_G > 1).sum()))]
    dealt = largest_G[len(placed) :]
    parts_G = np.zeros(groups, np.int8)
    parts_G[placed] = _greedy(placed, groups_N, strata_N, shares)
    if len(dealt):
        # Strata here are class and size together, so that each is dealt out evenly.
        strata = main_G[dealt] * (size_G[dealt].max() + 1) + size_G[dealt]
        parts_G[dealt] = _deal(strata, key_G[dealt], shares, seed)
    _fill_empty(parts_G, size_G, wanted)
    parts_N = parts_G[groups_N]
    strata_count = int(strata_N.max(initial=-1)) + 1
    for stratum in np.flatnonzero(np.bincount(strata_N[parts_N == TRAIN], minlength=strata_count) == 0):
        members = np.unique(groups_N[strata_N == stratum])
        if len(members):
            parts_G[members[size_G[members].argmin()]] = TRAIN
    _fill_empty(parts_G, size_G, wanted)
    return np.asarray(parts_G[groups_N])


def _greedy(
    placed: np.ndarray, groups_N: np.ndarray, strata_N: np.ndarray, shares: tuple[float, float, float]
) -> np.ndarray:
    """Parts of the groups `placed`, largest first, each to the part where it lowers most the chi-squared
    distance sum((have - target)^2 / target) between the parts' strata and their shares of these groups.
    """
    rank_G = np.full(int(groups_N.max()) + 1, -1, np.int64)
    rank_G[placed] = np.arange(len(placed))
    among_N = rank_G[groups_N] >= 0
    strata = int(strata_N.max(initial=-1)) + 1
    flat = rank_G[groups_N[among_N]] * strata + strata_N[among_N]
    cells, counts = np.unique(flat, return_counts=True)  # sparse: most groups hold few of the strata
    starts = np.searchsorted(cells, np.arange(len(placed) + 1) * strata)
    total_C = np.bincount(strata_N[among_N], minlength=strata)
    share_P1 = np.maximum(np.asarray(shares, float), 1e-12)[:, None]  # an unwanted part is never chosen
    target_PC = np.maximum(share_P1 * total_C, 1e-9)
    have_PC = np.zeros_like(target_PC)
    parts = np.zeros(len(placed), np.int8)
    for rank in range(len(placed)):
        mine = slice(starts[rank], starts[rank + 1])
        columns, count = cells[mine] % strata, counts[mine]
        target = target_PC[:, columns]
        cost_P = (count * (2 * (have_PC[:, columns] - target) + count) / target).sum(axis=1)
        parts[rank] = cost_P.argmin()
        have_PC[parts[rank], columns] += count
    if len(placed) * strata <= EXCHANGES:
        count_GC = np.zeros((len(placed), strata))
        count_GC[cells // strata, cells % strata] = counts
        _exchange(parts, count_GC, have_PC, target_PC)
    return parts


def _exchange(parts: np.ndarray, count_GC: np.ndarray, have_PC: np.ndarray, target_PC: np.ndarray) -> None:
    """Exchange groups between parts, each for the one that lowers the distance most, until none does."""
    for _ in range(len(parts)):
        before = parts.copy()
        for part in (VALIDATION, TEST):
            for group in np.flatnonzero(parts == part):
                others = np.flatnonzero(parts != part)
                change_GC = count_GC[others] - count_GC[group]
                off_PC = 2 * (have_PC - target_PC)
                theirs_GC = change_GC - off_PC[parts[others]]
                gain_G = (change_GC * (off_PC[part] + change_GC) / target_PC[part]).sum(axis=1)
                gain_G += (change_GC * theirs_GC / target_PC[parts[others]]).sum(axis=1)
                if len(others) and gain_G.min() < -1e-9:
                    chosen = others[gain_G.argmin()]
                    have_PC[part] += count_GC[chosen] - count_GC[group]
                    have_PC[parts[chosen]] -= count_GC[chosen] - count_GC[group]
                    parts[[group, chosen]] = parts[[chosen, group]]
        if (parts == before).all():
            return


def _fill_empty(parts_G: np.ndarray, size_G: np.ndarray, wanted: list[int]) -> None:
    """Give each wanted part that has no group the smallest one of the part with the most groups."""
    for part in wanted:
        if not (parts_G == part).any():
            donor = int(np.bincount(parts_G, minlength=3).argmax())
            members = np.flatnonzero(parts_G == donor)
            parts_G[members[size_G[members].argmin()]] = part
