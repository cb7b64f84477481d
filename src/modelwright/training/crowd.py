"""How much of the machine other programs took while something was measured: in a crowd times say little of it."""

from __future__ import annotations

CROWDED = 0.1
"""Of all cores, taken by others while hardly any was idle. Chosen: forecasts are to be right within as much."""
IDLE = 0.1
"""Of all cores: where more than this was idle, nobody had to wait. Chosen."""


class Crowd:
    """What other programs took of the cores since this was made. Without a word from the system: nothing."""

    def __init__(self) -> None:
        self._began = _looked()

    @property
    def share(self) -> float:
        """Of all cores' time, from 0 to 1; 0 where enough of them were idle that nobody had to wait."""
        busy, idle, own = (now - then for now, then in zip(_looked(), self._began, strict=True))
        whole = busy + idle
        if whole <= 0 or idle / whole > IDLE:
            return 0.0
        return float(min(1.0, max(0.0, (busy - own) / whole)))


def _looked() -> tuple[float, float, float]:
    """Seconds of all cores together that were busy and idle since the machine started, and this process's own.

    Time that a virtual machine's host gave to others (`steal`) is busy: whoever had it, it was not here.
    """
    import psutil

    times = psutil.cpu_times()._asdict()
    idle = times["idle"] + times.get("iowait", 0.0)
    busy = sum(each for name, each in times.items() if name not in ("idle", "iowait", "guest", "guest_nice"))
    own = psutil.Process().cpu_times()
    return busy, idle, own.user + own.system + own.children_user + own.children_system
