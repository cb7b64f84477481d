"""The line through a few timed batches, from which all of a run's are foretold."""

from __future__ import annotations

import pytest

from modelwright.training.line import fitted


def test_a_line_is_found_again() -> None:
    """.5 + .002 n T + .00001 n T² seconds of n texts padded to T."""
    shapes = [(8, 16), (8, 64), (32, 32), (32, 128), (16, 200)]
    line = fitted(shapes, [0.5 + 0.002 * n * t + 0.00001 * n * t * t for n, t in shapes])
    assert (line.fixed, line.per_token, line.per_square) == pytest.approx((0.5, 0.002, 0.00001))


def test_slow_moments_count_as_much_as_quick_ones() -> None:
    """Seconds of .001 a token, times 1.2 and .8: relative to what was measured, .00092 would be nearest.

    Of c = .001 and errors e it is c * sum(1/e) / sum(1/e²) = c * 2.083 / 2.257 a pair.
    """
    shapes = [(10, 10), (10, 10), (10, 20), (10, 20), (10, 40), (10, 40)]
    line = fitted(shapes, [0.001 * n * t * (1.2, 0.8)[place % 2] for place, (n, t) in enumerate(shapes)])
    assert line.seconds(shapes) == pytest.approx(0.001 * 2 * (100 + 200 + 400), rel=1e-3)
