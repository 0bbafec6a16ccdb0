"""How engines share a carrier: which part of a rate goes with a session, and how many sessions are whose.

It refuses to know leases, clocks and links: places and counts in, numbers out.

Theory. A rate is given out with the sessions, in whole permits a second: nothing is asked of the store per message, and the
parts of any engines, each kept in every sliding second, add up to no more than the rate. Whole, because two halves of a
permit are two when they leave in one second. Whoever takes a session over waits SETTLE_S before using its part: by then the
second in which the last owner may have used it is over; whoever gives one up stops using its part before he lets go.

Session n of all is *due* to the n-th living engine, modulo their number. That says only how many sessions of a bind each
engine should hold; which ones is left as it is, so that a newcomer moves no more than its share.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from dispatcher.core.throttle import WINDOW_S

SETTLE_S: Final = WINDOW_S
"""Between taking a session over and using its part of the rate: one sliding second, as the throttle counts it."""


def part(rate: float, place: int, places: int) -> float:
    """What session `place` (from 0) of `places` brings of `rate`, segments a second. The parts of all places add up to the
    whole part of the rate; a rate below one a second goes with the first place, undivided."""
    if rate < 1:
        return rate if place == 0 else 0.0
    whole = math.floor(rate)
    return float(whole * (place + 1) // places - whole * place // places)


def quota(numbers: Iterable[int], alive: Sequence[str], name: str) -> int:
    """How many of the sessions with these numbers are due to engine `name` among the living, in their order."""
    return sum(alive[number % len(alive)] == name for number in numbers)
