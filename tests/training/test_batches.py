import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from modelwright.training.batches import epoch_order


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=300),
    batch_size=st.integers(1, 40),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 5),
)
def test_every_example_once_and_the_same_again(lengths: list[int], batch_size: int, seed: int, epoch: int) -> None:
    first = epoch_order(np.array(lengths), batch_size=batch_size, seed=seed, epoch=epoch)
    again = epoch_order(np.array(lengths), batch_size=batch_size, seed=seed, epoch=epoch)
    assert sorted(np.concatenate(first).tolist()) == list(range(len(lengths)))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert len(first) == -(-len(lengths) // batch_size)
    assert all(len(batch) <= batch_size for batch in first)


def test_epochs_and_seeds_differ() -> None:
    lengths = np.ones(100, dtype=int)
    orders = [
        np.concatenate(epoch_order(lengths, batch_size=10, seed=seed, epoch=epoch)).tolist()
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    ]
    assert orders[0] != orders[1] and orders[0] != orders[2] and orders[1] != orders[2]


def test_batches_are_alike_in_length() -> None:
    """Lengths 1..100 in random order, batches of 10 from one pool: sorted, so a batch spans 9 at most."""
    lengths = np.random.default_rng(0).permutation(np.arange(1, 101))
    for batch in epoch_order(lengths, batch_size=10, seed=3, epoch=0):
        assert lengths[batch].max() - lengths[batch].min() == 9
