"""How a limit yields to a carrier that says "too fast", and how it comes back.

It refuses to know permits, links and engines: it is told what left, that a refusal came, and what time it is (monotonic
seconds, an argument), and says how many segments a second may leave now.

Theory. A limit is *good* once it was used for a whole epoch (a sliding second and a response time) without a refusal. Above
it there is only probing: one step up for an epoch, then the step is good and the next one twice as large. A refusal of a
probe costs the probe: back to what was good, a step a quarter as large, and a rest before the next one, twice as long as the
last. A refusal of what was good is news, or a whim (core/whims.py). News takes a seventh off the limit,
and a trial there, if whims are likely, may take it back. Where it came within a second after a
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

from dispatcher.core.whims import AGAIN, AGAIN_BAR, COMPANY_BAR, LEAST, LEAST_AUTO, PROBE_BAR, Sign, Verdict, Whims

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
        "_tried",
        "_turned",
        "ceiling",
        "floor",
        "good",
        "limit",
        "refusals",
        "response_s",
        "whims",
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
        self._since, self._sent = math.inf, 0  # the epoch's beginning, and what left in it;
        self._turned = 0  # how many of these were refused
        self._fresh = self.untold  # did the carrier's count start from nothing when it began?
        self._judge_at = math.inf
        self.whims = Whims(LEAST_AUTO if self.untold else LEAST)
        self._tried = 0.0  # the limit to which a trial that did not help goes back

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
        self._tried *= factor

    def left(self, segments: int, now: float) -> None:
        """So many left at `now`."""
        if self._since == math.inf:
            self._since, self._judge_at = now, now + self._epoch_s()
        self._sent += segments
        self.whims.left(segments, now)

    def advance(self, now: float) -> bool:
        """Ends an epoch whose time is over. True when the limit changed."""
        if now < self._judge_at or self.good >= self.ceiling:
            return False
        if self.whims.trial is not None:
            verdict = self.whims.verdict(now - self.response_s, now)
            if verdict is None:
                self._judge_at = now + self._epoch_s() / 4
                return False
            if not verdict.helps:
                return self._did_not_help(verdict, now)
        used = self._sent >= USED * self.limit * (now - self._since)
        self._begin_epoch(now, self._epoch_s())
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

    def refused(self, now: float, left_at: float, pause_s: float) -> float | None:
        """The carrier said "too fast" at `now` to what left at `left_at`. Until when nothing leaves (`now`: no pause); None: it
        is not about pace."""
        whims = self.whims
        self._turned += left_at >= self._since
        probe = self.limit > self.good
        again = self._fresh and self._sent <= AGAIN
        sign = whims.refused(now, left_at, PROBE_BAR if probe else AGAIN_BAR if again else COMPANY_BAR)
        if sign is Sign.NOTHING:
            return None
        resume_at = now + pause_s if sign is Sign.COMPANY else now
        self.refusals += 1
        self._raises = 0
        rest_s = self._epoch_s()
        self._back = 0.0
        if probe:
            rest_s = max(self._rest_s, rest_s)
            self._step = (self.limit - self.good) / 4
            self.limit = self.good = max(self._sure, RETURN * self.good)
            longest = max(REST_AUTO_S, REST_AUTO_SEGMENTS / self.limit) if self.untold else REST_MAX_S
            self._rest_s = min(2 * self._rest_s, longest)
        else:
            self._cut(sign, now)
        whims.heeded(probe=probe)
        self._bound_step()
        self._begin_epoch(resume_at, rest_s, fresh=sign is Sign.COMPANY)
        return resume_at

    def _cut(self, sign: Sign, now: float) -> None:
        """What was good is refused."""
        floor, share = self._least(), self.whims.share(sign)
        below = self._below(share)
        cut = below if sign is Sign.EXCESS else min(below, DECREASE * self.limit)
        tried = self.limit if self.whims.trial is None else self._tried
        self._step = self._sure = 0.0
        taken = self._sent - self.whims.unjudged - max(1, self._turned)
        if self._fresh and now - self._since < EPOCH_S and MARGIN * taken < cut:
            cut = max(DEEPEST * self.limit, MARGIN * taken)
        elif cut > floor:
            self._back = RETURN * self.limit
        self.limit = self.good = max(floor, cut)
        if self.whims.begin(share, now):
            self._tried, self._back = tried, 0.0

    def _did_not_help(self, verdict: Verdict, now: float) -> bool:
        """A trial's limit: back to the one before, or, where that is not sure, to a lower one yet. Always true."""
        if verdict.helps is None:
            self.limit = self.good = max(self._least(), self._below(verdict.found))
            self.whims.begin(verdict.found, now, sure=True)
        else:
            self.limit = self.good = max(self.good, self._tried)
        self._back = self._step = self._sure = 0.0
        self._bound_step()
        self.whims.heeded(probe=False)
        self._begin_epoch(now, self._epoch_s())
        return True

    def _begin_epoch(self, since: float, lasts_s: float, *, fresh: bool = False) -> None:
        self._since, self._sent, self._turned, self._fresh = since, 0, 0, fresh
        self._judge_at = since + lasts_s

    def _least(self) -> float:
        return _FLOOR_AUTO if self.untold else self.floor * self.ceiling

    def _below(self, share: float) -> float:
        """Safely below the limit that a refused share tells, if it is about pace."""
        over = max(0.0, share - self.whims.background)
        return max(DEEPEST, 1 - 1.3 * over - STEP) * self.limit

    def _epoch_s(self) -> float:
        return EPOCH_S + self.response_s

    def _bound_step(self) -> None:
        least = max(_STEP_AUTO, STEP * self.good) if self.untold else STEP * self.ceiling
        most = self.good / 2
        if self.untold and self.response_s > 0:
            most = min(most, 0.8 / self.response_s)
        self._step = max(least, min(self._step, most))
