"""Leases: an engine's right to its name, to the intake, to each carrier session; and the duty towards engines that died.

It refuses to know what is done under a lease. A lease is ours only up to the instant at which our last successful
renewal was *sent*, plus its time: whoever acts under it asks `valid` with the monotonic time of the moment.

Binds. Every session of every carrier has a lease of its own, so that any number of engines share a carrier within its
session cap. How many sessions of a bind each living engine should hold is computed, not negotiated (core/shares.py); who
holds more gives some up, who holds fewer takes what is free. An engine that leaves gives its sessions back, one that dies
loses them with its leases, one that comes takes its share as soon as the others let go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import trio

from dispatcher.core.lifecycle import TakenOver, collect, decide
from dispatcher.core.model import Message, State
from dispatcher.core.notices import LEASE as NOTICES_LEASE
from dispatcher.core.ports import Deposed, Due, Effects, Owner, StoreUnavailable
from dispatcher.engine.works import BATCH_MAX, Works, chunks

SESSION_PREFIX: Final = "session."
"""Lease names of carrier sessions begin with it; they hold nothing in flight."""
INTAKE_LEASE: Final = "intake"
NO_ENGINES: Final = frozenset({INTAKE_LEASE, NOTICES_LEASE})
"""Leases of one task each: who holds one opens no sessions for it."""
POLITE: Final = 1 / 3
"""Part of a lease's time that is left when two renewals have failed: nothing is begun under it any more."""


class Lease:
    """One lease we hold or held. `until`, `taken_at` are monotonic seconds; `lost` once the store said that it is not ours."""

    __slots__ = ("lost", "nonce", "owner", "taken_at", "until")

    def __init__(self, owner: Owner, nonce: str, taken_at: float, until: float) -> None:
        self.owner = owner
        self.nonce = nonce
        self.taken_at = taken_at
        self.until = until
        self.lost = False

    @property
    def first(self) -> bool:
        """Nobody held it before us, in all the store's time."""
        return self.owner.fence == 1

    def valid(self, now: float) -> bool:
        """True while nobody else can hold it."""
        return not self.lost and now < self.until


class Leases:
    """The leases of one engine, renewed by one task at a third of their time.

    `changed` is called, without awaiting, whenever one came, went or was renewed; of one that goes, before the store knows.
    """

    def __init__(self, works: Works) -> None:
        self.works = works
        self.held: dict[str, Lease] = {}
        self.changed: Callable[[], None] = _nothing
        self.alive: tuple[str, ...] = (works.name,)
        self._ttl_s = works.settings.engine.lease_s
        self._calm_until = 0.0
        self._nonce = works.ids.make(works.clock.now_ms(), 1)[0]

    def holds(self, name: str) -> bool:
        """Is a lease ours, with enough of its time left to begin something under it?"""
        lease = self.held.get(name)
        return lease is not None and lease.valid(self.works.clock.monotonic() + POLITE * self._ttl_s)

    async def take(self, name: str) -> Lease | None:
        """One try to take a lease; None while somebody lives under it. Raises StoreUnavailable."""
        sent_at = self.works.clock.monotonic()
        owner = await self.works.store.take_lease(name, self._nonce, int(self._ttl_s * 1000))
        if owner is None:
            return None
        lease = self.held[name] = Lease(owner, self._nonce, self.works.clock.monotonic(), sent_at + self._ttl_s)
        self.changed()
        return lease

    async def drop(self, name: str) -> None:
        """Gives a lease up; its time settles it if the store is away."""
        lease = self.held.pop(name, None)
        if lease is None or lease.lost:
            return
        lease.lost = True
        self.changed()
        try:
            await self.works.store.drop_lease(lease.owner, lease.nonce)
        except (StoreUnavailable, Deposed):
            return

    async def become(self) -> None:
        """Takes the lease on our own name, waiting out a predecessor of that name. Sets the owner."""
        works = self.works
        waited = False
        while True:
            lease = await works.persist("lease", lambda: self.take(works.name))
            if lease is not None:
                works.owner = lease.owner
                works.sending_until = lease.until
                works.log.info("engine_lease_taken", engine=works.name, fence=lease.owner.fence, waited=waited)
                return
            if not waited:
                works.log.info("engine_name_held", engine=works.name)
            waited = True
            await trio.sleep(min(0.2, self._ttl_s / 4))

    async def renew(self) -> None:
        """The renewing task. Raises Deposed when our own name is no longer ours."""
        works = self.works
        while True:
            await trio.sleep(self._ttl_s / 3)
            for name, lease in list(self.held.items()):
                if not await self._renew_one(name, lease):
                    lease.lost = True
                    if name == works.name:
                        works.sending_until = 0.0
                    self.held.pop(name, None)
                    self.changed()
                    works.log.warning("lease_lost", lease=name)
                    if name == works.name:
                        raise Deposed(f"the lease of engine {name} was lost: another engine may have taken over its work")

    async def _renew_one(self, name: str, lease: Lease) -> bool:
        works = self.works
        sent_at = works.clock.monotonic()
        try:
            ours = await works.store.renew_lease(lease.owner, lease.nonce, int(self._ttl_s * 1000))
        except StoreUnavailable as error:
            works.lost_store("lease", error)
            return True  # not known to be lost: `until` stops what needs it, and the next renewal asks again
        if ours:
            lease.until = sent_at + self._ttl_s
            if name == works.name:
                works.sending_until = lease.until
                works.room_bell.ring()
            self.changed()
        return ours

    # -- engines that died

    async def watch(self) -> None:
        """Looks for engines whose lease is gone with work in flight, and takes that work over; counts who lives.

        While the store was away nobody could renew: for a lease's time after it nobody is taken for dead.
        """
        works = self.works
        while not works.stopping:
            try:
                await self.look()
            except StoreUnavailable as error:
                works.lost_store("engines", error)
                self._calm_until = works.clock.monotonic() + self._ttl_s
            await works.nap(self._ttl_s / 4)

    async def look(self) -> None:
        """One look. Raises StoreUnavailable."""
        works = self.works
        views = await works.store.engines()
        names = {v.name for v in views if v.alive and v.name not in NO_ENGINES and not v.name.startswith(SESSION_PREFIX)}
        calm = works.clock.monotonic() < self._calm_until
        alive = tuple(sorted(names | {works.name} | set(self.alive if calm else ())))
        if alive != self.alive:
            works.log.info("engines_changed", engines=len(alive))
            self.alive = alive
        for view in views:
            if not calm and not view.alive and view.in_flight and view.name != works.name:
                await self.inherit(view.name)

    async def inherit(self, dead: str) -> None:
        """Takes over a dead engine's work. Its own lease is taken first, so that only one engine does it."""
        works = self.works
        lease = await self.take(dead)
        if lease is None:
            return
        try:
            counts = await take_over(works, lease.owner, dead)
        except Deposed:
            return  # another engine was faster; it does the work
        finally:
            await self.drop(dead)
        works.log.warning("engine_taken_over", engine=dead, **counts)


def _nothing() -> None:
    return


async def take_over(works: Works, owner: Owner, dead: str) -> dict[str, int]:
    """Puts back what never began, turns what may have left into doubt, and clears the dead engine's batches.

    Order per batch does not matter: a batch that was not reached stays in flight under the dead name and is found
    by the next look. Raises Deposed, StoreUnavailable.
    """
    messages, beside = await works.store.orphans(dead)
    requeued = doubts = 0
    for batch in chunks(messages, BATCH_MAX) or [[]]:
        requeue, effects = sort_orphans(works, [message for message in batch if message.id not in beside])
        effects.settled += [message.id for message in batch if message.id in beside]  # it had two queue elements
        await works.store.take_over(owner, dead, requeue, effects)
        requeued += len(requeue)
        doubts += len(effects.heads)
    return {"requeued": requeued, "doubts": doubts}


def sort_orphans(works: Works, messages: Sequence[Message]) -> tuple[list[Message], Effects]:
    """What goes back to its queue, and what the others' doubt changes.

    A waiting or doubtful head whose time has not come was mostly settled before the engine died (its batch was not complete
    yet), and stands in the due set still. But it may have been popped by a clock ahead of ours: so it is put there again.
    One whose time has come was popped again and not begun.
    """
    requeue: list[Message] = []
    effects = Effects()
    now = works.clock.now_ms()
    for message in messages:
        head = message.head
        if head is None or head.state == State.QUEUED:
            requeue.append(message)
        elif head.state in {State.WAITING, State.DOUBT} and head.due_at <= now:
            requeue.append(message)
            effects.undue.append(Due(head.route, head.lane, head.account, message.id, head.due_at))
        else:
            if head.state == State.SUBMITTING:
                decision = decide(message, TakenOver(), works.rules, now)
                if decision.changed:
                    collect(effects, message, decision)
            elif head.due_at:
                effects.due.append(Due(head.route, head.lane, head.account, message.id, head.due_at))
            effects.settled.append(message.id)
    return requeue, effects
