"""Carriers that count in sliding seconds, whole ones or by a bucket, and a sender that never lacks work; time is a number."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

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


class Counter(Protocol):
    """How a carrier counts."""

    def takes(self, now: float, limit: float) -> bool:
        """Does it take one more now? Then that is counted."""


class Sliding:
    """In any second. `counts_refused`: what it refuses, too."""

    def __init__(self, *, counts_refused: bool = False) -> None:
        self._counts_refused = counts_refused
        self._taken: deque[float] = deque()

    def takes(self, now: float, limit: float) -> bool:
        """As said."""
        taken = self._taken
        while taken and taken[0] <= now - 1.0:
            taken.popleft()
        takes = len(taken) < limit
        if takes or self._counts_refused:
            taken.append(now)
        return takes


class Whole:
    """In each second of its clock: what is over comes together at the end of it."""

    def __init__(self) -> None:
        self._second, self._taken = -1, 0

    def takes(self, now: float, limit: float) -> bool:
        """As said."""
        if int(now) != self._second:
            self._second, self._taken = int(now), 0
        takes = self._taken < limit
        self._taken += takes
        return takes


class Bucket:
    """Permits that come evenly, so that what is over is refused evenly; it holds `depth` of them."""

    def __init__(self, depth: float = 5.0) -> None:
        self._depth = self._permits = depth
        self._at = 0.0

    def takes(self, now: float, limit: float) -> bool:
        """As said."""
        self._permits = min(self._depth, self._permits + (now - self._at) * limit) if limit < math.inf else self._depth
        self._at = now
        takes = self._permits >= 1
        self._permits -= takes
        return takes


def play(
    throttle: Throttle,
    curve: Callable[[float], float],
    seconds: float,
    *,
    response_s: float = 0.02,
    counter: Counter | None = None,
    late_s: Callable[[], float] = lambda: 0.0,
    whim: Callable[[], bool] = lambda: False,
    tell: bool = True,
) -> Play:
    """Saturates the throttle; `curve(t)` is the carrier's limit. `late_s`: how late the sender wakes each time; `whim`: does
    the carrier refuse for a reason of its own? `tell`: the response time is measured, as the engine does."""
    now, found = 0.0, Play([], [], [])
    counter = counter or Sliding()
    answers: list[tuple[float, float, bool]] = []
    if tell and throttle.adaptation is not None:
        throttle.adaptation.response_s = response_s
    while now < seconds:
        while answers and answers[0][0] <= now:
            at, left_at, ok = heapq.heappop(answers)
            if not ok:
                throttle.refused(at, left_at)
        for _ in range(throttle.take(10**6, now)):
            ok = not whim() and counter.takes(now, curve(now))
            found.left.append(now)
            if not ok:
                found.refused.append(now)
            heapq.heappush(answers, (now + response_s, now, ok))
        found.limits.append((now, throttle.limit))
        wake = throttle.next_at(now) + late_s()
        now = max(min(wake, answers[0][0] if answers else math.inf), math.nextafter(now, math.inf))
    return found


def used(throttle: Throttle, submits: int = 300) -> Throttle:
    """It has sent so many, until now, which is 0."""
    now = -2.0 * submits / (throttle.rate or 1.0)
    for _ in range(submits):
        now = throttle.next_at(now)
        throttle.take(1, now)
    return throttle


def company(throttle: Throttle, now: float, left_at: float = 0.0) -> bool:
    """Two refusals, one after the other; was that heeded?"""
    first = throttle.refused(now, left_at)
    return throttle.refused(now, left_at) or first


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
