"""What is said of a search: what its trials may choose, and which one was the best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from modelwright.records import Run, Search

_ENDED: dict[Literal["pruned", "diverged"], str] = {
    "pruned": "stopped early",
    "diverged": "given up: the loss was lost",
}
_FLATTERED = "the best of several on the same validation examples looks better than it is; the test part judges"


def trials_planned(search: Search) -> str:
    """How many trials there are, and from what each chooses."""
    choices = {
        "learning_rate": [f"{low:.2g} to {high:.2g}" for low, high in search.learning_rates.values() if low < high],
        "batch_size": [str(each.examples) for each in search.batch_sizes[1:] and search.batch_sizes],
        "epochs": [f"{each:g}" for each in search.epochs[1:] and search.epochs],
        "method": list(search.methods[1:] and search.methods),
    }
    said = ", ".join(f"{name} {' or '.join(each)}" for name, each in choices.items() if each)
    return f"the best of up to {search.trials} trials within the budget: these settings first, then {said}"


def trials_made(run: Run) -> Iterator[str]:
    """Which trial was the best, how many were given up, and what that means for its figures."""
    if not run.trials:
        return
    if len(run.trials) == 1:
        yield "one trial: the budget had no time for another"
        return
    best = next(each for each in run.trials if each.chosen)
    varied = [name for name in best.settings if len({each.settings[name] for each in run.trials}) > 1]
    shown = ((name, best.settings[name]) for name in varied)
    which = ", ".join(f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in shown)
    parts = [f"best of {len(run.trials)} trials: {which}" + (", as planned" if best.number == 0 else "")]
    ends = Counter(each.ended for each in run.trials)
    for ended, words in _ENDED.items():
        if count := ends[ended]:
            parts.append(f"{count} {'was' if count == 1 else 'were'} {words}")
    yield " · ".join(parts)
    yield _FLATTERED
