"""What a search tries next: the tree-structured Parzen estimator (Bergstra et al. 2011) of Optuna, asked from scratch.

It is made anew for every question, so that what it says depends on its seed and on the trials before alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def proposals(
    space: dict[str, BaseDistribution], tried: Iterable[tuple[dict[str, Any], float]], *, seed: int, startup: int
) -> Iterator[dict[str, Any]]:
    """What is worth trying, one idea after the other.

    Args:
        space: What there is to choose, by name.
        tried: The choices of each trial, and its loss.
        seed: What is drawn is drawn from it, by its last 32 bits.
        startup: Before so many trials, choices are drawn at random.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed % 2**32, n_startup_trials=startup, multivariate=True)
    study = optuna.create_study(sampler=sampler)
    for params, loss in tried:
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=loss))
    while True:
        yield study.ask(space).params
