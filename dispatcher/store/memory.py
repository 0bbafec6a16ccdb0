"""The in-memory store: the same promises as the Redis store's, without a server.

For tests and simulated worlds. Every method is one step between awaits; `hook` may raise before or after any of them,
which is how a fault, or a lost reply, is injected. It has no clock: leases end by `expire(name)`, stream ids take their
time from the `at` arguments seen so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dispatcher.core.front import CANCEL_WISH_MS, CANCEL_WISHES_MAX, CANCEL_WISHES_OF_ACCOUNT_MAX
from dispatcher.core.ids import time_of
from dispatcher.core.ports import CorruptRecord, Cursor, Queue, SendEntry
from dispatcher.store import records
from dispatcher.store.memory_calls import MemoryCalls
from dispatcher.store.memory_engine import MemoryEngine
from dispatcher.store.memory_inbox import MemoryInbox
from dispatcher.store.memory_notices import MemoryNotices
from dispatcher.store.memory_state import CancelWish, Hook, step

__all__ = ["Hook", "MemoryStore"]


def _entry(text: str) -> tuple[int, int]:
    ms, _, sequence = text.partition("-")
    return (int(ms), int(sequence or 0)) if text else (0, 0)


def _text(entry: tuple[int, int]) -> str:
    return f"{entry[0]}-{entry[1]}"


class MemoryStore(MemoryEngine, MemoryInbox, MemoryCalls, MemoryNotices):
    """Store port in memory. `available` is always True; `add_send` is the producer's XADD."""

    @step
    async def close(self) -> None:
        """Keeps everything."""

    @step
    async def server_settings(self) -> Mapping[str, str]:
        return {"version": "memory", "appendonly": "no", "appendfsync": "no", "maxmemory-policy": "noeviction"}

    # -- streams
    def add_send(self, kind: str, payload: bytes) -> str:
        """What a producer does: one entry of `sends`; returns its id."""
        return self.append("sends", {kind: payload})

    @step
    async def read_sends(self, after: str, limit: int, block_ms: int) -> list[SendEntry]:
        start = _entry(after)
        found = [(e, f) for e, f in self.streams["sends"] if e > start][:limit]
        return [_send_entry(_text(e), f) for e, f in found]

    @step
    async def cursor(self) -> Cursor:
        return self.intake

    @step
    async def oldest_turns(self) -> Mapping[Queue, int]:
        oldest = {queue: int(min(ring.values())) for queue, ring in self.rings.items() if ring}
        return {queue: since for queue, since in oldest.items() if since > 0}

    @step
    async def sends_waiting(self) -> int:
        return sum(1 for entry, _ in self.streams["sends"] if entry > _entry(self.intake.entry))

    @step
    async def trim_sends(self, through: str) -> None:
        end = _entry(through)
        self.streams["sends"] = [(e, f) for e, f in self.streams["sends"] if e > end]

    @step
    async def publish_rejects(self) -> int:
        columns = records.REJECT_COLUMNS.encode()
        waiting, self.refused = self.refused, []
        for row in waiting:
            fields = {"v": b"1", "cols": columns, "rows": records.pack([row])}
            self.append("rejects", fields, _entry(records.reject_id(row)))
        return len(waiting)

    @step
    async def read_stream(
        self, stream: Literal["events", "charges", "inbound", "rejects", "sends"], after: str, limit: int
    ) -> list[tuple[str, dict[str, Any]]]:
        start = _entry(after)
        found: list[tuple[str, dict[str, Any]]] = []
        for entry, fields in [(e, f) for e, f in self.streams[stream] if e > start][:limit]:
            if stream == "sends":
                sent = _send_entry(_text(entry), fields)
                found.append((sent.entry, {"kind": sent.kind, "payload": sent.payload}))
            else:
                rows = records.decode_rows(stream, _text(entry), fields.get("cols"), fields.get("rows"))
                found += [(_text(entry), row) for row in rows]
        return found

    @step
    async def trim_streams(self, at: int, keep_ms: int) -> bool:
        for stream, entries in self.streams.items():
            if stream == "sends":
                continue
            cut = min([(at - keep_ms, 0), *self.readers.get(stream, {}).values()])
            self.streams[stream] = [(e, f) for e, f in entries if e >= cut]
        return False

    # -- sweeps
    @step
    async def sweep_holds(self, at: int, older_ms: int, *, intake: bool = False) -> int:
        return 0

    @step
    async def sweep_groups(self, at: int, older_ms: int) -> int:
        count = 0
        for group in self.groups.values():
            if group.state == "staging" and group.at <= at - older_ms:
                group.state = "void"
                count += 1
        return count

    @step
    async def sweep_buckets(self, at: int, retention_ms: int) -> int:
        buckets: dict[str, int] = {}
        for message_id in (*self.heads_kept, *self.tickets_kept, *self.used_ids, *self.groups):
            buckets[message_id[:6]] = time_of(message_id)
        count = 0
        full = {i[:6] for i in self.bodies} | {
            g[:6] for g, group in self.groups.items() if group.blobs or group.state == "staging"
        }
        for bucket, started in buckets.items():
            if bucket in full or started + (1 << 18) > at:
                self.empty_since.pop(bucket, None)
            elif self.empty_since.setdefault(bucket, at) <= at - retention_ms:
                del self.empty_since[bucket]
                self.heads_kept = {i: h for i, h in self.heads_kept.items() if i[:6] != bucket}
                self.groups = {i: g for i, g in self.groups.items() if i[:6] != bucket}
                self.drop_tickets(bucket)
                count += 1
        return count

    @step
    async def sweep_queues(self, at: int, limit: int) -> tuple[list[str], bool]:
        found: list[str] = []
        for queue, accounts in self.lists.items():
            for elements in accounts.values():
                ids = [e[-26:] for e in elements if e[0] != "@"]
                for pointer in [e[1:] for e in elements if e[0] == "@"]:
                    ids += self.groups[pointer].members.get(queue, ())
                found += [i for i in ids if self._overdue(i, at)]
        return found[:limit], len(found) > limit

    def _overdue(self, message_id: str, at: int) -> bool:
        raw = self.bodies.get(message_id)
        try:
            return raw is not None and records.decode_body(raw, message_id).deadline_at <= at
        except CorruptRecord:
            return False

    @step
    async def repair_rings(self) -> int:
        count = 0
        for queue, accounts in self.lists.items():
            ring = self.rings.setdefault(queue, {})
            missing = [a for a, elements in accounts.items() if elements and a not in ring]
            ring.update(dict.fromkeys(missing, 0.0))
            count += len(missing)
        return count

    # -- operators
    @step
    async def control(self, carrier: str, bind: str, command: str) -> None:
        self.wishes[carrier, bind] = command

    @step
    async def controls(self) -> Mapping[tuple[str, str], str]:
        return dict(self.wishes)

    @step
    async def wish_cancel(self, account: str, message_id: str, at: int) -> bool:
        self.cancels = {i: wish for i, wish in self.cancels.items() if wish.at > at - CANCEL_WISH_MS}
        waiting = self._open(at)
        if message_id not in waiting:
            own = sum(self.cancels[i].account == account for i in waiting)
            if own >= CANCEL_WISHES_OF_ACCOUNT_MAX or len(waiting) >= CANCEL_WISHES_MAX:
                return False
        self.cancels[message_id] = CancelWish(account, at, ended=False)
        return True

    def _open(self, at: int) -> list[str]:
        fresh = {i: wish.at for i, wish in self.cancels.items() if not wish.ended and wish.at > at - CANCEL_WISH_MS}
        return sorted(fresh, key=lambda i: (fresh[i], i))

    @step
    async def cancel_wishes(self, at: int) -> Sequence[str]:
        return self._open(at)

    @step
    async def cancel_words(self, ids: Sequence[str], at: int) -> Mapping[str, bool]:
        found = ((i, self.cancels.get(i)) for i in ids)
        return {i: wish.ended for i, wish in found if wish is not None and wish.at > at - CANCEL_WISH_MS}

    @step
    async def end_cancel_wish(self, account: str, message_id: str, at: int) -> None:
        self.cancels[message_id] = CancelWish(account, at, ended=True)


def _send_entry(entry: str, fields: Mapping[str, bytes]) -> SendEntry:
    for kind in ("json", "msgpack"):
        if kind in fields:
            return SendEntry(entry, kind, fields[kind])
    return SendEntry(entry, "", b"")
