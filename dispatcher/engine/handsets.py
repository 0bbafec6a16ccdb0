"""Messages from handsets: parts are kept, whole ones become rows with all that follows; only then is the carrier answered.

It refuses to know what a message is worth (core/inbox: whose it is, what its words mean) and how parts wait (store).

Theory. Nothing is answered before it is durable, a part as a part, a whole message as its row. What is not durable in
deliver_answer_s is answered "system error" and comes again. A message that has not even been begun then is let go: its
repetition is the one that counts, so that a store that is away does not make two of each. One that was under way may become two
when it came whole, because nothing identifies it; a part never does.

An answer to STOP is handed to admission before the STOP takes effect, since after it nothing may be sent to that number any
more; answers to START and HELP after. Each has a key of its day, so that two robots do not talk to each other for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import trio

from dispatcher.core.admission import Book, Refused, admit
from dispatcher.core.door_settings import Inbound
from dispatcher.core.inbox import (
    STEP_MAX,
    Desk,
    Kept,
    Overdue,
    Piece,
    Received,
    forms_of,
    handset_number,
    joined,
    piece_of,
    single,
)
from dispatcher.core.model import InboundRow, Lane, Send
from dispatcher.core.ports import Admission
from dispatcher.engine.answers import SYSTEM_ERROR, answer, reply
from dispatcher.engine.deliveries import Read
from dispatcher.engine.works import Works, chunks
from smpp.bell import Bell
from smpp.codec import DeliverSm
from smpp.parts import content_of

PENDING_MAX: Final = 5_000
"""Handsets' messages held at once; more are answered "system error", and come again."""
BATCH_MAX: Final = 100
GIVE_OUT_MAX: Final = 50
GIVE_OUT_STEPS_MAX: Final = 20
_DAY_MS: Final = 86_400_000

Placed = tuple[Received, Inbound | None]


class _Item:
    """One deliver_sm of a handset."""

    __slots__ = ("answered", "deliver", "read", "sequence")

    def __init__(self, read: Read, deliver: DeliverSm) -> None:
        self.read = read
        self.deliver = deliver
        self.sequence = deliver.sequence
        self.answered = False


class Handsets:
    """Collects handsets' messages from all links and writes them, one batch at a time."""

    def __init__(self, works: Works, book: Book) -> None:
        self._works = works
        self._book = book
        self._desk = Desk(works.settings, self._hashes)
        self._new: list[_Item] = []
        self._open: Sequence[_Item] = ()
        self._kept = 0
        self.bell = Bell()

    @property
    def pending(self) -> int:
        """deliver_sm taken and not yet done with."""
        return len(self._new) + len(self._open)

    def arrived(self, read: Read, delivers: Sequence[DeliverSm]) -> None:
        """deliver_sm of one read of one link (synchronous)."""
        room = max(0, PENDING_MAX - self.pending)
        self._new += [_Item(read, deliver) for deliver in delivers[:room]]
        if len(delivers) > room and read.link is not None:
            answer(read.link, [deliver.sequence for deliver in delivers[room:]], SYSTEM_ERROR)
        self.bell.ring()

    # -- the tasks

    async def run(self) -> None:
        """Writes what has come."""
        while True:
            await self.bell.wait(1.0)
            while self._new:
                self._open, self._new = self._new[:BATCH_MAX], self._new[BATCH_MAX:]
                await self._apply(self._open)
                self._open = ()

    async def watch(self) -> None:
        """Answers "system error" to what is not durable in time, and lets go of what was not begun."""
        works = self._works
        limit_s = works.settings.receipts.deliver_answer_s
        while True:
            await trio.sleep(min(0.1, limit_s / 4))
            oldest = works.clock.monotonic() - limit_s
            late = [item for item in (*self._open, *self._new) if item.read.arrived < oldest]
            self._new = [item for item in self._new if item.read.arrived >= oldest]
            reply(late, SYSTEM_ERROR)

    async def give_out(self) -> None:
        """Writes what waits no longer for its parts, complete or not."""
        works = self._works
        inbox = works.settings.inbox
        self._kept = 0
        for _ in range(GIVE_OUT_STEPS_MAX):
            at = works.clock.now_ms()
            overdue = Overdue(at - inbox.parts_s * 1000, inbox.carrier_parts_max, inbox.parts_max)
            ripe = await works.store.ripe_parts(at, overdue, GIVE_OUT_MAX)
            ids = works.ids.make(at, len(ripe)) if ripe else []
            await self._write([self._joined(new_id, pieces, at) for new_id, pieces in zip(ids, ripe, strict=True)], at)
            if len(ripe) < GIVE_OUT_MAX:
                break
        works.counters.put("dispatcher_inbound_parts_waiting", (), await works.store.parts_waiting())

    async def sweep(self) -> None:
        """Forgets what inboxes keep no longer."""
        works = self._works
        inbox = works.settings.inbox
        await works.store.sweep_inbox(works.clock.now_ms(), inbox.keep_s * 1000, inbox.parts_s * 1000)

    # -- a batch

    async def _apply(self, items: Sequence[_Item]) -> None:
        works = self._works
        at = works.clock.now_ms()
        contents = [content_of(item.deliver, item.read.quirks.packed) for item in items]
        ids = works.ids.make(at, len(items))
        whole: list[Placed] = []
        pieces: list[Piece] = []
        for item, content, new_id in zip(items, contents, ids, strict=True):
            carrier, sender, to = self._addresses(item)
            if content.way:
                pieces.append(piece_of(content, carrier, sender, to, at))
            else:
                whole.append(self._desk.receive(single(new_id, content, carrier, sender, to, at)))
        for some in chunks(pieces, STEP_MAX):
            kept = await works.persist("inbound", lambda s=some: works.store.keep_parts(s, at))  # type: ignore[misc]
            self._count_parts(some, kept)
            whole += [self._joined(works.ids.make(at, 1)[0], found.pieces, at) for found in kept if found.pieces]
        await self._write(whole, at)
        reply(items, 0)
        self._kept += len(pieces)
        if self._kept >= BATCH_MAX:
            await works.persist("inbound", self.give_out)

    def _addresses(self, item: _Item) -> tuple[str, str, str]:
        """Carrier, the handset's number, the number that it wrote to."""
        deliver, read = item.deliver, item.read
        sender = handset_number(deliver.source_addr, deliver.source_addr_ton, read.quirks.country_code)
        return read.carrier, sender, deliver.destination_addr.strip().removeprefix("+")

    def _joined(self, new_id: str, pieces: Sequence[Piece], at: int) -> Placed:
        digests = b"".join([piece.digest for piece in pieces])
        return self._desk.receive(joined(new_id, pieces, at), name=pieces[0].name, digests=digests)

    async def _write(self, placed: Sequence[Placed], at: int) -> None:
        """Rows and what follows from them; with answers, where they are wanted."""
        if not placed:
            return
        works = self._works
        await self._say([(p, entry, entry.stop_answer) for p, entry in placed if entry is not None and p.row.word == "stop"])
        most = works.settings.inbox.messages_max
        for some in chunks(placed, STEP_MAX):
            messages = [received for received, _ in some]
            written = await works.persist("inbound", lambda m=messages: works.store.receive(m, at, most))  # type: ignore[misc]
            done = [pair for pair, here in zip(some, written, strict=True) if here]
            for received, _ in done:
                self._count(received.row)
            await self._say(
                [
                    (received, entry, entry.help_answer if received.row.word == "help" else entry.start_answer)
                    for received, entry in done
                    if entry is not None and received.row.word in {"start", "help"}
                ]
            )

    async def _say(self, wanted: Sequence[tuple[Received, Inbound, str]]) -> None:
        """Hands answers to admission, as sends of the account. One that is refused is counted and gone."""
        works = self._works
        now = works.clock.now_ms()
        admissions: list[Admission] = []
        for received, entry, text in wanted:
            account = works.accounts.get(entry.account)
            if not text or account is None:
                continue
            send = answer_of(received.row, text, now)
            verdict = admit(send, account, self._book, now, works.ids.make(now, 1)[0])
            if isinstance(verdict, Refused):
                works.counters.add("dispatcher_sends_total", (Lane.TRANSACTIONAL.wire, str(verdict.reason)))
            else:
                admissions.append(verdict)
        if admissions:
            for answered in await works.persist("admit", lambda: works.store.admit(admissions, now)):
                works.counters.add("dispatcher_sends_total", (Lane.TRANSACTIONAL.wire, answered.reason or answered.verdict))

    def _hashes(self, number: str) -> Sequence[str]:
        return [self._book.hash_number(form) for form in forms_of(number, self._book.numbers)]

    def _count_parts(self, pieces: Sequence[Piece], kept: Sequence[Kept]) -> None:
        for piece, found in zip(pieces, kept, strict=True):
            result = "part" if found.verdict == "kept" else found.verdict
            self._works.counters.add("dispatcher_inbound_total", (piece.carrier, result))

    def _count(self, row: InboundRow) -> None:
        result = "whole" if row.total == 1 else "joined" if row.parts == row.total else "partial"
        self._works.counters.add("dispatcher_inbound_total", (row.carrier, result))
        if row.word:
            self._works.counters.add("dispatcher_inbound_words_total", (row.word,))


def answer_of(row: InboundRow, text: str, now: int) -> Send:
    """A send back to the handset, at most one of its kind a day."""
    said = "\0".join((row.account, row.sender, row.to, row.word, text, str(now // _DAY_MS)))
    key = f"inbox.{hashlib.sha256(said.encode()).hexdigest()[:32]}"
    return Send(to=row.sender, text=text, sender=row.to, account=row.account, key=key)
