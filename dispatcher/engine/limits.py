"""The limits of senders, countries and networks, where the engine meets them: at the claim, at the link, in the store.

It refuses to know what a limit is (core/meters.py) and whose leases are whose: which sessions are ours it is told. A rate
is split by all sessions of the configuration, as a carrier's is by its own (decision 32).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol

from dispatcher.core.allotment import Allotment
from dispatcher.core.counters import Counters
from dispatcher.core.front import Take
from dispatcher.core.lifecycle import ready
from dispatcher.core.meters import Meters
from dispatcher.core.model import Message
from dispatcher.core.settings import Limit
from dispatcher.core.shares import part


class Carried(Protocol):
    """What a link carries: a message in our hands (works.Flight). `whole`: its segments, where one submit is all of them."""

    message: Message
    whole: Sequence[int]


class Limits:
    """All of them in one engine; a link's Holds."""

    def __init__(self, limits: Sequence[Limit], counters: Counters) -> None:
        self._limits = limits
        self._meters = Meters(limits)
        self._counters = counters

    def sift(self, messages: Sequence[Message], now: float, now_ms: int) -> tuple[list[Message], list[tuple[Message, float]]]:
        """The messages of a claim that may go on, and those that must wait, with the instants at which to try again. Only
        segments that may be submitted now (ms) count."""
        going: list[Message] = []
        held: list[tuple[Message, float]] = []
        for message in messages:
            body, segments = message.body, len(ready(message, now_ms))
            at, meter = self._meters.admit(body, segments, now) if body is not None and segments else (now, None)
            if meter is None:
                going.append(message)
                continue
            held.append((message, at))
            by = "day" if meter.day is not None and meter.day.at_hand(now) < 1 else "rate"
            self._counters.add("dispatcher_held_back_total", (meter.limit.name, by))
        return going, held

    def free(self, token: tuple[Carried, int], now: float) -> float:
        """For links."""
        body = token[0].message.body
        return 0.0 if body is None else self._meters.free(body, _segments(token), now)

    def back(self, token: tuple[Carried, int], now: float) -> None:
        """For links."""
        body = token[0].message.body
        if body is not None:
            self._meters.back(body, _segments(token), now)

    def reshare(self, seats: Sequence[Any], settled: Collection[Any], now: float) -> None:
        """From now on the `settled` of all sessions that submit are ours alone."""
        places = [place for place, seat in enumerate(seats) if seat in settled]
        parts = {
            limit.name: sum(part(limit.rate or 0.0, place, len(seats)) for place in places) if limit.rate else 0.0
            for limit in self._limits
        }
        self._meters.resize(parts, now)

    def left_behind(self) -> list[Take]:
        """Permits of days to be given back, of meters that were forgotten since the last call."""
        return self._meters.left_behind()

    def days(self) -> Iterator[Allotment]:
        """The allotments in use."""
        return (meter.day for meter in list(self._meters.all()) if meter.day is not None)


def _segments(token: tuple[Carried, int]) -> int:
    """Of the submit: a number is one segment, WHOLE (0) all of its flight's."""
    flight, number = token
    return 1 if number else len(flight.whole)
