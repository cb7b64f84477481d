"""Integers that look random, from integers: what chance depends on, and what sets are told apart by."""

from __future__ import annotations

import numpy as np


def mixed(values: np.ndarray) -> np.ndarray:
    """A random-looking uint64 for each, different ones for different values: the finaliser of SplitMix64
    (Steele, Lea, Flood 2014).
    """
    values = values.astype(np.uint64)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)))
