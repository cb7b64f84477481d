"""Where examples go: shares, strata, groups, times, and that nothing but seed and position decides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.data.splits import TEST, TRAIN, VALIDATION, bins_N, split
from modelwright.errors import SourceError

SHARES = (0.8, 0.1, 0.1)


def class_shares(parts_N: np.ndarray, strata_N: np.ndarray, part: int) -> np.ndarray:
    counts = np.bincount(strata_N[parts_N == part], minlength=strata_N.max() + 1)
    return counts / counts.sum()


def test_shares_are_exact_and_classes_within_one_point() -> None:
    strata_N = np.random.default_rng(0).choice(4, 2000, p=[0.7, 0.2, 0.08, 0.02])
    parts_N = split(np.arange(2000), shares=SHARES, seed=3, strata_N=strata_N)
    assert np.bincount(parts_N).tolist() == [1600, 200, 200]
    whole = np.bincount(strata_N) / 2000
    for part in (TRAIN, VALIDATION, TEST):
        assert np.abs(class_shares(parts_N, strata_N, part) - whole).max() < 0.01


@settings(max_examples=60, deadline=None)
@given(st.integers(10, 400), st.integers(1, 30), st.integers(0, 10_000))
def test_train_shows_every_class_and_no_part_is_empty(count: int, classes: int, seed: int) -> None:
    strata_N = np.random.default_rng(seed).integers(0, classes, count)
    parts_N = split(np.arange(count), shares=SHARES, seed=seed, strata_N=strata_N)
    assert set(strata_N) == set(strata_N[parts_N == TRAIN])
    if classes < count / 4:
        assert set(parts_N.tolist()) == {TRAIN, VALIDATION, TEST}


def test_a_class_of_seven_stands_in_every_part() -> None:
    """Seven of 1,000 at a share of 0.1 would be dealt 0 or 1 to each small part; here it is always 1."""
    strata_N = np.array([0] * 993 + [1] * 7)
    for seed in range(20):
        parts_N = split(np.arange(1000), shares=SHARES, seed=seed, strata_N=strata_N)
        assert np.bincount(parts_N[strata_N == 1], minlength=3).min() >= 1
        assert np.bincount(parts_N).tolist() == [800, 100, 100]


def test_the_seed_and_the_position_decide_and_nothing_else() -> None:
    positions_N = np.arange(500)
    first = split(positions_N, shares=SHARES, seed=1)
    assert (first == split(positions_N, shares=SHARES, seed=1)).all()
    assert (first != split(positions_N, shares=SHARES, seed=2)).any()
    shuffled = np.random.default_rng(0).permutation(500)
    assert (split(positions_N[shuffled], shares=SHARES, seed=1) == first[shuffled]).all()


def test_dropping_an_example_moves_few_others() -> None:
    """Without example 0 each other keeps its random key, so that at most the borders of the deal shift."""
    whole = split(np.arange(10_000), shares=SHARES, seed=0)
    less = split(np.arange(1, 10_000), shares=SHARES, seed=0)
    afresh = split(np.arange(10_000), shares=SHARES, seed=1)
    assert (whole[1:] != less).mean() < (whole != afresh).mean()


def test_groups_are_kept_whole_and_classes_balanced() -> None:
    """300 groups of 1 to 20: the three parts hold their shares within a point, the classes within three."""
    rng = np.random.default_rng(0)
    groups_N = np.repeat(np.arange(300), rng.integers(1, 20, 300))
    strata_N = rng.integers(0, 3, len(groups_N))
    parts_N = split(np.arange(len(groups_N)), shares=SHARES, seed=0, strata_N=strata_N, groups_N=groups_N)
    assert all(len(set(parts_N[groups_N == group].tolist())) == 1 for group in range(300))
    assert np.abs(np.bincount(parts_N) / len(parts_N) - SHARES).max() < 0.01
    whole = np.bincount(strata_N) / len(strata_N)
    for part in (TRAIN, VALIDATION, TEST):
        assert np.abs(class_shares(parts_N, strata_N, part) - whole).max() < 0.03


def test_a_group_of_nearly_everything_leaves_something_for_the_others() -> None:
    groups_N = np.array([0] * 97 + [1, 2, 3])
    parts_N = split(np.arange(100), shares=SHARES, seed=0, groups_N=groups_N)
    assert parts_N[0] == TRAIN
    assert set(parts_N.tolist()) == {TRAIN, VALIDATION, TEST}


def test_three_groups_of_a_class_each_fill_three_parts() -> None:
    """Train cannot show every class here; that no part is empty comes first."""
    groups_N = np.repeat(np.arange(3), 10)
    parts_N = split(np.arange(30), shares=SHARES, seed=0, strata_N=groups_N, groups_N=groups_N)
    assert np.bincount(parts_N).tolist() == [10, 10, 10]


def test_two_groups_cannot_fill_three_parts() -> None:
    with pytest.raises(SourceError, match="at least 3"):
        split(np.arange(10), shares=SHARES, seed=0, groups_N=np.array([0, 1] * 5))


def test_earlier_comes_before_later_and_equal_times_do_not_straddle() -> None:
    """Times 0..9, ten of each: cuts at 80 and 90 fall between two times, so the shares are exact."""
    times_N = np.repeat(np.arange(10), 10)
    shuffled = np.random.default_rng(0).permutation(times_N)
    parts_N = split(np.arange(100), shares=SHARES, seed=0, times_N=shuffled)
    assert np.bincount(parts_N).tolist() == [80, 10, 10]
    assert shuffled[parts_N == TRAIN].max() < shuffled[parts_N == VALIDATION].min()
    assert shuffled[parts_N == VALIDATION].max() < shuffled[parts_N == TEST].min()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=10, max_size=200))
def test_times_never_straddle(times: list[int]) -> None:
    times_N = np.array(times)
    if len(set(times)) < 3:
        return
    parts_N = split(np.arange(len(times)), shares=SHARES, seed=0, times_N=times_N)
    assert set(parts_N.tolist()) == {TRAIN, VALIDATION, TEST}
    assert times_N[parts_N == TRAIN].max() < times_N[parts_N == VALIDATION].min()
    assert times_N[parts_N == VALIDATION].max() < times_N[parts_N == TEST].min()


def test_groups_by_time_stand_at_their_latest_example() -> None:
    """Group 1 lasts from time 0 to 9 and so is tested; no train example is later than a whole group's end."""
    groups_N = np.array([0] * 8 + [2] + [1] * 2)
    times_N = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 9])
    parts_N = split(np.arange(11), shares=SHARES, seed=0, times_N=times_N, groups_N=groups_N)
    assert parts_N.tolist() == [TRAIN] * 8 + [VALIDATION] + [TEST] * 2


def test_a_share_of_nothing_stays_empty() -> None:
    parts_N = split(np.arange(100), shares=(0.9, 0.1, 0.0), seed=0, strata_N=np.arange(100) % 2)
    assert np.bincount(parts_N, minlength=3).tolist() == [90, 10, 0]
    grouped_N = split(np.arange(100), shares=(0.9, 0.1, 0.0), seed=0, groups_N=np.arange(100) // 2)
    assert (grouped_N != TEST).all()


def test_bins_hold_equal_values_together() -> None:
    """Ten bins of 0..99 hold ten each; of a value that makes up half, all stand in one bin."""
    assert np.bincount(bins_N(np.arange(100.0))).tolist() == [10] * 10
    values_N = np.array([0.0] * 50 + list(range(1, 51)))
    assert len(set(bins_N(values_N)[:50].tolist())) == 1
