"""Which refusals of "too fast" are about pace, and which are a carrier's whims, such as a handset's queue that is full.

It refuses to know limits, permits and pauses: it is told what left and what was refused, and says whether that counts.

Theory. What a carrier refuses whatever the pace is a share of what is submitted, its *background*. Pace shows in two ways.
In company: a carrier that counts in seconds refuses what is over, one after the other, where a background hardly ever does.
As an excess: a carrier that refills a bucket refuses evenly, but more than the background. Both are looked for by Page's
cumulative sums, of the log-likelihood of "two in five are refused" and of "half as much again, and a little more" against the
background; a sum never falls below nothing, and one that has passed its bar is a sign. Submits are counted where they left,
so that answers which come together are not taken for company.

A sign is not a proof: the limit falls, and a *trial* compares. A share that was about pace is gone below the limit that it
tells (of 100 a second 4 % refused: 96); one that is still there, by Wald's sequential test against a third of it, is the
background from now on. The background falls again by itself where less is refused, by half in five minutes at the fastest.
"""

from __future__ import annotations

import math
from collections import deque
from enum import Enum, auto
from typing import Final, NamedTuple

LEAST: Final = 0.002
"""The background of which nobody needs to be told: one in five hundred."""
LEAST_AUTO: Final = 1e-5
"""Who looks for a limit by its refusals heeds each of them, until it knows better."""
LEAST_UNLIMITED: Final = 0.05
"""Without a rate that could be lowered nothing can be tried out."""
MOST: Final = 0.15
"""More than this is never taken for background: a carrier that refuses so much gets less, whatever its reason."""
COMPANY: Final = 0.4
COMPANY_BAR: Final = 9.0
AGAIN_BAR: Final = 5.5
"""Among the first AGAIN submits after company two are enough, mostly."""
AGAIN: Final = 100
PROBE_BAR: Final = 4.5
"""Above what was good: with a background below 1/225 a single one is enough."""
EXCESS: Final = 0.006
EXCESS_BAR: Final = 6.0
TRIAL_BAR: Final = 3.0
TRIAL_S: Final = 8.0
"""A trial that has not decided by then never was."""
TRIAL_MOST: Final = 0.3
"""Few refusals may tell of too large a share; it is not looked for."""
TELLING: Final = 2
"""So many refusals make a share, one more a proof. With"""
SURE: Final = 5
"""of them the share is trusted; "auto" needs so many for a trial, too."""
WORTH: Final = 4 * LEAST
"""The least share that is worth a trial."""
MEMORY: Final = 1000.0
"""Submits over which the share is taken."""
HALF_S: Final = 300.0
_MARKS, _MARK_S = 64, 0.05


class Sign(Enum):
    """What a refusal says about pace."""

    NOTHING = auto()
    EXCESS = auto()
    COMPANY = auto()


class Trial:
    """Is `share` still refused at a lower rate? Begun at `since` submits, over at `until` (monotonic). `sure`: enough were
    refused for that share, so that the limit it would tell of, if it were about pace, is above the lower rate."""

    __slots__ = ("background", "refused", "share", "since", "sure", "until")

    def __init__(self, share: float, sure: bool, background: float, since: float, until: float) -> None:
        self.share = share
        self.sure = sure
        self.background = background
        self.since = since
        self.until = until
        self.refused = 0

    def remains(self, answered: float, now: float) -> bool | None:
        """By what was refused of the submits up to `answered`. None: nobody knows yet."""
        submits, background = max(answered - self.since, self.refused, 1.0), self.background
        sought = background + 0.6 * (self.share - background)
        found = max(background, self.refused / submits)
        if self.refused > TELLING and self._score(found, submits) >= TRIAL_BAR:
            return True
        if now >= self.until or (self._score(sought, submits) <= -TRIAL_BAR and self._score(found, submits) < TRIAL_BAR / 2):
            return False
        return None

    def _score(self, share: float, submits: float) -> float:
        """The log-likelihood of a share against the background."""
        return self.refused * math.log(share / self.background) - submits * (share - self.background)


class Verdict(NamedTuple):
    """Does the lower rate help? None: a still lower one must be tried. `found`: the share that was refused at it."""

    helps: bool | None
    found: float


class Whims:
    """One carrier's or bind's refusals. `background`: what is refused whatever the pace, at least `least`."""

    __slots__ = (
        "_base",
        "_company",
        "_count",
        "_excess",
        "_judged",
        "_last_at",
        "_least",
        "_marks",
        "_refused",
        "_run",
        "_run_since",
        "_telling",
        "_weighed_at",
        "background",
        "trial",
    )

    def __init__(self, least: float = LEAST) -> None:
        self._telling = SURE if least == LEAST_AUTO else TELLING
        self.background = self._least = least
        self.trial: Trial | None = None
        self._count = 0.0  # all that left
        self._last_at = -math.inf
        self._marks: deque[tuple[float, float]] = deque(maxlen=_MARKS)  # how many had left when
        self._judged = 0.0  # the count up to which the sums go
        self._company = self._excess = 0.0
        self._run, self._run_since = 0, 0.0  # refusals since the sum of the excess was nothing, and the count then
        self._base, self._refused = 0.0, 0.0  # the share's memory: since that count so many were refused
        self._weighed_at = -math.inf

    @property
    def unjudged(self) -> float:
        """How many left after the latest that was refused: nobody knows yet what became of them."""
        return self._count - self._judged

    def left(self, segments: int, now: float) -> None:
        """So many left at `now`."""
        self._count += segments
        self._last_at = now
        if not self._marks or now >= self._marks[-1][0] + _MARK_S:
            self._marks.append((now, self._count))

    def refused(self, now: float, left_at: float, bar: float) -> Sign:
        """One of those that left at `left_at` was refused. `bar`: for company, see above."""
        self._weigh(now)
        count = max(self._judged, self._count_at(left_at))
        gap, self._judged = count - self._judged, count
        background = max(self.background, self.trial.share if self.trial is not None else 0.0)
        company = max(COMPANY, 2 * background)
        self._company = max(0.0, self._company - gap * (company - background)) + math.log(company / background)
        excess = 1.5 * background + EXCESS
        self._excess -= gap * (excess - background)
        if self._excess <= 0:
            self._excess, self._run, self._run_since = 0.0, 0, count - min(gap, 1 / excess)
        self._excess += math.log(excess / background)
        self._run += 1
        self._refused += 1
        if self.trial is not None:
            self.trial.refused += 1
        if self._company >= bar:
            return Sign.COMPANY
        return Sign.EXCESS if self._excess >= EXCESS_BAR else Sign.NOTHING

    def share(self, sign: Sign) -> float:
        """The share that gave the sign; 0 where too few were refused to tell."""
        shares = [0.0]
        if self._refused >= self._telling:
            shares.append(self._refused / max(self._judged - self._base, self._refused))
        if sign is Sign.EXCESS and self._run >= self._telling:
            shares.append(self._run / max(self._judged - self._run_since, self._run))
        return max(shares)

    def heeded(self, *, probe: bool) -> None:
        """The limit changed for what was seen; what has left until now says nothing about the next. Refused probes are no news
        of what is good, so that the search for an excess goes on."""
        skipped = self.unjudged
        self._judged += skipped
        self._base += skipped
        self._run_since += skipped
        self._company = 0.0
        if not probe:
            self._excess, self._run, self._run_since = 0.0, 0, self._judged

    def begin(self, share: float, now: float, *, sure: bool = False) -> bool:
        """A trial of what leaves from now on. False: the share is not worth one."""
        if share < max(WORTH, 1.2 * self.background):
            return False
        sure = sure or max(self._refused, self._run) >= SURE
        if self.trial is not None:
            share, sure = self.trial.share, self.trial.sure
        self.trial = Trial(min(share, TRIAL_MOST), sure, self.background, self._count, now + TRIAL_S)
        return True

    def verdict(self, answered_at: float, now: float) -> Verdict | None:
        """Of the trial, if it is over by then."""
        trial = self.trial
        if trial is None:
            return None
        answered = max(self._judged, self._count_at(answered_at))
        remains = trial.remains(answered, now)
        if remains is None:
            return None
        self.trial = None
        submits, refused = max(answered - trial.since, trial.refused, 1.0), trial.refused
        found = refused / submits
        if not remains:
            self.background = max(self._least, min(self.background, (refused + math.sqrt(refused) + 1) / submits))
            return Verdict(helps=True, found=found)
        if found > MOST or not trial.sure:
            return Verdict(helps=None, found=found)
        self.background = max(self.background, min(MOST, found * (1 + 0.5 / math.sqrt(refused))))
        self._weighed_at = now
        return Verdict(helps=False, found=found)

    def _weigh(self, now: float) -> None:
        """Forgets what is long ago, and lets the background fall where less is refused."""
        submits = self._judged - self._base
        if submits < MEMORY:
            return
        most = (self._refused + 2 * math.sqrt(self._refused) + 2) / submits
        if most < self.background:
            kept = 0.5 ** (max(0.0, now - self._weighed_at) / HALF_S)
            self.background = max(self._least, most, self.background * kept)
        self._weighed_at = now
        self._base = self._judged - MEMORY / 2
        self._refused *= MEMORY / 2 / submits

    def _count_at(self, at: float) -> float:
        """How many had left by then; between marks evenly."""
        later_at, later = self._last_at, self._count
        for mark_at, count in reversed(self._marks):
            if mark_at <= at:
                part = 1.0 if later_at <= mark_at else min(1.0, (at - mark_at) / (later_at - mark_at))
                return count + (later - count) * part
            later_at, later = mark_at, count
        return later
