"""A carrier that counts in a sliding second, and a sender with more than enough to say; time is a number."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from dispatcher.core.throttle import Throttle


class Play(NamedTuple):
    """When what left, when what was refused (both by the instant it left), and the limit after every event."""

    left: list[float]
    refused: list[float]
    limits: list[tuple[float, float]]

    def rate(self, start: float, end: float) -> float:
        """Accepted a second."""
        refused = sum(start <= at < end for at in self.refused)
        return (sum(start <= at < end for at in self.left) - refused) / (end - start)

    def limit(self, at: float) -> float:
        """The sender's limit then."""
        return [limit for when, limit in self.limits if when <= at][-1]


def play(
    throttle: Throttle,
    curve: Callable[[float], float],
    seconds: float,
    *,
    response_s: float = 0.02,
    counts_refused: bool = False,
    late_s: Callable[[], float] = lambda: 0.0,
    whim: Callable[[], bool] = lambda: False,
    tell: bool = True,
) -> Play:
    """Saturates the throttle; `curve(t)` is the carrier's limit. `late_s`: how late the sender wakes each time; `whim`: does
    the carrier refuse for a reason of its own? `tell`: the response time is measured, as the engine does."""
    now, found = 0.0, Play([], [], [])
    window: deque[float] = deque()
    answers: list[tuple[float, float, bool]] = []
    if tell and throttle.adaptation is not None:
        throttle.adaptation.response_s = response_s
    while now < seconds:
        while answers and answers[0][0] <= now:
            at, left_at, ok = heapq.heappop(answers)
            if not ok:
                throttle.refused(at, left_at)
        for _ in range(throttle.take(10**6, now)):
            while window and window[0] <= now - 1.0:
                window.popleft()
            ok = len(window) < curve(now) and not whim()
            if ok or counts_refused:
                window.append(now)
            found.left.append(now)
            if not ok:
                found.refused.append(now)
            heapq.heappush(answers, (now + response_s, now, ok))
        found.limits.append((now, throttle.limit))
        wake = throttle.next_at(now) + late_s()
        now = max(min(wake, answers[0][0] if answers else math.inf), math.nextafter(now, math.inf))
    return found


def bursts(times: Sequence[float], apart_s: float) -> list[int]:
    """How many came together: a gap of `apart_s` ends a group."""
    sizes: list[int] = []
    last = -math.inf
    for at in times:
        if at - last > apart_s:
            sizes.append(0)
        sizes[-1] += 1
        last = at
    return sizes
