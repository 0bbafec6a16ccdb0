"""How a limit yields to a carrier that says "too fast", and how it comes back.

It refuses to know permits, links and engines: it is told what left, that a refusal came, and what time it is (monotonic
seconds, an argument), and says how many segments a second may leave now.

Theory. A limit is *good* once it was used for a whole epoch (a sliding second and a response time) without a refusal. Above
it there is only probing: one step up for an epoch, then the step is good and the next one twice as large. A refusal of a
probe costs the probe: back to what was good, a step a quarter as large, and a rest before the next one, twice as long as the
last. A refusal of what was good is news, or a whim. It takes a seventh off the limit. Where it came within a second after a
pause, when the carrier's own count had started from nothing, what it took until then *is* its limit, and the cut lands
there; else, if the lower limit is good, the next epoch tries nearly the old one again. No cut takes more than 70 % at
once, so that a few refusals that have nothing to do with pace do not stop the traffic.

With a ceiling (a configured rate) the limit starts there, and comes back whether it was used or not: the ceiling was agreed.
Without one ("auto") it starts at 10 a second and rises only on evidence, and a step is at most 0.8 segments in a response
time: at an even pace refusals are then further apart than a response takes, so a probe hears of its first one in time.
"""

from __future__ import annotations

import math
from typing import Final

START_PER_S: Final = 10.0
"""Where "auto" begins."""
EPOCH_S: Final = 1.1
"""Beside a response time; a little more than the sliding second in which carriers count."""
USED: Final = 0.85
"""A limit was used when so much of it left."""
DECREASE: Final = 0.85
DEEPEST: Final = 0.3
MARGIN: Final = 0.9
RETURN: Final = 0.98
STEP: Final = 0.02
"""The least step, a part of the ceiling; without one of the limit."""
REST_S: Final = 2.0
REST_MAX_S: Final = 8.0
RAISES: Final = 3
"""More good steps in a row: the carrier's limit has risen, and rests begin anew."""
REST_AUTO_S: Final = 20.0
REST_AUTO_SEGMENTS: Final = 200.0
"""Without a ceiling a probe is refused at most once in so many segments, or in REST_AUTO_S."""
_FLOOR_AUTO: Final = 0.2
_STEP_AUTO: Final = 0.5


class Adaptation:
    """One limit. `ceiling`: segments a second, inf: untold; `floor`: the part of it below which the limit never goes.

    `response_s` is what the carrier takes to answer, lately; whoever knows sets it. `refusals` counts those that counted.
    """

    __slots__ = (
        "_back",
        "_fresh",
        "_judge_at",
        "_raises",
        "_rest_s",
        "_sent",
        "_since",
        "_step",
        "_sure",
        "ceiling",
        "floor",
        "good",
        "limit",
        "refusals",
        "response_s",
    )

    def __init__(self, ceiling: float, floor: float) -> None:
        self.ceiling = ceiling
        self.floor = floor
        self.limit = self.good = min(ceiling, START_PER_S) if ceiling == math.inf else ceiling
        self.response_s = 0.0
        self.refusals = 0
        self._step = self.limit / 2
        self._back = 0.0  # the limit to return to at once, if the next epoch is good
        self._sure = 0.0  # what was good for a whole rest; a slight excess shows only after some epochs
        self._rest_s, self._raises = REST_S, 0
        self._since, self._sent = math.inf, 0  # the epoch's beginning, and what left in it
        self._fresh = self.untold  # did the carrier's count start from nothing when it began?
        self._judge_at = math.inf

    @property
    def untold(self) -> bool:
        """Is there no ceiling?"""
        return self.ceiling == math.inf

    def scale(self, factor: float) -> None:
        """Another part of the same rate: everything keeps its place below the ceiling."""
        self.ceiling *= factor
        self.limit *= factor
        self.good *= factor
        self._step *= factor
        self._back *= factor
        self._sure *= factor

    def left(self, segments: int, now: float) -> None:
        """So many left at `now`."""
        if self._since == math.inf:
            self._since, self._judge_at = now, now + self._epoch_s()
        self._sent += segments

    def advance(self, now: float) -> bool:
        """Ends an epoch whose time is over. True when the limit changed."""
        if now < self._judge_at or self.good >= self.ceiling:
            return False
        used = self._sent >= USED * self.limit * (now - self._since)
        self._since, self._sent, self._fresh = now, 0, False
        self._judge_at = now + self._epoch_s()
        if self.untold and not used:
            return False
        probed, self.good = self.limit > self.good, self.limit
        if self.good == self._back:
            self._back = self._step = 0.0
            self._judge_at = now + max(self._rest_s, self._epoch_s())
            return False
        if self._back:
            self.limit = self._back
            return True
        if probed:
            self._step *= 2
            self._raises += 1
            if self._raises > RAISES:
                self._rest_s = REST_S
        else:
            self._sure = self.good
        self._bound_step()
        self.limit = min(self.ceiling, self.good + self._step)
        return True

    def refused(self, now: float, resume_at: float) -> None:
        """The carrier said "too fast" at `now`; nothing leaves before `resume_at`."""
        self.refusals += 1
        self._raises = 0
        rest_s = self._epoch_s()
        self._back = 0.0
        if self.limit > self.good:
            rest_s = max(self._rest_s, rest_s)
            self._step = (self.limit - self.good) / 4
            self.limit = self.good = max(self._sure, RETURN * self.good)
            longest = max(REST_AUTO_S, REST_AUTO_SEGMENTS / self.limit) if self.untold else REST_MAX_S
            self._rest_s = min(2 * self._rest_s, longest)
        else:
            floor = _FLOOR_AUTO if self.untold else self.floor * self.ceiling
            cut = DECREASE * self.limit
            if self._fresh and now - self._since < EPOCH_S and MARGIN * (self._sent - 1) < cut:
                cut = max(DEEPEST * self.limit, MARGIN * (self._sent - 1))
            elif cut > floor:
                self._back = RETURN * self.limit
            self._step = self._sure = 0.0
            self.limit = self.good = max(floor, cut)
        self._bound_step()
        self._since, self._sent, self._fresh = resume_at, 0, True
        self._judge_at = resume_at + rest_s

    def _epoch_s(self) -> float:
        return EPOCH_S + self.response_s

    def _bound_step(self) -> None:
        least = max(_STEP_AUTO, STEP * self.good) if self.untold else STEP * self.ceiling
        most = self.good / 2
        if self.untold and self.response_s > 0:
            most = min(most, 0.8 / self.response_s)
        self._step = max(least, min(self._step, most))
