"""Which limits a session's bytes pass on their way: rates and days, the carrier's, shared by its sessions here, and the bind's.

It refuses to know leases: which sessions are ours, and since when, it is told (`reshare`). Links ask `permits` at the moment of
writing.

A refusal slows one rate down, the narrowest that can learn from it: the last "auto", else the bind's own, else the carrier's;
without any it is only the pause.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain
from typing import Final

from dispatcher.core.allotment import Allotment
from dispatcher.core.shares import part
from dispatcher.core.tables import Auto
from dispatcher.core.throttle import Throttle
from dispatcher.engine.limits import Limits
from dispatcher.engine.works import Seat

SUBMITS_CAPPED: Final = "submits_per_session"
"""Why a session is ended that has had its number of submits."""
AGAIN_S: Final = 0.02
"""When a full window or an empty day is asked again. Answers and new permits ring before that, mostly."""


class Rates:
    """The throttles of all sessions that submit; gives each session its own."""

    def __init__(self, seats: list[Seat], limits: Limits | None) -> None:
        self._seats = seats
        self._limits = limits
        self._days: dict[tuple[str, ...], Allotment] = {}
        for seat in seats:
            for key, per_day in (
                ((seat.carrier,), seat.carrier_settings.per_day),
                ((seat.carrier, seat.bind), seat.bind_settings.per_day),
            ):
                if per_day is not None:
                    day = self._days.setdefault(key, Allotment("day:" + ":".join(key), per_day))
                    seat.days = (*seat.days, day)
        found: dict[tuple[str, ...], tuple[Throttle, float | Auto, list[Seat]]] = {}
        for seat in seats:
            carrier = seat.carrier_settings
            own: list[Throttle] = []
            for key, rate in (((seat.carrier,), carrier.rate), ((seat.carrier, seat.bind), seat.bind_settings.rate)):
                if rate is not None:
                    throttle = Throttle(rate, carrier.throttle_floor, carrier.throttle_pause_s)
                    throttle, _, members = found.setdefault(key, (throttle, rate, []))
                    members.append(seat)
                    own.append(throttle)
            own = own or [Throttle(None, pause_s=carrier.throttle_pause_s)]
            seat.throttles = tuple(own)
            seat.yielding = next((throttle for throttle in reversed(own) if throttle.auto), own[-1])
        self._shared = [(throttle, rate, members) for throttle, rate, members in found.values() if not isinstance(rate, str)]

    def reshare(self, settled: Collection[Seat], now: float) -> None:
        """From now on these sessions are ours alone. An "auto" has no whole that could be split: each engine finds its own."""
        for throttle, rate, seats in self._shared:
            parts = (part(rate, place, len(seats)) for place, seat in enumerate(seats) if seat in settled)
            throttle.resize(sum(parts), now)
        if self._limits is not None:
            self._limits.reshare(self._seats, settled, now)

    @property
    def counts_days(self) -> bool:
        """Is there, or may there be, any day to count?"""
        return bool(self._days) or self._limits is not None

    def days(self) -> Iterator[Allotment]:
        """Every day that is counted here."""
        return chain(self._days.values(), self._limits.days() if self._limits is not None else ())


def permits(seat: Seat, wanted: int, now: float) -> tuple[int, float]:
    """How many of `wanted` segments may leave over the session now, and when to ask again for the rest."""
    granted = wanted
    if seat.breadth is not None and seat.link is not None:
        granted = min(granted, seat.breadth.window - seat.link.session.in_flight)
    capped = seat.bind_settings.submits_per_session
    if capped is not None and seat.link is not None:
        granted = min(granted, capped - seat.submitted)
        if granted <= 0 < capped <= seat.submitted:
            seat.up = False
            seat.link.session.start_unbind(now, SUBMITS_CAPPED)
            return 0, now
    for day in seat.days:
        granted = min(granted, day.at_hand(now))
    if granted <= 0:
        return 0, now + AGAIN_S
    taken: list[Throttle] = []
    for throttle in seat.throttles:
        granted_here = throttle.take(granted, now)
        for earlier in taken:
            earlier.give_back(granted - granted_here, now)
        granted = granted_here
        taken.append(throttle)
        if not granted:
            break
    seat.submitted += granted
    for day in seat.days:
        day.use(granted, now)
    if granted == wanted:
        return granted, now
    return granted, max((throttle.next_at(now) for throttle in seat.throttles), default=now + AGAIN_S)
