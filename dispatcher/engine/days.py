"""What is left of days and hours, over all engines: permits taken ahead from the common count, and attempts to bind.

It refuses to know what the permits are for. One task fills all allotments, ten times a second; a block is a hundredth of a
day's limit, so that is as fast as anybody needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

import trio

from dispatcher.core.allotment import Allotment
from dispatcher.core.front import Take
from dispatcher.core.model import Outcome
from dispatcher.core.ports import StoreUnavailable
from dispatcher.engine.committer import Committer
from dispatcher.engine.works import Seat, Works

LOOK_S: Final = 0.1
AT_ONCE: Final = 100


class Days:
    """Keeps the allotments of one engine filled; `wanting` names them."""

    def __init__(self, works: Works, committer: Committer, wanting: Callable[[], Iterable[Allotment]]) -> None:
        self._works = works
        self._committer = committer
        self._wanting = wanting

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await trio.sleep(LOOK_S)

    async def look(self) -> None:
        """One round."""
        works = self._works
        now = works.clock.monotonic()
        await self._back([take for each in self._wanting() if each.stale(now) for take in each.unused()])
        for each in self._wanting():
            if each.spent(now):
                self._spent(each)
        due = list(islice((each for each in self._wanting() if each.wants(now)), AT_ONCE))
        if not due or works.stopping:
            return
        takes = [each.asking(f"{works.owner.name}.{works.owner.fence}") for each in due]
        try:
            answers = await works.store.take([take for each in takes for take in each], works.clock.now_ms())
        except StoreUnavailable as error:
            works.lost_store("days", error)
            await trio.sleep(LOOK_S)
            return
        at = 0
        for allotment, own in zip(due, takes, strict=True):
            allotment.told(own, answers[at : at + len(own)], now)
            at += len(own)
        works.room_bell.ring()

    def _spent(self, day: Allotment) -> None:
        """A carrier or bind whose day is over cannot carry, and what waits in its links goes back: others may have room."""
        works = self._works
        for seat in works.seats:
            if day not in seat.days:
                continue
            if seat.paused_until < day.spent_until:
                seat.paused_until = day.spent_until
                works.log.warning("day_spent", carrier=seat.carrier, bind=seat.bind, session=seat.session, per_day=day.per_day)
            if seat.link is not None and seat.link.queued:  # also what a claim under way brought since the last look
                self._committer.closed(seat, seat.link.unqueue(), Outcome.NOT_SENT)

    async def close(self) -> None:
        """Gives back what nobody used."""
        await self._back([take for each in self._wanting() for take in each.unused()])

    async def _back(self, left: list[Take]) -> None:
        works = self._works
        if works.limits is not None:
            left = [*left, *works.limits.left_behind()]
        if not left:
            return
        try:
            await works.store.give_back(left, works.clock.now_ms())
        except StoreUnavailable as error:
            works.lost_store("days", error)


async def attempt(works: Works, seat: Seat) -> float | None:
    """Counts an attempt to open the session, in any hour, over all engines and their lives. Seconds until it may be one; None:
    the store is away, so nobody can say."""
    most = seat.bind_settings.binds_per_hour
    if most is None:
        return 0.0
    token = f"{works.owner.name}.{works.owner.fence}:{seat.number}:{works.chance.random()}"
    take = Take(f"binds:{seat.carrier}:{seat.bind}", ((3600, most),), token, "binds_per_hour")
    try:
        taken = (await works.store.take([take], works.clock.now_ms()))[0]
    except StoreUnavailable as error:
        works.lost_store("binds", error)
        return None
    return 0.0 if taken.granted else max(1.0, taken.retry_after_ms / 1000)
