"""Bugs at the doors and in what moves between engine and store: cursors, fences, leases, takeovers, queues."""

from __future__ import annotations

from typing import Any

import trio

from dispatcher.core.evidence import Answer
from dispatcher.core.lifecycle import Answers, decide
from dispatcher.core.model import Outcome, State
from dispatcher.core.ports import Cursor, Effects
from dispatcher.engine import leases
from dispatcher.engine.carriers import Carriers
from dispatcher.engine.feeder import Feeder
from dispatcher.engine.leases import Leases
from dispatcher.engine.works import Works
from dispatcher.store.memory import MemoryStore
from tests.world.bugs import bug
from tests.world.port import Port


@bug
def cursor_before_record(put: Any) -> None:
    """The intake's cursor moves in a step of its own, before the sends are admitted."""

    def of(self: Port, name: str) -> Any:
        call = getter(self, name)
        if name != "admit":
            return call

        async def admit(batch: Any, at: int, cursor: Any = None, refused: Any = None) -> Any:
            if cursor is None:
                return await call(batch, at)
            await call([], at, cursor, None)
            verdicts = await call(batch, at)
            if refused is not None:
                self._store.refused += refused({i: v for i, v in enumerate(verdicts) if v.verdict != "accepted"})
            return verdicts

        self.__dict__["admit"] = admit
        return admit

    getter = Port.__getattr__
    put(Port, "__getattr__", of)


@bug
def record_before_cursor(put: Any) -> None:
    """The sends are admitted first, the cursor moves in a step of its own."""

    def of(self: Port, name: str) -> Any:
        call = getter(self, name)
        if name != "admit":
            return call

        async def admit(batch: Any, at: int, cursor: Any = None, refused: Any = None) -> Any:
            verdicts = await call(batch, at)
            if cursor is not None:
                await call([], at, cursor, refused)
            return verdicts

        self.__dict__["admit"] = admit
        return admit

    getter = Port.__getattr__
    put(Port, "__getattr__", of)


@bug
def intake_from_the_end(put: Any) -> None:
    """The cursor of a new intake begins at the end of the stream (`$`)."""

    async def cursor(self: MemoryStore) -> Cursor:
        entries = self.streams["sends"]
        last = f"{entries[-1][0][0]}-{entries[-1][0][1]}" if entries else ""
        return Cursor(last, 0)

    put(MemoryStore, "cursor", cursor)


@bug
def no_fencing(put: Any) -> None:
    """The store does not look whose write it is."""
    put(MemoryStore, "check", lambda self, owner: None)


@bug
def lease_not_looked_at(put: Any) -> None:
    """An engine goes on writing to carriers although its lease may have run out, and the store lets it."""
    put(Works, "may_send", lambda self, now: True)
    put(MemoryStore, "check", lambda self, owner: None)


@bug
def takeover_sends_again(put: Any) -> None:
    """What a dead engine was submitting is taken for not sent."""

    def sort(works: Any, messages: Any) -> Any:
        requeue, effects = original(works, [m for m in messages if m.head is None or m.head.state != State.SUBMITTING])
        now = works.clock.now_ms()
        for message in messages:
            if message.head is not None and message.head.state == State.SUBMITTING:
                numbers = [i for i, s in enumerate(message.head.segments, 1) if s.state == State.SUBMITTING]
                answers = [Answer(i, Outcome.NOT_SENT, 0, "", now) for i in numbers]
                leases.collect(effects, message, decide(message, Answers(answers), works.rules, now))
                effects.settled.append(message.id)
        return requeue, effects

    original = leases.sort_orphans
    put(leases, "sort_orphans", sort)


@bug
def dead_engines_forgotten(put: Any) -> None:
    """Nobody looks for what other engines left in flight."""

    async def inherit(self: Leases, dead: str) -> None:
        return

    put(Leases, "inherit", inherit)


@bug
def put_back_is_dropped(put: Any) -> None:
    """A message that finds no room is settled and joins no queue."""

    def put_back(self: Feeder, effects: Effects, message: Any, body: Any, at: int) -> None:
        effects.settled.append(message.id)

    put(Feeder, "_put_back", put_back)


@bug
def due_is_dropped(put: Any) -> None:
    """What a decision plans for later never stands in the due set."""
    put(MemoryStore, "apply", _without_due(MemoryStore.apply))


def _without_due(apply: Any) -> Any:
    def without(self: MemoryStore, effects: Effects) -> None:
        kept = effects.due
        effects.due = [d for d in kept if d.at % 7]
        apply(self, effects)
        effects.due = kept

    return without


@bug
def due_taken_before_queued(put: Any) -> None:
    """Due messages leave the set in one step and join their queue in another; a death in between loses them."""

    def of(self: Port, name: str) -> Any:
        call = getter(self, name)
        if name != "move_due":
            return call

        async def move_due(at: int, limit: int) -> int:
            store = self._store
            ripe = sorted(m for m, due in store.due.items() if due <= at)[:limit]
            taken = {m: store.due.pop(m) for m in ripe}
            if taken:
                await trio.sleep(0.1)
                if self.dead:
                    await trio.sleep_forever()
            store.due.update(taken)
            return int(await call(at, limit))

        self.__dict__["move_due"] = move_due
        return move_due

    getter = Port.__getattr__
    put(Port, "__getattr__", of)


@bug
def cancel_of_what_is_sent(put: Any) -> None:
    """A cancel is granted although an engine holds the message."""

    async def commit(self: MemoryStore, effects: Effects) -> list[str]:
        moved = self.moved(effects)
        if not moved:
            self.apply(effects)
        return moved

    put(MemoryStore, "commit", commit)


@bug
def keys_by_account_forgotten(put: Any) -> None:
    """A repeated key is not recognised."""
    put(MemoryStore, "_known", lambda self, account, key, digest, at: None)


@bug
def group_loses_its_last(put: Any) -> None:
    """A group is expanded without the last of its messages."""

    def expand(self: MemoryStore, group: Any) -> int:
        count = original(self, group)
        for members in group.members.values():
            if len(members) > 5:
                members.pop()
        return int(count)

    original = MemoryStore.expand_blob
    put(MemoryStore, "expand_blob", expand)


@bug
def sessions_without_lease(put: Any) -> None:
    """Every engine opens every session."""

    async def take(self: Leases, name: str) -> Any:
        found = await original(self, name)
        if found is None and name.startswith(leases.SESSION_PREFIX):
            return leases.Lease(self.works.owner, self._nonce, self.works.clock.monotonic() + 3600)
        return found

    original = Leases.take
    put(Leases, "take", take)
    put(Carriers, "_wants", lambda self, seat: True)
