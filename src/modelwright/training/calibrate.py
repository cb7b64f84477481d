"""Probabilities that mean what they say: one temperature, fitted on validation."""

from __future__ import annotations

import numpy as np


def best_temperature(logits_NK: np.ndarray, truth_N: np.ndarray) -> float:
    """The temperature, 0.25 to 4, with the least log loss: argmin_T −Σ log softmax(z/T)_y (Guo et al. 2017, 4.2)."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        scaled = logits_NK / np.exp(log_temperature)
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        normal = np.log(np.exp(scaled).sum(axis=1))
        return float(np.mean(normal - scaled[np.arange(len(truth_N)), truth_N]))

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.25), np.log(4.0)), method="bounded").x))
