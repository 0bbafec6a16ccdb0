"""What time brings: due messages, receipts that never came, parked receipts, sweeps, gauges.

It refuses to know what follows from any of it: the store does its bounded steps, core decides. Every duty has its own
period; one that says that there is more goes on at the next stroke of the clock, since what comes in has no bound of its own. A
store that is away only delays them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from dispatcher.core.lifecycle import Evidence, NoReceipt, ValidityOver
from dispatcher.core.model import LANES
from dispatcher.core.ports import CorruptRecord, Queue, StoreUnavailable
from dispatcher.engine.at_rest import commit_at_rest
from dispatcher.engine.handsets import Handsets
from dispatcher.engine.receipts import Receipts
from dispatcher.engine.works import BATCH_MAX, Works

DUE_S: Final = 0.1
EXPAND_S: Final = 0.05
ACCOUNTS_S: Final = 5.0
EARLY_S: Final = 0.5
DEPTHS_S: Final = 2.0
HOLDS_S: Final = 10.0
QUEUES_S: Final = 60.0
BUCKETS_S: Final = 30.0
RINGS_S: Final = 3600.0
STREAMS_S: Final = 10.0
PARTS_S: Final = 1.0
INBOX_S: Final = 5.0
STALE_MS: Final = 60_000
"""Admissions and groups without progress for so long are given back."""
_ASK_FIRST: Final = 5
"""Sweeps after a start during which a carrier that takes query_sm ends nothing by silence."""
_SWEEP_STEPS_MAX: Final = 20
"""Steps of one sweep before the other duties have their turn."""


class Timers:
    """The periodic duties of one engine. Each bounded; any number of engines may do them at the same time."""

    def __init__(self, works: Works, receipts: Receipts, handsets: Handsets) -> None:
        self._works = works
        self._receipts = receipts
        self._handsets = handsets
        self._sweep_s = works.settings.receipts.sweep_s
        self._asked_by = works.clock.monotonic() + _ASK_FIRST * self._sweep_s

    def duties(self) -> list[tuple[str, float, Callable[[], Awaitable[bool | None]]]]:
        """(name, period in seconds, what to do: true when there is more of it)."""
        return [
            ("due", DUE_S, self.due),
            ("expand", EXPAND_S, self.expand),
            ("accounts", ACCOUNTS_S, self.accounts),
            ("early", EARLY_S, self.early),
            ("depths", DEPTHS_S, self.depths),
            ("holds", HOLDS_S, self.holds),
            ("overdue", self._sweep_s, self.overdue),
            ("queues", min(QUEUES_S, self._sweep_s), self.queues),
            ("buckets", BUCKETS_S, self.buckets),
            ("rings", RINGS_S, self.rings),
            ("streams", STREAMS_S, self.streams),
            ("parts", PARTS_S, self._handsets.give_out),
            ("inbox", INBOX_S, self._handsets.sweep),
        ]

    async def run(self) -> None:
        """All duties by one clock: the ones that are due, one after the other, each time it strikes."""
        works = self._works
        duties = self.duties()
        at = [works.clock.monotonic()] * len(duties)
        while not works.stopping:
            now = works.clock.monotonic()
            for i, (name, period, duty) in enumerate(duties):
                if now >= at[i]:
                    at[i] = now + period
                    try:
                        if await duty():
                            at[i] = now
                    except StoreUnavailable as error:
                        works.lost_store(name, error)
                    except CorruptRecord as error:
                        works.log.error("corrupt_record", step=name, place=error.where)
            await works.nap(min(DUE_S, EXPAND_S))

    # -- duties

    async def due(self) -> None:
        """Retries, doubts and scheduled sends whose instant has come join their queues."""
        works = self._works
        while await works.store.move_due(works.clock.now_ms(), BATCH_MAX) >= BATCH_MAX:
            await trio.lowlevel.checkpoint()

    async def expand(self) -> None:
        """A step of the groups that are live and not yet records."""
        await self._works.store.expand_groups(self._works.owner, BATCH_MAX)

    async def accounts(self) -> None:
        """Accounts' settings, for the rules (refunds, doubts, retries of receipts)."""
        for account in await self._works.store.accounts():
            self._works.accounts[account.name] = account

    async def early(self) -> None:
        """Parked receipts of every carrier."""
        for carrier in self._works.settings.carrier:
            await self._receipts.rematch(carrier.name)

    async def depths(self) -> None:
        """Gauges of what waits: queues and their oldest turns, sends, parked receipts. A queue that is empty reads 0."""
        works = self._works
        counters, store = works.counters, works.store
        depths, oldest = await store.depths(), await store.oldest_turns()
        now = works.clock.now_ms()
        for route in works.settings.route:
            for lane in LANES:
                queue, label = Queue(route.name, lane), (route.name, lane.wire)
                counters.put("dispatcher_queue_depth", label, depths.get(queue, 0))
                waited_ms = now - oldest[queue] if queue in oldest else 0
                counters.put("dispatcher_queue_oldest_seconds", label, max(0, waited_ms) / 1000)
        counters.put("dispatcher_stream_lag_entries", ("sends", "intake"), await store.sends_waiting())
        for carrier in works.settings.carrier:
            await self._receipts.parking.measure(carrier.name)

    async def holds(self) -> None:
        """Money of admissions and groups that never came to be."""
        works = self._works
        now = works.clock.now_ms()
        held = await works.store.sweep_holds(now, STALE_MS)
        groups = await works.store.sweep_groups(now, STALE_MS)
        if held or groups:
            works.log.warning("admissions_given_back", count=held + groups)

    async def overdue(self) -> bool:
        """Accepted segments whose receipt never came."""
        works, more = self._works, False
        for carrier in works.settings.carrier:
            if carrier.questions.query_after_s and works.clock.monotonic() < self._asked_by:
                continue  # what became overdue while nobody ran is asked for first
            for _ in range(_SWEEP_STEPS_MAX):
                rows = await works.store.overdue_correlations(carrier.name, works.clock.now_ms(), BATCH_MAX)
                if not rows:
                    break
                evidence: dict[str, list[Evidence]] = {}
                for _, row in rows:
                    evidence.setdefault(row.id, []).append(NoReceipt(row.segment, row.attempt))
                left = await commit_at_rest(works, evidence)
                settled = [carrier_id for carrier_id, row in rows if row.id not in left]
                await works.store.drop_correlations(carrier.name, settled)
                if len(rows) < BATCH_MAX or not settled:
                    break
            else:
                more = True
        return more

    async def queues(self) -> bool:
        """Queued messages whose validity is over, in queues that do not move: a stretch of them each time, and at once the next
        while there are such."""
        works, found = self._works, 0
        for _ in range(_SWEEP_STEPS_MAX):
            ids, more = await works.store.sweep_queues(works.clock.now_ms(), BATCH_MAX)
            if ids:
                await commit_at_rest(works, {i: [ValidityOver()] for i in ids})
            found += len(ids)
            if not more:
                return False
        return found > 0

    async def buckets(self) -> None:
        """Records past their retention."""
        works = self._works
        await works.store.sweep_buckets(works.clock.now_ms(), works.settings.retention.final_s * 1000)

    async def rings(self) -> None:
        """Queues that their ring has forgotten (never, unless somebody deleted keys)."""
        repaired = await self._works.store.repair_rings()
        if repaired:
            self._works.log.warning("rings_repaired", repaired=repaired)

    async def streams(self) -> bool:
        """Out streams by age."""
        works = self._works
        return await works.store.trim_streams(works.clock.now_ms(), works.settings.retention.streams_s * 1000)
