"""Receipts that cannot be applied in time: written down in the store, answered, and tried again from there.

It refuses to know how a receipt finds its segment and what it does to it (receipts.py).

Theory. Who delivered a receipt waits for its answer and delivers it again when that is an error; so where receipts are late
because there are many, errors make more of them, each dearer than the first, as nobody knows its id any more. One bulk write
is all that is needed to take a late receipt over: its answer is then "taken", and whatever it means may wait. Only a store that
does not answer at all makes errors, and then those that were applied after all are remembered, so that they are known again.
How long one has waited is counted by whoever looks, from its own first look: the clocks of two machines may differ by more
than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, takewhile
from typing import Final

import msgspec

from dispatcher.core.matching import park, unpark
from dispatcher.core.settings import Quirks
from dispatcher.engine.answers import SYSTEM_ERROR, reply
from dispatcher.engine.deliveries import Item, Read
from dispatcher.engine.learning import Learning
from dispatcher.engine.works import BATCH_MAX, Works
from smpp.receipts import Receipt

WAIT_PART, WAIT_PART_MIN, WAIT_MAX_S = 0.6, 0.125, 1.0
"""A receipt waits in memory, for its answer to be settled or for its turn, for at most such a part of deliver_answer_s;
for less, down to the second part, where batches take so long that it would be answered too late."""
_FORGOTTEN: Final = 0.8
"""What each batch leaves of how long a slower one took."""
PARKED_MAX: Final = 100_000
"""Of one carrier. What is more is answered "system error": it stays with the carrier."""
_TOLD_MAX: Final = 20_000


class Parking:
    """The parked receipts of all carriers. `open`: being written down just now."""

    def __init__(self, works: Works, learning: Learning, quirks: dict[str, Quirks]) -> None:
        self._works = works
        self._learning = learning
        self._quirks = quirks
        self._numbers = count()
        self._parked: dict[str, int] = {}
        self._since: dict[str, dict[str, float]] = {}  # carrier -> field -> monotonic of the first look, oldest first
        self._told: dict[tuple[str, str], str] = {}
        self.open: list[Item] = []
        self._limit_s = works.settings.receipts.deliver_answer_s
        self._took_s = 0.0

    @property
    def patience_s(self) -> float:
        """How long a receipt may wait for its turn: a batch that begins then is still answered in time."""
        limit_s = self._limit_s
        return max(WAIT_PART_MIN * limit_s, min(WAIT_MAX_S, WAIT_PART * limit_s, limit_s - 2 * self._took_s))

    def batch_took(self, seconds: float) -> None:
        """So long was the latest batch on its way, from its turn to its answers."""
        self._took_s = max(seconds, _FORGOTTEN * self._took_s)

    async def park(self, items: Sequence[Item]) -> None:
        """Keeps them in the store and answers those that have no answer yet."""
        works = self._works
        rows: dict[str, list[tuple[str, bytes]]] = {}
        kept, refused = list[Item](), list[Item]()
        for item in items:
            receipt, read = item.receipt, item.read
            parked = self._parked.get(read.carrier, 0)
            if parked >= PARKED_MAX:
                refused.append(item)
                continue
            self._parked[read.carrier] = parked + 1
            if receipt.id:
                self._learning.seen(read.carrier, receipt.id, "")
            item.field = f"{receipt.id}.{receipt.state}.{read.at}.{next(self._numbers)}"
            rows.setdefault(read.carrier, []).append((item.field, park(receipt, item.keys, read.at, item.tlvs)))
            kept.append(item)
        if refused:
            works.log.warning("receipts_parked_full", count=len(refused))
            reply(refused, SYSTEM_ERROR)
        self.open += kept
        for carrier, fields in rows.items():
            await works.persist("early", lambda c=carrier, f=fields: works.store.park_early(c, f))  # type: ignore[misc]
        done = set(kept)
        self.open = [item for item in self.open if item not in done]
        reply(kept, 0)

    async def some(self, carrier: str) -> tuple[list[Item], set[str], bool]:
        """Parked receipts to be tried again, the fields of those whose time is over, and whether there are more. What does not
        decode is shown and dropped."""
        works = self._works
        early = await works.persist("early", lambda: works.store.early(carrier, BATCH_MAX))
        early_s, since = works.settings.receipts.early_s, self._since.setdefault(carrier, {})
        quirks, monotonic = self._quirks[carrier], works.clock.monotonic()
        items: list[Item] = []
        over, broken = set[str](), list[str]()
        for field, raw in early:
            try:
                parked = unpark(raw)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                broken.append(field)
                continue
            receipt = Receipt("", parked.state, parked.code, parked.network_error)
            items.append(item := Item(Read(carrier, quirks, None, parked.at, monotonic), receipt, tuple(parked.keys), 0, field))
            item.tlvs = parked.tlvs
            if monotonic - since.setdefault(field, monotonic) >= early_s:
                over.add(field)
        if broken:
            works.log.error("corrupt_record", place=f"early {carrier}", count=len(broken))
            await self.drop(carrier, broken)
        return items, over, len(early) >= BATCH_MAX

    async def drop(self, carrier: str, fields: Sequence[str]) -> None:
        """Forgets parked receipts."""
        self._parked[carrier] = max(0, self._parked.get(carrier, 0) - len(fields))
        since = self._since.get(carrier, {})
        for field in fields:
            since.pop(field, None)
        await self._works.persist("early", lambda: self._works.store.drop_early(carrier, fields))

    async def orphaned(self, carrier: str, fields: Sequence[str]) -> None:
        """Counts and forgets those whose time is over."""
        if not fields:
            return
        self._works.counters.add("dispatcher_receipts_orphaned_total", (carrier,), len(fields))
        self._works.log.warning("receipts_orphaned", carrier=carrier, count=len(fields))
        await self.drop(carrier, fields)

    async def measure(self, carrier: str) -> None:
        """How many are parked, by all engines: the bound and the gauge. Those that others have dropped are forgotten."""
        works = self._works
        self._parked[carrier] = parked = await works.store.early_count(carrier)
        works.counters.put("dispatcher_receipts_parked", (carrier,), parked)
        since, old = self._since.get(carrier, {}), works.clock.monotonic() - 2 * works.settings.receipts.early_s
        for field in list(takewhile(lambda field: since[field] <= old, since)):
            del since[field]

    # -- what was applied although its carrier was told of an error

    def told(self, item: Item) -> None:
        """It will come again."""
        self._told[item.read.carrier, item.key] = item.receipt.state
        if len(self._told) > _TOLD_MAX:
            del self._told[next(iter(self._told))]

    def known(self, items: Sequence[Item]) -> list[Item]:
        """Those of these receipts of unknown ids that were applied before; each is known once. A parked one is none: it was
        answered "taken" and comes only from here."""
        told = self._told
        found: list[Item] = []
        for item in items if told else ():
            for key in item.keys if not item.field else ():
                if told.get((item.read.carrier, key)) == item.receipt.state:
                    del told[item.read.carrier, key]
                    found.append(item)
                    break
        return found
