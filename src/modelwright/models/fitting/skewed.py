"""When values are tried on the logarithmic scale too: prices, counts and waiting times grow by factors."""

from __future__ import annotations

import numpy as np

LINEAR_SKEWNESS = 0.4
"""For sums of weights, which cannot multiply: little is lost by trying. Chosen."""
TREE_SKEWNESS = 1.0
"""For trees, which can, and whose search gets longer by it. Chosen."""


def is_skewed(values_N: np.ndarray, least: float) -> bool:
    """Whether no value is negative and their skewness, the mean cube of the standardised values, is `least`."""
    if values_N.min() < 0 or values_N.std() == 0:
        return False
    return float((((values_N - values_N.mean()) / values_N.std()) ** 3).mean()) >= least
