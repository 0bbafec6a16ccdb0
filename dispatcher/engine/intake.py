"""The stream door: entries of `sends` become admissions, under one lease and one cursor.

It refuses to know why a send is refused (core/admission) and how money is reserved (store).

Theory. The cursor moves in the same transaction as the admissions it covers, so a restart at the cursor finds neither a
loss nor a double, although a send without a key has nothing that identifies it. Refusals, whether admission's own or those
that only the transaction can know (money, keys), are left there by the same transaction and published to `rejects` after
it, also by whoever takes over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Final

import msgspec
import trio

from dispatcher.core.admission import Book, Refused, admit, decode_sends
from dispatcher.core.customer import Account
from dispatcher.core.model import Refusal, Send
from dispatcher.core.ports import Admission, Cursor, Deposed, RejectRow, SendEntry, Verdict
from dispatcher.core.refusal import refusal_of
from dispatcher.core.wire import decode_one
from dispatcher.engine.leases import INTAKE_LEASE, Lease, Leases
from dispatcher.engine.works import BATCH_MAX, Works

ACCOUNT_TTL_S: Final = 2.0
"""How long an account's settings (also: that there is none) are believed."""
ACCOUNTS_MAX: Final = 50_000
_BLOCK_MS: Final = 100
_TRIM_EVERY_S: Final = 1.0
_SMALL_READ: Final = 64
PAUSE_POLLS: Final = 4
"""A trickle is read each fourth poll, for at low rates wake-ups cost more than sends; the first one after a silence at once."""
FIRST_ENTRIES: Final = 16
"""The first read's, and after a trickle: nobody knows how long the entries of the next burst are."""
_GROWTH: Final = 4
"""So many times the entries of one read the next one may bring."""
READ_BYTES: Final = 1_048_576
"""What one read of the stream should bring at most; entries may hold 4 MiB each. It is held until all of it is admitted."""
RAW_BYTES_MAX: Final = 16_384
"""Of a refused send's own bytes at most so many are kept in its reject."""
PAUSES_TTL_S: Final = 0.5
"""How long what is paused for lack of conversion is believed."""
_NO_ACCOUNT: Final = (
    Refused(Refusal.UNKNOWN_ACCOUNT, "account", "a send over the stream names its account"),
    Refused(Refusal.UNKNOWN_ACCOUNT, "account", "no such account"),
)


class _Item(msgspec.Struct, frozen=True, gc=False):
    """One send of one entry. `before` is the entry before it; None where this is its entry's last send."""

    entry: str
    position: int
    send: Send | Refused
    raw: bytes = b""
    before: str | None = None

    @property
    def after(self) -> Cursor:
        """The cursor that is right once it has been dealt with."""
        return Cursor(self.entry, 0) if self.before is None else Cursor(self.before, self.position + 1)


class Intake:
    """Admits from the stream while it holds the lease and `open` says that promises can be kept."""

    def __init__(self, works: Works, leases: Leases, book: Book, is_open: Callable[[], bool]) -> None:
        self._works = works
        self._leases = leases
        self._book = book
        self._open = is_open
        self._known: dict[str, tuple[float, Account | None]] = {}
        self._pauses_until = 0.0
        self._trimmed = ("", 0.0)
        self._limit = min(FIRST_ENTRIES, works.settings.engine.intake_entries_max)

    async def run(self) -> None:
        """The intake task: waits for the lease, works under it, waits again when it is lost."""
        works = self._works
        while not works.stopping:
            lease = await works.persist("lease", lambda: self._leases.take(INTAKE_LEASE))
            if lease is None:
                await works.nap(works.settings.engine.lease_s / 4)
                continue
            works.log.info("intake_begins")
            try:
                await self._work(lease)
            except Deposed:
                works.log.warning("intake_lost")
        await self._leases.drop(INTAKE_LEASE)

    async def _work(self, lease: Lease) -> None:
        works = self._works
        poll_s = works.settings.engine.poll_ms / 1000
        await works.persist("reject", works.store.publish_rejects)  # what a predecessor left
        held = await works.persist("holds", lambda: works.store.sweep_holds(works.clock.now_ms(), 0, intake=True))
        if held:  # it died between taking the money and the rest; its sends are read again, and their keys must be free
            works.log.warning("admissions_given_back", count=held)
        cursor = await works.persist("intake", works.store.cursor)
        while not works.stopping and lease.valid(works.clock.monotonic()):
            if not self._open():
                await works.nap(0.1)
                continue
            limit = self._limit
            cursor, came = await self._read(lease, cursor, limit)
            await self._trim(cursor)  # also when nothing came: the last ones were too young
            if came < min(_SMALL_READ, limit):
                await trio.sleep(PAUSE_POLLS * poll_s)

    async def _read(self, lease: Lease, cursor: Cursor, limit: int) -> tuple[Cursor, int]:
        """One read and its admission; returns how many entries came. They go with this frame, before the next read."""
        works = self._works
        entries = await works.persist("intake", lambda: works.store.read_sends(cursor.entry, limit, _BLOCK_MS))
        if entries:
            size = sum([len(entry.payload) for entry in entries])
            self._limit = entries_for(size, len(entries), works.settings.engine.intake_entries_max)
            cursor = await self._admit(lease, entries, cursor)
        return cursor, len(entries)

    async def _admit(self, lease: Lease, entries: list[SendEntry], cursor: Cursor) -> Cursor:
        items = unpack(entries, cursor)
        while batch := list(islice(items, BATCH_MAX)):
            await self._batch(lease, batch)
            cursor = batch[-1].after
        return cursor

    async def _batch(self, lease: Lease, items: list[_Item]) -> None:
        works = self._works
        await self._look_for_pauses()
        now = works.clock.now_ms()
        ids = works.ids.make(now, len(items))
        admissions: list[Admission] = []
        owners: list[_Item] = []
        judged: list[tuple[_Item, Refused]] = []
        accounts: dict[str, Account | None] = {}
        book, account = self._book, None
        express, last = book.express.admit, None
        for item, new_id in zip(items, ids, strict=True):
            send = item.send
            if isinstance(send, Refused):
                judged.append((item, send))
                continue
            if (name := send.account) != last or last is None:
                last = name
                if (name or "") not in accounts:
                    accounts[name or ""] = await self._account(name) if name else None
                account = accounts[name or ""]
            if account is not None and (admission := express(send, account, now, new_id)) is not None:
                admissions.append(admission)
                owners.append(item)
                continue
            verdict = _NO_ACCOUNT[bool(name)] if account is None else admit(send, account, book, now, new_id)
            if isinstance(verdict, Refused):
                judged.append((item, verdict))
            else:
                admissions.append(verdict)
                owners.append(item)
        rows: list[RejectRow] = []

        def refused(no: Mapping[int, Verdict]) -> list[RejectRow]:
            nonlocal rows
            rows = reject_rows(judged, owners, no, now)
            return rows

        mark = (lease.owner, items[-1].after)
        verdicts = await works.persist("admit", lambda: works.store.admit(admissions, now, mark, refused))
        if owners:
            works.queue_bell.ring()
        self._count(owners, verdicts, judged)
        if rows:
            await works.persist("reject", works.store.publish_rejects)

    async def _look_for_pauses(self) -> None:
        works = self._works
        now = works.clock.monotonic()
        if now < self._pauses_until:
            return
        self._book.guards.paused = await works.persist("pauses", lambda: works.store.paused_conversions(works.clock.now_ms()))
        self._pauses_until = now + PAUSES_TTL_S

    async def _account(self, name: str) -> Account | None:
        works = self._works
        now = works.clock.monotonic()
        known = self._known.get(name)
        if known is not None and now < known[0]:
            return known[1]
        account = await works.persist("account", lambda: works.store.account(name))
        if len(self._known) >= ACCOUNTS_MAX:
            self._known.clear()
        self._known[name] = (now + ACCOUNT_TTL_S, account)
        if account is not None:
            works.accounts[name] = account
        return account

    def _count(self, owners: list[_Item], verdicts: list[Verdict], judged: list[tuple[_Item, Refused]]) -> None:
        counts: dict[tuple[str, str], int] = {}
        words = [verdict.verdict for verdict in verdicts]
        if words.count("accepted") == len(words):
            lanes = [_lane(item.send) for item in owners]
            counts = {(lane, "accepted"): lanes.count(lane) for lane in set(lanes)}
        else:
            for item, verdict in zip(owners, verdicts, strict=True):
                label = (_lane(item.send), str(refusal_of(verdict) or verdict.verdict))
                counts[label] = counts.get(label, 0) + 1
        for item, why in judged:
            label = (_lane(item.send), str(why.reason))
            counts[label] = counts.get(label, 0) + 1
        for label, count in counts.items():
            self._works.counters.add("dispatcher_sends_total", label, count)

    async def _trim(self, cursor: Cursor) -> None:
        works = self._works
        now = works.clock.monotonic()
        if not cursor.entry or cursor.entry == self._trimmed[0] or now - self._trimmed[1] < _TRIM_EVERY_S:
            return
        await works.persist("trim", lambda: works.store.trim_sends(cursor.entry))
        self._trimmed = (cursor.entry, now)


def entries_for(size_bytes: int, entries: int, most: int) -> int:
    """How many entries the next read may bring, if they are as long as these were; and as they may be longer, never many more
    than these were."""
    return max(1, min(most, max(FIRST_ENTRIES, _GROWTH * entries), READ_BYTES * entries // max(1, size_bytes)))


class _Chunk(msgspec.Struct):
    sends: list[msgspec.Raw]


def raws_of(entry: SendEntry, count: int) -> list[bytes]:
    """The bytes of each of an entry's sends; of the entry itself where they cannot be told apart. Cut to RAW_BYTES_MAX."""
    whole = entry.payload[:RAW_BYTES_MAX]
    if count == 1:
        return [whole]
    try:
        decode = msgspec.json.decode if entry.kind == "json" else msgspec.msgpack.decode
        sends = decode(entry.payload, type=_Chunk).sends
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [whole] * count
    return [bytes(raw)[:RAW_BYTES_MAX] for raw in sends] if len(sends) == count else [whole] * count


def unpack(entries: list[SendEntry], cursor: Cursor) -> Iterator[_Item]:
    """Every send of the entries that the cursor has not passed, in order, each with the cursor after it.

    An entry that holds no send at all still moves the cursor: it is one refusal, at position 0.
    """
    before = cursor.entry
    skip = cursor.done
    for entry in entries:
        kind, payload = entry.kind, entry.payload
        if not skip and (one := decode_one(kind, payload)) is not None:  # what most producers write
            yield _Item(entry.entry, 0, one)
            before = entry.entry
            continue
        sends = decode_sends(kind, payload) or [Refused(Refusal.MALFORMED, "", "an entry without sends")]
        last = len(sends) - 1
        raws = raws_of(entry, len(sends)) if any(isinstance(send, Refused) for send in sends) else []
        for position, send in enumerate(sends):
            if position >= skip:
                raw = raws[position] if isinstance(send, Refused) else b""
                yield _Item(entry.entry, position, send, raw, None if position == last else before)
        before = entry.entry
        skip = 0


def reject_rows(
    judged: list[tuple[_Item, Refused]], owners: list[_Item], no: Mapping[int, Verdict], at: int
) -> list[RejectRow]:
    """The rows of a batch's refused sends, in the stream's order: what admission judged, and of `owners` what the store did."""
    found = [*judged]
    for i, verdict in no.items():
        reason = refusal_of(verdict)
        if reason is not None:
            found.append((owners[i], Refused(reason, "", _in_words(verdict))))
    found.sort(key=lambda pair: (*_order(pair[0].entry), pair[0].position))
    return [
        RejectRow(
            item.entry,
            item.position,
            str(why.reason),
            f"{why.field}: {why.detail}" if why.field else why.detail,
            raw_of(item),
            at,
        )
        for item, why in found
    ]


def _in_words(verdict: Verdict) -> str:
    if verdict.verdict == "limited":
        return f"limited; again in {-(-verdict.retry_after_ms // 1000)} s"
    return verdict.verdict


def _order(entry: str) -> tuple[int, int]:
    ms, _, sequence = entry.partition("-")
    return int(ms), int(sequence or 0)


def _lane(send: Send | Refused) -> str:
    """The send's class for the metrics; "" where it could not be read."""
    return send.lane if isinstance(send, Send) else ""


def raw_of(item: _Item) -> bytes:
    """The one send as JSON, for the reject row; the entry's own bytes where it could not be read. Cut to RAW_BYTES_MAX, too."""
    return msgspec.json.encode(item.send)[:RAW_BYTES_MAX] if isinstance(item.send, Send) else item.raw
