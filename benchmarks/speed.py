"""How fast this machine's processors are at the moment: the same little work, timed again and again while something runs.

A virtual processor shares its core with strangers. While one of them works, the same instructions cost nearly twice the
time, and both states last for seconds. A figure without the state it was measured in says little, so every run of
benchmarks/end_to_end.py carries one: 1.0 is the fastest that was seen in this process, 1.8 a neighbour all the time.
Knows nothing of what is measured.
"""

from __future__ import annotations

import os
import statistics
import time

_STEPS = 2_000


def _work() -> float:
    started = time.thread_time()
    kept: dict[int, tuple[int, str]] = {}
    for i in range(_STEPS):
        kept[i % 500] = (i, str(i))
    return time.thread_time() - started


class Speed:
    """Samples every processor in turn. One thread of the measuring process, 0.3 ms a sample."""

    def __init__(self) -> None:
        self._all = sorted(os.sched_getaffinity(0))
        self._samples: list[float] = []
        self._best = min(self._on(cpu) for _ in range(20) for cpu in self._all)

    def _on(self, cpu: int) -> float:
        os.sched_setaffinity(0, {cpu})
        _work()  # the first after a change of processors meets cold caches
        spent = _work()
        os.sched_setaffinity(0, self._all)
        return spent

    def sample(self) -> None:
        """Takes one sample of each processor."""
        self._samples += [self._on(cpu) for cpu in self._all]

    def slowdown(self) -> float:
        """The mean of the samples so far against the best ever, which are then forgotten."""
        found, self._samples = self._samples, []
        self._best = min([self._best, *found])
        return round(statistics.mean(found) / self._best, 2) if found else 1.0
