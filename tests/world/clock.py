"""Time in the world: one line of instants for Trio and for everything that is not a task, and the same schedule for a seed.

It refuses to know what happens. When no task can run, Trio asks its clock how long to sleep; ours goes on to the next
instant instead, of the agenda or of Trio's own deadlines, whichever is first, and says "not at all".

Private names of Trio are touched here and nowhere else: its scheduler shuffles tasks with a generator of its own, and only
a flag makes the shuffle start from a fixed order (tests/world/test_world.py would notice if a release changed that).
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import trio
import trio._core._run as scheduler

BASE_MS = 1_800_000_000_000
"""The wall's time at instant 0."""


class Time(trio.abc.Clock):
    """Instants in seconds from 0. `at` and `after` call something then, outside of any task; what they call must not block.

    `failure`: the first thing that such a call raised; it ends the world (`on_failure`)."""

    def __init__(self) -> None:
        self.now = 0.0
        self.failure: BaseException | None = None
        self.on_failure: Callable[[], None] = lambda: None
        self._agenda: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, instant: float, call: Callable[..., None], *args: Any) -> None:
        """Calls at that instant, or as soon as no task can run when it has passed. Equal instants keep their order."""
        self._count += 1
        heapq.heappush(self._agenda, (instant, self._count, call, args))

    def after(self, seconds: float, call: Callable[..., None], *args: Any) -> None:
        """Calls so much later."""
        self.at(self.now + seconds, call, *args)

    def start_clock(self) -> None:
        """It needs no start."""

    def current_time(self) -> float:
        """Seconds."""
        return self.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Trio has nothing to do before `deadline`: goes to the next instant, and never sleeps."""
        agenda = self._agenda
        if agenda and agenda[0][0] <= deadline:
            self.now = max(self.now, agenda[0][0])
            while agenda and agenda[0][0] <= self.now and self.failure is None:
                _, _, call, args = heapq.heappop(agenda)
                try:
                    call(*args)
                except Exception as error:  # what comes out of a clock would end Trio without a trace
                    self.failure = error
                    self.on_failure()
            return 0.0
        if deadline == math.inf:
            self.failure = self.failure or RuntimeError("nothing will ever happen any more")
            self.on_failure()
            return 0.0
        self.now = max(self.now, deadline)
        return 0.0


class Wall:
    """The Clock port of one machine, whose wall clock may jump."""

    def __init__(self, time: Time) -> None:
        self._time = time
        self._ahead: list[tuple[float, int]] = [(-math.inf, 0)]

    @property
    def ahead_ms(self) -> int:
        """By how much it is wrong now."""
        return self._ahead[-1][1]

    def jump(self, ms: int) -> None:
        """It jumps by so much."""
        self._ahead.append((self._time.now, self.ahead_ms + ms))

    def least_ahead_ms(self, seconds: float) -> int:
        """By how much it was ahead at least, at some instant of the last `seconds`."""
        least = self.ahead_ms
        for (_, ahead), (until, _) in zip(reversed(self._ahead[:-1]), reversed(self._ahead), strict=False):
            if until < self._time.now - seconds:
                break
            least = min(least, ahead)
        return least

    def ahead_at(self, at: float) -> int:
        """By how much it was ahead, ms, at an instant."""
        return next(ahead for since, ahead in reversed(self._ahead) if since <= at)

    def most_ahead_ms(self, begin: float, end: float) -> int:
        """By how much it was ahead at most, between two instants."""
        return max([self.ahead_at(begin), *(ahead for since, ahead in self._ahead if begin <= since <= end)])

    def jumped_between(self, begin: float, end: float) -> bool:
        """Was it set within these instants?"""
        return any(begin <= at <= end for at, _ in self._ahead)

    def now_ms(self) -> int:
        """Wall time."""
        return BASE_MS + int(self._time.now * 1000) + self.ahead_ms

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._time.now


def chance(seed: int, purpose: str) -> random.Random:
    """One generator for each purpose, so that a draw more in one place does not change all the others."""
    return random.Random(f"{seed} {purpose}")


@contextmanager
def same_every_time(seed: int) -> Iterator[None]:
    """Inside it, Trio's scheduler makes the same choices for the same seed."""
    flag = "_ALLOW_DETERMINISTIC_SCHEDULING"
    before = getattr(scheduler, flag)
    state = scheduler._r.getstate()
    setattr(scheduler, flag, True)
    scheduler._r.seed(seed)
    try:
        yield
    finally:
        setattr(scheduler, flag, before)
        scheduler._r.setstate(state)
