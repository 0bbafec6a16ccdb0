"""One engine: its tasks, the order in which they start and stop, and nothing else.

    run ── become (lease on our name) ── own orphans of an earlier life
      ├─ renew, watch           leases; engines that died          (leases.py)
      ├─ settle                 answers -> heads, money, rows      (committer.py)
      ├─ receipts, their watch  deliver_sm -> heads, answers       (receipts.py)
      ├─ handsets, their watch  deliver_sm -> rows, inboxes        (handsets.py)
      ├─ carriers               one task per session + controls    (carriers.py)
      ├─ feeder                 queues -> links                    (feeder.py)
      ├─ intake                 sends -> queues                    (intake.py)
      ├─ questions              query_sm, cancel_sm                (questions.py)
      └─ timers                 what time brings                   (timers.py)

Stopping drains: no new claims, answers are awaited for drain_s, everything known is written, sessions unbind, leases go.
What is then still in flight stays recorded, and the next engine turns it into doubt. A lost lease ends the engine with
Deposed, so that its supervisor can start another one under a new name; a store that is away ends nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from dispatcher.core.admission import Book
from dispatcher.core.counters import Counters
from dispatcher.core.pool import Pool
from dispatcher.core.ports import Chance, Clock, Deposed, Ids, Store
from dispatcher.core.retry import Rules
from dispatcher.core.settings import Settings
from dispatcher.engine.carriers import Carriers, Connect
from dispatcher.engine.committer import Committer
from dispatcher.engine.feeder import Feeder
from dispatcher.engine.handsets import Handsets
from dispatcher.engine.intake import Intake
from dispatcher.engine.leases import Leases, take_over
from dispatcher.engine.questions import Questions
from dispatcher.engine.receipts import Receipts
from dispatcher.engine.timers import Timers
from dispatcher.engine.works import Works

_LAST_WORDS_S = 5.0
"""How long a stop may take for unbinding and the last writes, beyond drain_s."""


class Engine:
    """The tasks of one engine, built and not yet started."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        book: Book,
        rules: Rules,
        *,
        clock: Clock,
        chance: Chance,
        ids: Ids,
        connect: Connect,
        counters: Counters,
        log: Any,
        name: str,
        is_open: Callable[[], bool],
    ) -> None:
        pool = Pool(settings.route)
        self.works = Works(
            settings, store, rules, pool, clock=clock, chance=chance, ids=ids, counters=counters, log=log, name=name
        )
        self.leases = Leases(self.works)
        self.committer = Committer(self.works)
        self.handsets = Handsets(self.works, book)
        self.receipts = Receipts(self.works, self.handsets)
        self.questions = Questions(self.works, self.leases, self.receipts)
        self.carriers = Carriers(self.works, self.leases, self.committer, self.receipts, self.questions, connect)
        self.feeder = Feeder(self.works, self.committer, book)
        self.intake = Intake(self.works, self.leases, book, is_open)
        self.timers = Timers(self.works, self.receipts, self.handsets)

    async def run(self, stop: trio.Event, task_status: trio.TaskStatus[Engine]) -> None:
        """Runs until `stop`, then drains. Raises Deposed."""
        works = self.works
        await self.leases.become()
        await self._own_orphans()
        async with trio.open_nursery() as back:
            back.start_soon(self.leases.renew)
            back.start_soon(self.committer.run)
            back.start_soon(self.receipts.run)
            back.start_soon(self.receipts.watch)
            back.start_soon(self.receipts.park_late)
            back.start_soon(self.handsets.run)
            back.start_soon(self.handsets.watch)
            back.start_soon(self.carriers.run)
            async with trio.open_nursery() as front:
                front.start_soon(self.feeder.run)
                front.start_soon(self.timers.run)
                front.start_soon(self.questions.run)
                front.start_soon(self.leases.watch)
                if works.settings.engine.intake:
                    front.start_soon(self.intake.run)
                task_status.started(self)
                works.log.info("engine_started", engine=works.name)
                await stop.wait()
                works.stopping = True
                works.log.info("engine_draining", in_flight=len(works.flights))
                # A front task that waits for a store that is away would wait for ever.
                front.cancel_scope.deadline = trio.current_time() + works.settings.engine.drain_s
            await self._drain()
            back.cancel_scope.cancel()
        works.log.info("engine_stopped", engine=works.name, in_flight=len(works.flights))

    async def _own_orphans(self) -> None:
        """Work in flight of an earlier life under the same name."""
        works = self.works
        counts = await works.persist("orphans", lambda: take_over(works, works.owner, works.name))
        if counts["requeued"] or counts["doubts"]:
            works.log.warning("own_work_recovered", engine=works.name, **counts)
        await works.persist("accounts", self.timers.accounts)
        await works.persist("engines", self.leases.look)  # before sessions are opened: how many are ours to open

    async def _drain(self) -> None:
        works = self.works
        with trio.move_on_after(works.settings.engine.drain_s):
            while works.flights or self.receipts.pending or self.handsets.pending:
                self.committer.bell.ring()
                self.receipts.bell.ring()
                await trio.sleep(0.02)
        with trio.move_on_after(_LAST_WORDS_S):
            await self.carriers.close()
            while works.flights:  # the links have ended, so every submit has an outcome now: only the writing is left
                self.committer.bell.ring()
                await trio.sleep(0.01)
        with trio.move_on_after(_LAST_WORDS_S):
            for name in list(self.leases.held):
                await self.leases.drop(name)


async def run(
    settings: Settings,
    store: Store,
    book: Book,
    rules: Rules,
    *,
    clock: Clock,
    chance: Chance,
    ids: Ids,
    connect: Connect,
    counters: Counters,
    log: Any,
    name: str,
    stop: trio.Event,
    is_open: Callable[[], bool] = lambda: True,
    task_status: trio.TaskStatus[Engine] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Runs one engine until `stop` is set and it has drained.

    `is_open`: False while promises cannot be kept; intake then admits
    nothing. `log` is like a structlog logger; it never gets texts, numbers or ids of customers. Raises Deposed when
    another engine has taken our work over; anything else that comes out is a defect.
    """
    engine = Engine(
        settings,
        store,
        book,
        rules,
        clock=clock,
        chance=chance,
        ids=ids,
        connect=connect,
        counters=counters,
        log=log,
        name=name,
        is_open=is_open,
    )
    deposed = ""
    try:
        await engine.run(stop, task_status)
    except* Deposed as group:
        deposed = _reason(group)
    if deposed:
        log.error("engine_deposed", engine=name, reason=deposed)
        raise Deposed(deposed)


def _reason(group: BaseExceptionGroup[Deposed]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or "deposed"
