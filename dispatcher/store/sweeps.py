"""Sweeps over a server: what puts right what a crash left, and lets go of what is over. Each call is a bounded step."""

from __future__ import annotations

from collections.abc import Iterable

from dispatcher.core.ids import ALPHABET, BUCKET_CHARS, BUCKET_MS
from dispatcher.core.ports import CorruptRecord
from dispatcher.store import records, resp
from dispatcher.store.accounts import DESK
from dispatcher.store.front import glob
from dispatcher.store.gauges import Gauges
from dispatcher.store.keys import DAY_MS
from dispatcher.store.lines import INTAKE
from dispatcher.store.streams import entry_key

TRIM_ENTRIES_MAX = 500
"""Entries that one XTRIM removes: each is mostly a piece of memory of its own to be freed."""
TRIM_STEPS_MAX = 40
"""XTRIMs of one stream in one sweep."""


def bucket_end(bucket: str) -> int:
    """The ms at which a bucket's last id can have been made."""
    number = 0
    for c in bucket:
        number = number * 32 + ALPHABET.index(c)
    return (number + 1) * BUCKET_MS


class Sweeps(Gauges):
    """Recovery duties of store.md 5 that no engine has to be dead for."""

    _queue_keys: list[bytes]
    _queue_offset: int

    async def _sweep(self, kind: str, at: int, older_ms: int, role: str = "") -> int:
        flat = (await self.ask(DESK, resp.command(b"HGETALL", self.k.holds), 1))[0]
        count = 0
        for txn, hold in zip(flat[::2], flat[1::2], strict=True):
            lines = hold.split(b"\n", 3)
            theirs = lines[2].endswith(f"-{role}".encode()) if role else int(lines[1]) <= at - older_ms
            if lines[0] == kind.encode() and theirs:
                count += int(await self.run(DESK, "giveback", [self.k.holds], [txn, self.k.base]) == 1)
        return count

    async def sweep_holds(self, at: int, older_ms: int, *, intake: bool = False) -> int:
        return await self._sweep("a", at, older_ms, INTAKE if intake else "")

    async def sweep_groups(self, at: int, older_ms: int) -> int:
        return await self._sweep("g", at, older_ms)

    async def sweep_buckets(self, at: int, retention_ms: int) -> int:
        expanding, holds = await self.ask(
            DESK, resp.command(b"SMEMBERS", self.k.expanding) + resp.command(b"HKEYS", self.k.holds), 2
        )
        busy = {g[:BUCKET_CHARS] for g in (*expanding, *holds)}
        buckets: set[bytes] = set()
        tickets: set[bytes] = set()
        async for key in self.scan(glob(self.k.base) + b"[htg]*"):
            kind, _, bucket = key[len(self.k.base) :].partition(b":")
            if kind in {b"head", b"ticket", b"groups"}:
                buckets.add(bucket)
                tickets.update([bucket] if kind == b"ticket" else [])
        count = 0
        for bucket in sorted(buckets):
            if bucket_end(bucket.decode()) > at:
                continue
            wire = resp.command(b"EXISTS", self.k.body_ + bucket) + resp.command(b"HGET", self.k.empties, bucket)
            full, since = await self.ask(DESK, wire, 2)
            if full or bucket in busy:
                if since is not None:
                    await self.ask(DESK, resp.command(b"HDEL", self.k.empties, bucket), 1)
            elif since is None and retention_ms > 0:
                await self.ask(DESK, resp.command(b"HSET", self.k.empties, bucket, b"%d" % at), 1)
            elif since is None or int(since) <= at - retention_ms:
                count += await self._unlink(bucket)
                tickets.discard(bucket)
        await self._unlink_aliases(tickets, at)
        return count

    async def _unlink_aliases(self, tickets: Iterable[bytes], at: int) -> None:
        """Aliases of days that are over and have no ticket left."""
        ends = [bucket_end(b.decode()) for b in tickets]
        kept = {(end - ms) // DAY_MS for end in ends for ms in (1, BUCKET_MS)}
        for raw in (await self.ask(DESK, resp.command(b"SMEMBERS", self.k.aliases), 1))[0]:
            day = int(raw)
            if day not in kept and (day + 1) * DAY_MS + BUCKET_MS <= at:
                wire = resp.command(b"UNLINK", self.k.alias_ + raw) + resp.command(b"SREM", self.k.aliases, raw)
                await self.ask(DESK, wire, 2)

    async def _unlink(self, bucket: bytes) -> int:
        groups = (await self.ask(DESK, resp.command(b"SMEMBERS", self.k.groups_ + bucket), 1))[0]
        gone = [
            self.k.head_ + bucket,
            self.k.ticket_ + bucket,
            self.k.groups_ + bucket,
            *(key + g for g in groups for key in (self.k.group_, self.k.numbers_)),
        ]
        wire = resp.command(b"UNLINK", *gone) + resp.command(b"HDEL", self.k.empties, bucket)
        await self.ask(DESK, wire, 2)
        return 1

    async def sweep_queues(self, at: int, limit: int) -> tuple[list[str], bool]:
        if not self._queue_keys:
            kinds = (self.k.queue_, self.k.members_)
            self._queue_keys = [k async for k in self.scan(glob(self.k.base) + b"[qm]*") if k.startswith(kinds)]
            self._queue_offset = 0
        found: list[str] = []
        looked = 0
        while self._queue_keys and looked < limit:
            key, start = self._queue_keys[0], self._queue_offset
            wire = resp.of("LRANGE", key, start, start + limit - looked - 1)
            elements = (await self.ask(DESK, wire, 1))[0]
            looked += len(elements)
            self._queue_offset += len(elements)
            if looked < limit:
                self._queue_keys.pop(0)
                self._queue_offset = 0
            found += await self._overdue([e.decode()[-26:] for e in elements if e[:1] != b"@"], at)
        return found, bool(self._queue_keys)

    async def _overdue(self, ids: list[str], at: int) -> list[str]:
        bodies = (await self.read_ids(DESK, ids, [self.k.body_]))[0]
        found: list[str] = []
        for message_id, raw in bodies.items():
            try:
                if records.decode_body(raw, message_id).deadline_at <= at:
                    found.append(message_id)
            except CorruptRecord:
                continue  # the pop puts it aside
        return found

    async def repair_rings(self) -> int:
        count = 0
        async for key in self.scan(glob(self.k.queue_) + b"*"):
            name, _, account = key[len(self.k.queue_) :].rpartition(b":")
            wire = resp.command(b"ZADD", self.k.ring_ + name, b"NX", b"0", account)
            wire += resp.command(b"SADD", self.k.rings, name)
            count += (await self.ask(DESK, wire, 2))[0]
        return count

    async def trim_streams(self, at: int, keep_ms: int) -> bool:
        more = False
        for stream in (self.k.events, self.k.charges, self.k.inbound, self.k.rejects):
            cut = await self._slowest(stream, (at - keep_ms, 0))
            if cut > (0, 0):
                more |= await self._trim(stream, f"{cut[0]}-{cut[1]}")
        return more

    async def _trim(self, stream: bytes, minid: str) -> bool:
        """Removes what is before `minid`, by whole nodes of the stream's tree (`~`): a node that begins before it waits for
        the next sweep. False: nothing is left to remove."""
        wire = resp.of("XTRIM", stream, "MINID", "~", minid, "LIMIT", TRIM_ENTRIES_MAX)
        for _ in range(TRIM_STEPS_MAX):
            if not (await self.ask(DESK, wire, 1))[0]:
                return False
        return True

    async def _slowest(self, stream: bytes, cut: tuple[int, int]) -> tuple[int, int]:
        """`cut`, or what a reader group has not acknowledged yet."""
        if not (await self.ask(DESK, resp.command(b"EXISTS", stream), 1))[0]:
            return cut
        for flat in (await self.ask(DESK, resp.command(b"XINFO", b"GROUPS", stream), 1))[0]:
            row = dict(zip(flat[::2], flat[1::2], strict=True))
            pending = (await self.ask(DESK, resp.command(b"XPENDING", stream, row[b"name"]), 1))[0]
            first = pending[1] or row[b"last-delivered-id"]
            cut = min(cut, entry_key(first.decode()))
        return cut
