"""A carrier's rate as a bucket of permits, and how it yields to a carrier that says "too fast".

It refuses to know who asks and for which link; seconds are monotonic and an argument.

Theory. Carriers count submissions in any sliding second. A bucket of `b` permits that refills at `r` a second lets no
more than b + r x t through in t seconds, so with r = (N + 1 - b) / W no W seconds ever see more than N. N is the whole
part of the rate (2.5 in one second is not possible; 2 is), b = 1 + 1 % of it: a permit, and what comes in 10 ms, so that a
writer who wakes so late loses nothing. W = 1.02 s, not 1, because carriers count when bytes arrive: 20 ms of jitter on the
way must not look like one too many. The price is 3 % of the rate. Rates below one a second are spaced by W / rate.

A refusal pauses, and core/adaptation.py says how far the limit falls and when it is back. The configured rate is the
ceiling; "auto" has none and finds the carrier's.
"""

from __future__ import annotations

import math

from dispatcher.core.adaptation import Adaptation
from dispatcher.core.tables import Auto
from dispatcher.core.whims import COMPANY_BAR, LEAST_UNLIMITED, Sign, Whims

LATE_S = 0.01
"""How late a writer may wake up and lose nothing."""
WINDOW_S = 1.02
_EPSILON = 1e-4
"""Permits. A monotonic clock of 10^6 s resolves 10^-10 s, which at 10^5 a second is 10^-5 permits."""


class Throttle:
    """Permits for one carrier or bind. `rate` segments a second, "auto": as fast as it takes them, None: no limit (a refusal
    still pauses), 0 (by `resize`): none at all, because others have the whole of it.

    `floor` is the part of the rate below which adaptation never goes; `pause_s` how long a refusal silences it.
    """

    __slots__ = (
        "_at",
        "_burst",
        "_cut_at",
        "_paused_until",
        "_permits",
        "_refill",
        "_whims",
        "_whole",
        "adaptation",
        "pause_s",
        "rate",
    )

    def __init__(self, rate: float | Auto | None, floor: float = 0.05, pause_s: float = 1.0) -> None:
        if rate is not None and rate != "auto" and not 0 < rate < math.inf:
            raise ValueError(f"rate {rate} must be above 0 and finite, or None")
        self.rate: float | None = math.inf if rate == "auto" else rate
        self.adaptation = None if self.rate is None else Adaptation(self.rate, floor)
        self._whims = Whims(LEAST_UNLIMITED) if self.adaptation is None else self.adaptation.whims
        self.pause_s = pause_s
        self._whole = self.rate
        self._at = self._cut_at = -math.inf
        self._paused_until = -math.inf
        self._reckon()
        self._permits = self._burst

    @property
    def limit(self) -> float:
        """Segments a second now allowed (0: unlimited)."""
        return self.adaptation.limit if self.adaptation is not None and self.rate else 0.0

    @property
    def auto(self) -> bool:
        """Does it look for the carrier's limit?"""
        return self.rate == math.inf

    @property
    def closed(self) -> bool:
        """Nothing may leave: none of the rate is ours."""
        return self.rate == 0

    @property
    def refill(self) -> float:
        """Permits a second, as they come."""
        return self._refill

    def resize(self, rate: float, now: float) -> None:
        """Another part of a rate that is shared with others, from `now` on. Pause and adaptation stay; what a smaller part
        has no room for is lost, and a larger one brings no permits with it. Does nothing to a throttle without a rate."""
        adaptation = self.adaptation
        if adaptation is None or self.auto or rate == self.rate:
            return
        self._advance(now)
        held = self._permits if self.rate else 0.0
        if rate and self._whole:
            adaptation.scale(rate / self._whole)
            self._whole = rate
        self.rate = rate
        self._reckon()
        self._permits = min(held, self._burst)

    def take(self, n: int, now: float) -> int:
        """Takes and returns how many of `n` may leave at `now`."""
        if now < self._paused_until:
            return 0
        if self.adaptation is None:
            self._whims.left(n, now)
            return n
        self._advance(now)
        granted = min(n, int(self._permits + _EPSILON))
        if granted <= 0:
            return 0
        self._permits -= granted
        self.adaptation.left(granted, now)
        return granted

    def owe(self, n: int, now: float) -> None:
        """So many more left with the one that was just taken, and could not wait: what comes next waits for them."""
        if self.adaptation is not None:
            self._permits -= n
            self.adaptation.left(n, now)

    def give_back(self, n: int, now: float) -> None:
        """Returns permits of this very instant that another throttle on the way did not match."""
        if self.adaptation is not None and now == self._at:
            self._permits = min(self._burst, self._permits + n)
            self.adaptation.left(-n, now)

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

    def refused(self, now: float, left_at: float = 0.0) -> bool:
        """The carrier said throttled or queue full. Is it to pause? Where it is about pace (core/whims.py), and then the limit
        falls, too. Repeats within the pause are one refusal, and so is what had left before the last one (`left_at`; 0: nobody
        knows): they answer the same haste."""
        if now < self._paused_until or 0 < left_at <= self._cut_at:
            return False
        if self.adaptation is None:
            if self._whims.refused(now, left_at or now, COMPANY_BAR) is not Sign.COMPANY:
                return False
            self._whims.heeded(probe=False)
            until = now + self.pause_s
        else:
            self._advance(now)
            yielded = self.adaptation.refused(now, left_at or now, self.pause_s)
            if yielded is None:
                return False
            until = yielded
            self._reckon()
            self._permits = min(self._permits, self._burst)
        self._cut_at, self._paused_until = now, until
        return until > now

    def responded(self, seconds: float) -> None:
        """The carrier took so long for an answer: how long adaptation waits for what its steps bring. Up fast, down slowly."""
        adaptation = self.adaptation
        if adaptation is not None:
            more = seconds - adaptation.response_s
            adaptation.response_s += more * (0.5 if more > 0 else 0.05)

    def _advance(self, now: float) -> None:
        elapsed = now - self._at
        if elapsed <= 0:
            return
        self._at = now
        # Permits first, at the slower rate: what adaptation gives back counts from now on.
        self._permits = min(self._burst, self._permits + elapsed * self._refill)
        if self.adaptation is not None and now >= self._paused_until and self.adaptation.advance(now):
            self._reckon()

    def _reckon(self) -> None:
        if self.adaptation is None or self.rate is None or self.rate == 0:
            self._burst = self._refill = 0.0
            return
        limit = self.adaptation.limit
        if math.inf > self.rate >= 1:
            limit = min(limit, math.floor(self.rate))
        self._burst = 1.0 + limit * LATE_S
        self._refill = (limit + (1.0 - self._burst if limit >= 1 else 0.0)) / WINDOW_S
