"""A carrier's rate as a bucket of permits, and how it yields to a carrier that says "too fast".

It refuses to know who asks and for which link; seconds are monotonic and an argument.

Theory. Carriers count submissions in any sliding second. A bucket of `b` permits that refills at `r` a second lets no
more than b + r x t through in t seconds, so with r = (N + 1 - b) / W no W seconds ever see more than N. N is the whole
part of the rate (2.5 in one second is not possible; 2 is), b = max(1, int(rate / 100)) lets a writer wake rarely, and
W = 1.02 s, not 1, because carriers count when bytes arrive: 20 ms of jitter on the way must not look like one too many.
The price is 3 % of the rate. Rates below one a second are spaced by W / rate.

Adaptation: a refusal pauses and multiplies the limit by 0.8, not below floor x rate; afterwards it grows back by 2 %
of the rate a second. The configured rate is the ceiling: growth stops there.
"""

from __future__ import annotations

import math

BURST = 0.01
WINDOW_S = 1.02
DECREASE = 0.8
INCREASE_PER_S = 0.02
_EPSILON = 1e-4
"""Permits. A monotonic clock of 10^6 s resolves 10^-10 s, which at 10^5 a second is 10^-5 permits."""


class Throttle:
    """Permits for one carrier or bind. `rate` segments a second, None: no limit (a refusal still pauses), 0 (by `resize`):
    none at all, because others have the whole of it.

    `floor` is the part of the rate below which adaptation never goes; `pause_s` how long a refusal silences it.
    """

    __slots__ = ("_at", "_burst", "_limit", "_paused_until", "_permits", "_refill", "floor", "pause_s", "rate")

    def __init__(self, rate: float | None, floor: float = 0.1, pause_s: float = 1.0) -> None:
        if rate is not None and not 0 < rate < math.inf:
            raise ValueError(f"rate {rate} must be above 0 and finite, or None")
        self.rate = rate
        self.floor = floor
        self.pause_s = pause_s
        self._at = -math.inf
        self._paused_until = -math.inf
        self._limit = rate or 0.0
        self._reckon()
        self._permits = self._burst

    @property
    def limit(self) -> float:
        """Segments a second now allowed by adaptation (0: unlimited)."""
        return self._limit

    @property
    def closed(self) -> bool:
        """Nothing may leave: none of the rate is ours."""
        return self.rate == 0

    def resize(self, rate: float, now: float) -> None:
        """Another part of a rate that is shared with others, from `now` on. Pause and adaptation stay; what a smaller part
        has no room for is lost, and a larger one brings no permits with it. Does nothing to a throttle without a limit."""
        if self.rate is None or rate == self.rate:
            return
        self._advance(now)
        adapted = self._limit / self.rate if self.rate else 1.0
        held = self._permits if self.rate else 0.0
        self.rate = rate
        self._limit = rate * adapted
        self._reckon()
        self._permits = min(held, self._burst)

    def take(self, n: int, now: float) -> int:
        """Takes and returns how many of `n` may leave at `now`."""
        if now < self._paused_until:
            return 0
        if self.rate is None:
            return n
        self._advance(now)
        granted = min(n, int(self._permits + _EPSILON))
        if granted <= 0:
            return 0
        self._permits -= granted
        return granted

    def give_back(self, n: int, now: float) -> None:
        """Returns permits of this very instant that another throttle on the way did not match."""
        if self.rate is not None and now == self._at:
            self._permits = min(self._burst, self._permits + n)

    def next_at(self, now: float) -> float:
        """The earliest instant at which `take(1, ...)` gives one."""
        start = max(now, self._paused_until)
        if self.rate is None:
            return start
        self._advance(now)
        missing = 1.0 - self._permits
        if missing <= _EPSILON:
            return start
        if not self._refill:
            return start + WINDOW_S
        return max(start, self._at + missing / self._refill)

    def refused(self, now: float) -> None:
        """The carrier said throttled or queue full: pause, and slow down. Repeats within the pause are one refusal:
        they answer what had already left."""
        if now < self._paused_until:
            return
        self._paused_until = now + self.pause_s
        if self.rate is None:
            return
        self._advance(now)
        self._limit = max(self.rate * self.floor, self._limit * DECREASE)
        self._reckon()
        self._permits = min(self._permits, self._burst)

    def _advance(self, now: float) -> None:
        elapsed = now - self._at
        if elapsed <= 0:
            return
        self._at = now
        # Permits first, at the slower rate: what adaptation gives back counts from now on.
        self._permits = min(self._burst, self._permits + elapsed * self._refill)
        rate = self.rate
        if rate is not None and self._limit < rate and now > self._paused_until:
            growing = min(elapsed, now - self._paused_until)
            self._limit = min(rate, self._limit + growing * INCREASE_PER_S * rate)
            self._reckon()

    def _reckon(self) -> None:
        limit = self._limit
        if self.rate == 0:
            self._burst = self._refill = 0.0
            return
        if self.rate is not None and self.rate >= 1:
            limit = min(limit, math.floor(self.rate))
        self._burst = float(max(1, int(limit * BURST)))
        self._refill = (limit + (1.0 - self._burst if limit >= 1 else 0.0)) / WINDOW_S
