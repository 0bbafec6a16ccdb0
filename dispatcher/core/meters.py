"""Limits of some traffic: of a sender, a country, a network; over all carriers. Which ones a message meets, and when it may go.

It refuses to know engines, links and the store. Seconds are monotonic and an argument.

Theory. A limit is asked twice. At the claim (`admit`), so that what could not leave soon is not claimed: no more waits in
links than the rate lets leave in a fifth of a second, or one long message. And at the moment of writing (`free`), submit by
submit, by a throttle that keeps the rate in every sliding second; what it holds is passed by others in the link's queue. A
submit is one segment, or all of a long message that goes whole: its first waits for its permit, and the next submit for all.
What a dead link takes with it is not told here: when nothing moved for STALE_S, nothing waits.

What is not admitted is put back with an instant of its own: each lane has a line, whose places are as far apart as the rate
says, so that a backlog comes back as it can leave and not all at once. An OTP's line is short, whatever bulk's is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from dispatcher.core.allotment import Allotment
from dispatcher.core.front import Take
from dispatcher.core.model import Body
from dispatcher.core.settings import Limit
from dispatcher.core.throttle import Throttle

AHEAD_S: Final = 0.2
STALE_S: Final = 5.0
SOON_S: Final = 0.2
"""When a day's permits that were asked for are looked for again."""
METERS_MAX: Final = 5_000
LOOK_AT: Final = 10
"""So many of the oldest meters are looked at when there are too many; those in use become the youngest."""
IDLE_S: Final = 2.0
"""A meter nobody used for so long holds nothing back any more, and may be forgotten."""


class Meter:
    """One limit as it counts one kind of traffic; `rate` and `day` are there where the limit has them."""

    __slots__ = ("_lines", "_moved_at", "_waiting", "day", "limit", "rate", "used_at")

    def __init__(self, limit: Limit, subject: str) -> None:
        self.limit = limit
        self.rate = None if limit.rate is None else Throttle(limit.rate)
        self.day = None if limit.per_day is None else Allotment(subject, limit.per_day)
        self.used_at = -math.inf
        self._lines: dict[int, float] = {}
        self._waiting = 0  # segments claimed that have not left
        self._moved_at = -math.inf

    def open_at(self, segments: int, lane: int, now: float) -> float:
        """`now` when they may be claimed, else the instant at which to try again."""
        self.used_at = now
        if self.rate is not None:
            if now - self._moved_at > STALE_S:
                self._waiting = 0
            if self.rate.closed or self._waiting >= max(1.0, AHEAD_S * self.rate.refill):
                return self._place(segments, lane, now)
        if self.day is not None and self.day.at_hand(now) < segments:
            self.day.use(segments, now)  # asks for as many
            return max(now + SOON_S, self.day.spent_until)
        return now

    def claim(self, segments: int, now: float) -> None:
        """They are claimed."""
        self._waiting += segments
        self._moved_at = now
        if self.day is not None:
            self.day.use(segments, now)

    def left(self, segments: int, now: float) -> None:
        """So many of them left."""
        self._waiting = max(0, self._waiting - segments)
        self._moved_at = now

    def _place(self, segments: int, lane: int, now: float) -> float:
        spacing = segments / (self.limit.rate or 1.0)
        at = max(self._lines.get(lane, 0.0), now) + spacing
        self._lines[lane] = at
        return at


class Meters:
    """All limits of the configuration. Meters are made when traffic meets them; those that nobody uses are forgotten."""

    def __init__(self, limits: Sequence[Limit]) -> None:
        self._limits = [
            (limit, frozenset(limit.sender), frozenset(limit.country), frozenset(limit.network)) for limit in limits
        ]
        self._meters: dict[tuple[str, str], Meter] = {}
        self._left: list[Take] = []
        self._parts = {limit.name: 0.0 for limit in limits}  # nothing is ours before somebody says so

    def of(self, body: Body, now: float) -> list[Meter]:
        """Those that this message meets."""
        found = []
        for limit, senders, countries, networks in self._limits:
            if senders and body.sender not in senders:
                continue
            if (countries and body.country not in countries) or (networks and body.mccmnc not in networks):
                continue
            each = limit.each
            value = body.sender if each == "sender" else body.country if each == "country" else body.mccmnc if each else ""
            found.append(self._meters.get((limit.name, value)) or self._new(limit, value, now))
        return found

    def all(self) -> Iterable[Meter]:
        """Every meter there is."""
        return self._meters.values()

    def left_behind(self) -> list[Take]:
        """What forgotten meters had taken of their days and nobody used, to be given back; once."""
        left, self._left = self._left, []
        return left

    def admit(self, body: Body, segments: int, now: float) -> tuple[float, Meter | None]:
        """`now` and None when so many of the message's segments may be claimed, and counts them; else when to try again, and
        whose limit it is: the strictest wins."""
        meters = self.of(body, now)
        for meter in meters:
            at = meter.open_at(segments, body.lane, now)
            if at > now:
                return at, meter
        for meter in meters:
            meter.claim(segments, now)
        return now, None

    def free(self, body: Body, segments: int, now: float) -> float:
        """0 when a submit of so many segments may leave now, and counts it; else when to ask again."""
        taken: list[tuple[Meter, Throttle]] = []
        for meter in self.of(body, now):
            rate = meter.rate
            if rate is None:
                continue
            if not rate.take(1, now):
                for _, earlier in taken:
                    earlier.give_back(1, now)
                return rate.next_at(now)
            taken.append((meter, rate))
        for meter, rate in taken:
            rate.owe(segments - 1, now)
            meter.left(segments, now)
        return 0.0

    def back(self, body: Body, segments: int, now: float) -> None:
        """A submit that was free at this very instant did not leave after all."""
        for meter in self.of(body, now):
            if meter.rate is not None:
                meter.rate.give_back(segments, now)
                meter.left(-segments, now)

    def resize(self, parts: dict[str, float], now: float) -> None:
        """Our part of each limit's rate, by its name, from now on (core/shares.py)."""
        self._parts = parts
        for meter in self._meters.values():
            if meter.rate is not None:
                meter.rate.resize(parts[meter.limit.name], now)

    def _new(self, limit: Limit, value: str, now: float) -> Meter:
        for key in list(islice(self._meters, LOOK_AT)) if len(self._meters) >= METERS_MAX else ():
            old = self._meters.pop(key)
            if now - old.used_at < IDLE_S:
                self._meters[key] = old
            elif old.day is not None:
                self._left += old.day.unused()
        meter = self._meters[limit.name, value] = Meter(limit, f"limit:{limit.name}:{value}")
        if meter.rate is not None:
            meter.rate.resize(self._parts[limit.name], now)
        return meter
