"""Watches how many of the codes that accounts send are used, and pauses those into a country where too few are.

This module refuses to know when that is too few (core/guards.Conversions). Every HTTP process watches, for every one of
them hears of codes that were used; what one pauses all know within a second, for the store keeps it. Intake only obeys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from dispatcher.core.guards import Conversions
from dispatcher.core.ports import StoreUnavailable
from dispatcher.ingest.door import Door

POLL_S = 0.25
PAUSES_S = 0.5
"""How often it is asked what is paused: known within a second."""
COUNTS_S = 5.0


async def keep_watching(door: Door) -> None:
    """Looks again and again, until cancelled. What could not be read is read the next time."""
    watch = Watch(door)
    while True:
        try:
            await watch.look()
        except Exception as error:  # a watch that has ended would be missed by nobody
            door.unforeseen(error)
        await asyncio.sleep(POLL_S)


class Watch:
    """One process' watch."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._front = door.store
        self._conversions = Conversions(door.settings.fraud)
        self._pauses_at = self._counts_at = float("-inf")
        self._known: Mapping[str, int] = {}
        self._low: list[str] = []

    async def look(self) -> None:
        """Reads what is due to be read, and pauses what is to be paused."""
        door, now = self._door, self._door.clock.monotonic()
        try:
            if now >= self._pauses_at:
                await self._look_at_pauses()
                self._pauses_at = now + PAUSES_S
            if now >= self._counts_at:
                await self._look_at_counts()
                self._counts_at = now + COUNTS_S
        except StoreUnavailable:
            return
        door.counters.put("dispatcher_conversions", ("low",), len(self._low))
        door.counters.put("dispatcher_conversions", ("paused",), len(self._known))

    async def _look_at_pauses(self) -> None:
        paused = await self._front.paused_conversions(self._door.clock.now_ms())
        for name in self._known.keys() - paused.keys():
            self._door.log.info("conversion_resumed", account_and_country=name)
        self._door.book.guards.paused = self._known = paused

    async def _look_at_counts(self) -> None:
        door, fraud, now = self._door, self._door.settings.fraud, self._door.clock.now_ms()
        counts = await self._front.conversions(now, fraud.conversion_hours)
        judgement = self._conversions.judge(counts, self._known, now)
        for name in judgement.low:
            if name not in self._low:
                door.log.warning("conversion_low", account_and_country=name, sent=counts[name].sent, used=counts[name].used)
        self._low = judgement.low
        for name in judgement.pause:
            await self._front.pause_conversion(name, now + int(fraud.conversion_pause_s * 1000))
            door.log.warning("conversion_paused", account_and_country=name, seconds=fraud.conversion_pause_s)
        if judgement.pause:
            await self._look_at_pauses()
