"""How many submits a session may have unanswered, by how long answers take.

It refuses to know links; a sample comes from whoever measured it, and the window it names is never above the configured one.

Theory. Up to some number in flight a carrier answers as fast as it can; beyond it more in flight only wait longer. With what
an idle carrier needs for an answer, window x (1 - idle / now) is how many of ours wait in its queue. Of these some are
wanted, so that the carrier never runs dry; more are given back, so that an OTP finds a short line and a dying link leaves
little in doubt. The window begins small and doubles until something waits; then it moves by at most an eighth, once in a
response time. What an idle carrier needs is the least seen, and is measured anew now and then with half of the window.
"""

from __future__ import annotations

import math
from typing import Final

START: Final = 4
WAITING_MIN: Final = 2.0
WAITING_MAX: Final = 5.0
SAMPLES: Final = 8
"""A step looks at the least of so many response times: one slow answer is no queue."""
ANEW_S: Final = 10.0


class Breadth:
    """One session's window, from `least` to `most`."""

    __slots__ = ("_anew_at", "_back", "_count", "_doubling", "_idle_s", "_next_at", "_sample_s", "least", "most", "window")

    def __init__(self, least: int, most: int) -> None:
        self.least = least
        self.most = most
        self.window = max(least, min(START, most))
        self._doubling = True
        self._back = 0  # the window to return to when the idle carrier has been measured
        self._anew_at = -math.inf
        self._idle_s = self._sample_s = math.inf
        self._count = 0
        self._next_at = -math.inf

    def responded(self, seconds: float, now: float) -> None:
        """An answer took so long."""
        self._idle_s = min(self._idle_s, seconds)
        self._sample_s = min(self._sample_s, seconds)
        self._count += 1
        if self._count < SAMPLES or now < self._next_at:
            return
        sample_s, self._sample_s, self._count = self._sample_s, math.inf, 0
        self._next_at = now + 1.5 * sample_s
        if self._back:
            self._idle_s, self.window, self._back = sample_s, self._back, 0
            self._anew_at = now + ANEW_S
        elif now >= self._anew_at and not self._doubling:
            self._back, self.window = self.window, max(self.least, self.window // 2)
        else:
            self._step(self.window * (1 - self._idle_s / sample_s) if sample_s > 0 else 0.0)

    def _step(self, waiting: float) -> None:
        if waiting > WAITING_MAX:
            self._doubling = False
            self.window = max(self.least, self.window - max(1, self.window // 8))
        elif waiting < WAITING_MIN:
            self.window = min(self.most, self.window + (self.window if self._doubling else max(1, self.window // 8)))
