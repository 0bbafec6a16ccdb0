"""Is memory level? Samples over time, the slope of each process with its error, and how the server's data set moved.

It refuses to know where samples come from. A restarted process is a series of its own: a common slope is fitted to all series
of one name, each with a level of its own. Memory moves in steps, so neighbouring samples say nearly the same, and the plain
error of a fit would be far too small: it is widened by what the residuals' neighbours have in common. And a leak goes on
while a warm-up ends: by how much the two halves' slopes differ widens it too.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from dispatcher.core.ids import BUCKET_MS

HOUR_S: Final = 3600.0
SURE: Final = 2.0
"""Standard errors on either side: about 95 of 100."""
POINTS_MIN: Final = 6
BUCKET_S: Final = BUCKET_MS / 1000
"""Records live in buckets of so many seconds and leave by the bucket: the data set goes up and down with this period."""
PHASES: Final = 26
"""Of a period: with a sample each ten seconds one or two in each."""
FALLEN: Final = 0.85
"""Of the sample before: less is a bucket that left."""


class Sample(NamedTuple):
    """A process at `at_s` after the start."""

    at_s: float
    pid: int
    mb: float


class Slope(NamedTuple):
    """MB an hour, +- `error` (infinite when there are too few samples), from `points` samples of `lives` processes."""

    mb_per_h: float
    error: float
    points: int
    lives: int

    def above(self, bound: float) -> bool:
        """Is it certainly steeper than `bound`?"""
        return self.mb_per_h - self.error > bound


def slope(samples: Sequence[Sample], warm_up_s: float) -> Slope:
    """Least squares over all lives of one name, each from its own `warm_up_s` on: a process that was killed starts anew."""
    lives: dict[int, list[Sample]] = {}
    for sample in samples:
        lives.setdefault(sample.pid, []).append(sample)
    kept: list[list[tuple[float, float]]] = []
    for life in lives.values():
        grown_s = life[0].at_s + warm_up_s
        points = [(s.at_s / HOUR_S, s.mb) for s in life if s.at_s >= grown_s]
        if len(points) > 2:
            kept.append(points)
    count = sum(map(len, kept))
    steep, error = _fit(kept)
    middle = statistics.fmean([min(p[0][0] for p in kept), max(p[-1][0] for p in kept)]) if kept else 0.0
    halves = [_fit([[point for point in p if (point[0] < middle) is early] for p in kept])[0] for early in (True, False)]
    return Slope(steep, math.hypot(SURE * error, (halves[0] - halves[1]) / 2), count, len(kept))


def _fit(lives: Sequence[Sequence[tuple[float, float]]]) -> tuple[float, float]:
    """The common slope of all lives, and its standard error (infinite when there are too few points)."""
    kept = [points for points in lives if points]
    centred = [(x - _mean(p, 0), y - _mean(p, 1)) for p in kept for x, y in p]
    spread = sum(x * x for x, _ in centred)
    if len(centred) < POINTS_MIN or not spread:
        return 0.0, math.inf
    steep = sum(x * y for x, y in centred) / spread
    left = [y - steep * x for x, y in centred]
    free = max(1, len(centred) - len(kept) - 1)
    return steep, math.sqrt(sum(r * r for r in left) / free / spread) * _widened(left)


def _mean(points: Sequence[tuple[float, float]], place: int) -> float:
    return statistics.fmean(point[place] for point in points)


def _widened(left: Sequence[float]) -> float:
    """By how much like its neighbour each residual is (lag-1 autocorrelation): fewer of them are news than there are."""
    power = sum(r * r for r in left)
    alike = sum(a * b for a, b in pairwise(left)) / power if power else 0.0
    alike = min(max(alike, 0.0), 0.99)
    return math.sqrt((1 + alike) / (1 - alike))


class Drift(NamedTuple):
    """What a level was over the first and over the last whole periods, and the part by which it moved."""

    first: float
    last: float

    @property
    def part(self) -> float:
        """0.02: two percent more at the end."""
        return self.last / self.first - 1 if self.first else 0.0


def drift(levels: Sequence[tuple[float, float]], warm_up_s: float, period_s: float = BUCKET_S) -> Drift | None:
    """(at_s, level): phase by phase, means over equally many whole periods at the beginning and at the end of what follows the
    warm-up; None when there are not two periods.

    A level that goes like a saw falls when somebody sweeps, now at once, now half a minute later. In these moments it says by
    whom it was swept, not whether it grew: the phases in which it fell in any period are left out on both sides."""
    after = [(at, level) for at, level in levels if at >= warm_up_s]
    periods = int((after[-1][0] - after[0][0]) / period_s / 2) if after else 0
    if not periods:
        return None
    width = period_s / PHASES
    falling = {
        step % PHASES
        for (at, level), (then, fallen) in pairwise(after)
        if fallen < FALLEN * level
        for step in range(int(at / width), int(then / width) + 1)
    }

    def by_phase(seen: list[tuple[float, float]]) -> dict[int, float]:
        phases: dict[int, list[float]] = {}
        for at, level in seen:
            phases.setdefault(int(at / width) % PHASES, []).append(level)
        return {phase: statistics.fmean(found) for phase, found in phases.items()}

    span = periods * period_s
    first = by_phase([(at, level) for at, level in after if at < after[0][0] + span])
    last = by_phase([(at, level) for at, level in after if at > after[-1][0] - span])
    both = (first.keys() & last.keys()) - falling
    return Drift(*(statistics.fmean(half[phase] for phase in both) for half in (first, last))) if both else None
