"""deliver_sm: receipts find their segment and change it, only then is the carrier answered; handsets' messages are handed on.

It refuses to know what a receipt means for a segment (core/lifecycle) and how ids are related (core/matching).

Theory. A receipt may overtake its own answer: its id is unknown for some milliseconds, or its head is still SUBMITTING and ours
alone to change. Such receipts wait here for a moment, then they are parked in the store and answered (parking.py): the
carrier's duty ends there, ours goes on (`rematch`). So is what is late because there is much. Heads at rest change only
under a version check; a batch that loses it is read and decided again. Heads that may be claimed at this very moment
(waiting, doubt) take the stricter commit.

A deliver_sm that is not durable in `deliver_answer_s` is answered "system error", which carriers repeat: silence would close
the session. Its effect may still come to be; the repetition then finds it done.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import inf
from typing import Any, Final

import trio

from dispatcher.core.evidence import INTERIM_STATES
from dispatcher.core.kept import KeptTlvs
from dispatcher.core.lifecycle import collect, decide
from dispatcher.core.model import Correlation, Message, State
from dispatcher.core.ports import Effects, StoreUnavailable
from dispatcher.engine.answers import MANY, SYSTEM_ERROR, Company, reply
from dispatcher.engine.committer import IDLE_LINGER_S, count_effects
from dispatcher.engine.deliveries import NOWHERE, Item, Read, asked_for, by_age, delivered, evidence_of, sample, settled
from dispatcher.engine.handsets import Handsets
from dispatcher.engine.learning import Learning
from dispatcher.engine.parking import Parking
from dispatcher.engine.works import BATCH_MAX, Seat, Token, Works, chunks
from smpp.bell import Bell
from smpp.codec import DeliverSm
from smpp.link import Link
from smpp.receipts import Receipt, parse

PENDING_MAX: Final = 20_000
"""deliver_sm held at once; more are answered "system error", and come again."""
_OPEN_MAX: Final = 2 * BATCH_MAX
"""So many are looked at for one commit, whose messages are BATCH_MAX at most: those of a long message are several."""
_ASK_AGAIN_S: Final = 0.1
"""The store is asked for an id that nobody knew not earlier than so long after."""
_REMATCHES_MAX, _VAIN_PART = 8, 0.75
"""Batches of parked receipts in a row, until for most of one nothing is known."""
_ROUNDS_MAX: Final = 4
_AT_REST: Final = frozenset({State.SUBMITTED, *(s for s in State if s.final)})


class Receipts:
    """Collects deliver_sm from all links and applies them, one batch at a time."""

    def __init__(self, works: Works, handsets: Handsets) -> None:
        self._works = works
        self._handsets = handsets
        self._new: list[Item] = []
        self._open: Sequence[Item] = ()
        self._rest: list[Item] = []
        self._dropped: dict[str, list[str]] = {}
        self._company = Company()
        self._waiting: list[Item] = []
        self._quirks = {c.name: c.quirks for c in works.settings.carrier}
        self._learning = Learning(works)
        self.parking = Parking(works, self._learning, self._quirks)
        self._kept = {c.name: KeptTlvs(c.keep_tlvs) for c in works.settings.carrier}
        self._cancels = frozenset(c.name for c in works.settings.carrier if c.questions.cancel)
        self.bell = Bell()

    @property
    def pending(self) -> int:
        """deliver_sm taken and not yet done with."""
        return sum(map(len, self._held())) + bool(self._dropped)

    def _held(self) -> tuple[Sequence[Item], ...]:
        return self._open, self._rest, self._new, self._waiting, self.parking.open

    # -- from the links (synchronous)

    def arrived(self, seat: Seat, link: Link[Token], delivers: Sequence[DeliverSm], receipts: Sequence[Receipt] = ()) -> None:
        """deliver_sm of one read of one link; `receipts` are those that were recognised without decoding."""
        works = self._works
        if self.pending + len(delivers) + len(receipts) > PENDING_MAX:
            link.answer([*(d.sequence for d in delivers), *(r.sequence for r in receipts)], SYSTEM_ERROR)
            return
        now, at = works.clock.monotonic(), works.clock.now_ms()
        quirks = self._quirks[seat.carrier]
        read, keys, new = Read(seat.carrier, quirks, link, at, now), self._learning.keys[seat.carrier], self._new
        new += [Item(read, receipt, keys(receipt.id), receipt.sequence) for receipt in receipts]
        from_handsets: list[DeliverSm] = []
        for deliver in delivers:
            receipt = parse(deliver, by_text=quirks.receipts_by_text)
            if receipt is None:
                from_handsets.append(deliver)
                continue
            new.append(item := Item(read, receipt, keys(receipt.id), deliver.sequence))
            item.tlvs = self._kept[seat.carrier].of(deliver.tlvs)
        if from_handsets:
            self._handsets.arrived(read, from_handsets)
        self.bell.ring()

    def found(self, carrier: str, key: str, row: Correlation, receipt: Receipt) -> None:
        """What a carrier was asked for and told."""
        clock = self._works.clock
        read = Read(carrier, self._quirks[carrier], None, clock.now_ms(), clock.monotonic())
        self._new.append(asked_for(read, receipt, key, row))
        self.bell.ring()

    # -- the task

    async def run(self) -> None:
        """Applies what has come, lingering so that batches form. Raises Deposed."""
        works = self._works
        flush_s = works.settings.engine.flush_ms / 1000
        while True:
            if self._new and works.unsettled_since < inf:
                await works.settled_bell.wait(IDLE_LINGER_S)  # they came together with answers that are not settled yet
            else:
                soon = IDLE_LINGER_S if self._waiting else 0.2 if self._dropped else 1.0
                await self.bell.wait(flush_s if self._company else soon)
                if not works.stopping:
                    await trio.sleep(flush_s if self._company or len(self._new) >= MANY else max(flush_s, IDLE_LINGER_S))
            self._company.over()
            await self.flush()

    async def watch(self) -> None:
        """Answers "system error" to what is not durable in time, also while the store does not answer at all."""
        works = self._works
        limit_s = works.settings.receipts.deliver_answer_s
        while True:
            await trio.sleep(min(0.1, limit_s / 4))
            oldest = works.clock.monotonic() - limit_s
            reply([item for held in self._held() for item in held if item.read.arrived < oldest], SYSTEM_ERROR)

    async def park_late(self) -> None:
        """Parks what waits for too long: for its answer, or for its turn."""
        works = self._works
        while True:
            await trio.sleep(self.parking.patience_s / 8)
            oldest = works.clock.monotonic() - self.parking.patience_s
            late: list[Item] = []
            for held in (self._rest, self._new, self._waiting):
                old = [item for item in held if item.read.arrived < oldest]
                if old:
                    late += old
                    held[:] = [item for item in held if item.read.arrived >= oldest]
            if late:
                await self.parking.park([item for item in late if not item.field])

    async def flush(self) -> None:
        """One round over everything at hand."""
        works = self._works
        now = works.clock.monotonic()
        self._rest += [item for item in self._waiting if item.again_at <= now]
        self._waiting[:] = [item for item in self._waiting if item.again_at > now]
        self._rest += settled(works, self._new)
        idle = not self._rest and not self._new
        while self._rest:
            self._open = self._rest[:_OPEN_MAX]
            del self._rest[:_OPEN_MAX]
            began = works.clock.monotonic()
            self._rest[:0] = await self._apply(self._open)
            self.parking.batch_took(works.clock.monotonic() - began)
        self._open = ()
        if self._dropped and (works.stopping or idle):
            await self._forget()

    # -- receipts

    async def _apply(self, items: Sequence[Item]) -> Sequence[Item]:
        """One commit's worth of them; returns what is left."""
        works = self._works
        effects, done, rest, strangers, partly, later = delivered(works, items)
        items = items[: len(items) - len(later)]
        if done:
            effects.dropped, self._dropped = self._dropped, {}
            if await self._commit(effects, works.store.commit_receipts):
                for carrier, keys in effects.dropped.items():
                    self._dropped.setdefault(carrier, []).extend(keys)
                unknown = set(strangers)
                rest = [item for item in items if item not in unknown]  # all are read again, in their order
            else:
                count_effects(works, effects)
                works.recent.moved_on(effects.heads, partly)
                sample(works, done[0], effects.heads[0].head)
                await self._finish(done)
        young, old = by_age(works, strangers)
        self._waiting += young
        for some in chunks(rest + old):
            await self._match(list(some))
        return later

    async def _match(self, items: list[Item]) -> None:
        """The slow way: whatever was not recognised at once."""
        works = self._works
        await works.persist("correlate", lambda: self._correlate(items))
        found = [i for i in items if i.correlation is not NOWHERE]
        unknown = [i for i in items if i.correlation is NOWHERE]
        if known := set(self.parking.known(unknown)):
            reply(known, 0)
            unknown = [item for item in unknown if item not in known]
        done, busy = await self._decide(found) if found else ([], [])
        await self._finish(done)
        await self._hold(unknown + busy)

    async def _correlate(self, items: list[Item]) -> None:
        store = self._works.store
        asked: dict[str, list[tuple[str, Item]]] = {}
        recent = self._works.recent.correlations
        for item in items:
            if item.correlation is NOWHERE:
                own = recent.get(item.read.carrier, {})
                for key in item.keys:
                    row = own.pop(key, None)
                    if row is not None:
                        item.correlation, item.key = row, key
                        break
                else:
                    asked.setdefault(item.read.carrier, []).extend([(key, item) for key in item.keys])
        for carrier, pairs in asked.items():
            rows = await store.correlate(carrier, [key for key, _ in pairs])
            for (key, item), found in zip(pairs, rows, strict=True):
                if found is not None and item.correlation is NOWHERE:
                    item.correlation, item.key = found, key
        for item in items if self._learning else ():
            if item.correlation is not NOWHERE and not item.field and item.receipt.id:
                self._learning.seen(item.read.carrier, item.receipt.id, item.key)

    async def _decide(self, items: list[Item]) -> tuple[list[Item], list[Item]]:
        """Applies receipts of known segments. Returns (done with, their head is not free yet)."""
        works = self._works
        todo, done, busy, wished = items, [], [], await self._wished(items)
        for attempt in range(_ROUNDS_MAX):
            messages = await self._read(todo, recent=attempt == 0)
            calm, rare = Effects(), Effects()
            calm_items: list[Item] = []
            rare_items: list[Item] = []
            for item in todo:
                message = messages.get(item.correlation.id)
                if message is None or message.head is None:
                    done.append(item)  # its record has been swept: nothing is left to change
                elif message.head.state == State.SUBMITTING:
                    busy.append(item)
                elif message.head.state in _AT_REST and not message.head.due_at:
                    calm_items.append(item)
                else:
                    rare_items.append(item)
            parts = ((calm, calm_items), (rare, rare_items))
            stale = dict.fromkeys([item for part in parts for item in self._build(*part, messages, wished)])
            todo = []
            if not attempt and stale:  # "no change" is guarded by no version: of a remembered head it proves nothing
                todo = list(stale)
                calm_items, rare_items = ([i for i in part if i not in stale] for part in (calm_items, rare_items))
            store = works.store
            for effects, part, commit in ((calm, calm_items, store.commit_receipts), (rare, rare_items, store.commit)):
                if effects.heads:
                    again = await self._commit(effects, commit)
                    if again:
                        todo += part
                        continue
                    count_effects(works, effects)
                    works.recent.moved_on(effects.heads, messages)
                done += part
            if not todo:
                return done, busy
        return done, busy + todo

    async def _read(self, items: list[Item], *, recent: bool) -> dict[str, Message]:
        """The messages as they are now; with `recent` as this engine left them, which the commit's guard checks."""
        works = self._works
        messages: dict[str, Message] = {}
        wanted: dict[str, None] = {}
        take = works.recent.messages.pop
        for item in items:
            message_id = item.correlation.id
            message = take(message_id, None)
            if message is not None and recent:
                messages[message_id] = message
            elif message_id not in messages:
                wanted[message_id] = None
        if wanted:
            messages.update((message.id, message) for message in await works.read(list(wanted), bodies=False))
        return messages

    async def _commit(self, effects: Effects, commit: Any) -> bool:
        """True: nothing was applied, read and decide again."""
        works = self._works
        started = works.clock.monotonic()
        try:
            moved = await commit(effects)
        except StoreUnavailable as error:
            works.lost_store("receipts", error)
            await trio.sleep(0.05)
            return True
        works.counters.observe("dispatcher_store_seconds", ("receipts",), works.clock.monotonic() - started)
        return bool(moved)

    async def _wished(self, items: list[Item]) -> Collection[str]:
        """Messages that somebody wished to cancel; looked for only when a receipt says DELETED where that may be why."""
        store, clock = self._works.store, self._works.clock
        told = (item for item in items if item.receipt.state == "DELETED" and item.read.carrier in self._cancels)
        ids = list({item.correlation.id for item in told})
        return await self._works.persist("wishes", lambda: store.cancel_words(ids, clock.now_ms())) if ids else ()

    def _build(self, effects: Effects, items: list[Item], messages: dict[str, Message], wished: Collection[str]) -> list[Item]:
        """Decides; returns the items that change nothing."""
        rules, now = self._works.rules, self._works.clock.now_ms()
        unchanged: list[Item] = []
        places: dict[str, int] = {}
        first: Item | None = None
        for item in items:
            message = messages[item.correlation.id]
            decision = decide(message, evidence_of(item, wished), rules, now)
            if not decision.changed:
                unchanged.append(item)
                continue
            collect(effects, message, decision)
            first = first or item
            place = places.get(message.id)
            if place is None:
                places[message.id] = len(effects.heads) - 1
            else:  # a second receipt of this batch for the same message: one head, with both
                effects.heads[place] = effects.heads.pop()
            message.head = decision.head
        if first is not None:
            sample(self._works, first, messages[first.correlation.id].head)
        return unchanged

    async def _finish(self, items: list[Item]) -> None:
        """Durable: forget the correlations, answer the carrier, count."""
        works = self._works
        answers: dict[Link[Token], list[int]] = {}
        drop = self._dropped
        counts: dict[tuple[str, str], int] = {}
        fields: dict[str, list[str]] = {}
        last: Read | None = None
        state, number = "", 0
        sequences: list[int] = []
        keys: list[str] = []
        for item in items:  # they come in runs: one read, one state
            if item.read is not last or item.receipt.state != state:
                if last is not None:
                    counts[last.carrier, state] = counts.get((last.carrier, state), 0) + number
                last, state, number = item.read, item.receipt.state, 0
                interim = state in INTERIM_STATES and not (state == "ACCEPTD" and last.quirks.accepted_is_final)
                keys = [] if interim else drop.setdefault(last.carrier, [])
                sequences = answers.setdefault(last.link, []) if last.link is not None else []
            number += 1
            keys.append(item.key)
            if item.field:
                fields.setdefault(last.carrier, []).append(item.field)
            elif not item.answered:
                item.answered = True
                sequences.append(item.sequence)
            else:
                self.parking.told(item)
        if last is not None:
            counts[last.carrier, state] = counts.get((last.carrier, state), 0) + number
        for link, sequences in answers.items():
            self._company.answer(link, sequences)
        for label, seen in counts.items():
            works.counters.add("dispatcher_receipts_total", label, seen)
        for carrier, names in fields.items():
            await self.parking.drop(carrier, names)

    async def _forget(self) -> None:
        """Drops the correlations of what is durable, which no later commit has taken along."""
        works = self._works
        dropped, self._dropped = self._dropped, {}
        for carrier, keys in dropped.items():
            await works.persist("drop", lambda c=carrier, k=keys: works.store.drop_correlations(c, k))  # type: ignore[misc]

    async def _hold(self, items: list[Item]) -> None:
        """Receipts that cannot be applied yet wait here for a moment (park_late); those that are parked already, there."""
        works = self._works
        again_at = works.clock.monotonic() + _ASK_AGAIN_S
        parked: list[Item] = []
        for item in items:
            if item.field:
                continue
            if not item.keys or works.stopping:
                parked.append(item)
                continue
            if item.correlation is NOWHERE:
                item.again_at = again_at
            self._waiting.append(item)
        await self.parking.park(parked)

    async def rematch(self, carrier: str) -> None:
        """Tries a carrier's parked receipts again; drops and counts those whose time is over."""
        for _ in range(_REMATCHES_MAX):
            items, over, more = await self.parking.some(carrier)
            if items:
                await self._apply(items)
            unknown = {item.field for item in items if item.correlation is NOWHERE}
            gone = unknown & over
            await self.parking.orphaned(carrier, sorted(gone))
            if not more or len(unknown) - len(gone) > _VAIN_PART * len(items):
                break
