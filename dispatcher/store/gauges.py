"""What only metrics ask for: how long queues have stood, how far intake is behind. Reads, never writes."""

from __future__ import annotations

from collections.abc import Mapping

from dispatcher.core.ports import Queue
from dispatcher.store import resp
from dispatcher.store.accounts import DESK
from dispatcher.store.keys import family
from dispatcher.store.streams import Streams


class Gauges(Streams):
    """Readings of the store for gauges."""

    async def oldest_turns(self) -> Mapping[Queue, int]:
        queues = await self._families_now()
        wire = [resp.of("ZRANGE", self.k.ring_ + family(q).encode(), 0, 0, "WITHSCORES") for q in queues]
        replies = await self.ask(DESK, b"".join(wire), len(wire)) if wire else []
        # a repaired ring says 0: since when its accounts wait is not known
        return {q: int(float(reply[1])) for q, reply in zip(queues, replies, strict=True) if reply and float(reply[1]) > 0}

    async def sends_waiting(self) -> int:
        cursor = await self.cursor()
        entry = resp.of("XRANGE", self.k.sends, cursor.entry or "-", cursor.entry or "-")
        length, passed = await self.ask(DESK, resp.of("XLEN", self.k.sends) + entry, 2)
        return max(0, int(length) - len(passed))
