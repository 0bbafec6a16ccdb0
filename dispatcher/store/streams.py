"""The public streams over a server: intake's reading, rejects, readers. Knows rows, no meaning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import hiredis

from dispatcher.core.ports import CorruptRecord, Cursor, SendEntry
from dispatcher.store import records, resp
from dispatcher.store.accounts import DESK
from dispatcher.store.rest import Rest

SENDS = "sends"
REJECTS_MAX = 200


def next_id(entry: str) -> str:
    """The smallest entry id after `entry`."""
    ms, _, sequence = entry.partition("-")
    return f"{ms}-{int(sequence or 0) + 1}"


def entry_key(entry: str) -> tuple[int, int]:
    """An entry id as it sorts."""
    ms, _, sequence = entry.partition("-")
    return int(ms or 0), int(sequence or 0)


class Streams(Rest):
    """In and out."""

    async def read_sends(self, after: str, limit: int, block_ms: int) -> list[SendEntry]:
        block = ("BLOCK", block_ms) if block_ms > 0 else ()
        wire = resp.of("XREAD", "COUNT", limit, *block, "STREAMS", self.k.sends, after or "0-0")
        reply = (await self.ask(SENDS, wire, 1, wait_s=block_ms / 1000))[0]
        if not reply:
            return []
        return [_send_entry(entry.decode(), fields) for entry, fields in reply[0][1]]

    async def cursor(self) -> Cursor:
        raw = (await self.ask(DESK, resp.command(b"GET", self.k.cursor), 1))[0]
        if raw is None:
            return Cursor("", 0)
        entry, _, done = raw.decode().rpartition(":")
        return Cursor(entry, int(done))

    async def trim_sends(self, through: str) -> None:
        if through:
            await self.ask(DESK, resp.of("XTRIM", self.k.sends, "MINID", next_id(through)), 1)

    async def publish_rejects(self) -> int:
        line = self.line(DESK)
        count = 0
        async with line.lock:
            while True:
                waiting = (await self.persist(line, resp.of("LRANGE", self.k.refused, 0, REJECTS_MAX - 1), 1))[0]
                if not resp.checked(waiting):
                    return count
                for reply in await self.persist(line, b"".join([self._reject(raw) for raw in waiting]), len(waiting)):
                    # Ids follow the sends' stream, and so does the list: one that is not beyond the last is there already.
                    if not (isinstance(reply, hiredis.ReplyError) and "equal or smaller" in str(reply)):
                        resp.checked(reply)
                # By value, not by count: an intake that was deposed meanwhile must not cut what it did not publish.
                await self.persist(line, b"".join([resp.of("LREM", self.k.refused, 1, raw) for raw in waiting]), len(waiting))
                count += len(waiting)

    def _reject(self, raw: bytes) -> bytes:
        try:
            row = records.unpack_reject(raw)
        except CorruptRecord:
            return resp.of("RPUSH", self.k.corrupt, raw)
        rows = records.pack([row])
        return resp.of("XADD", self.k.rejects, records.reject_id(row), "v", 1, "cols", records.REJECT_COLUMNS, "rows", rows)

    async def read_stream(
        self, stream: Literal["events", "charges", "inbound", "rejects", "sends"], after: str, limit: int
    ) -> list[tuple[str, dict[str, Any]]]:
        start = f"({after}" if after else "-"
        wire = resp.of("XRANGE", self.k.stream(stream), start, "+", "COUNT", limit)
        found: list[tuple[str, dict[str, Any]]] = []
        for raw, fields in (await self.ask(DESK, wire, 1))[0]:
            entry = raw.decode()
            if stream == "sends":
                sent = _send_entry(entry, fields)
                found.append((entry, {"kind": sent.kind, "payload": sent.payload}))
                continue
            row = dict(zip(fields[::2], fields[1::2], strict=True))
            found += [(entry, one) for one in records.decode_rows(stream, entry, row.get(b"cols"), row.get(b"rows"))]
        return found


def _send_entry(entry: str, fields: Sequence[bytes]) -> SendEntry:
    if len(fields) == 2 and fields[0] == b"json":  # what most producers write
        return SendEntry(entry, "json", fields[1])
    row = dict(zip(fields[::2], fields[1::2], strict=True))
    for kind in ("json", "msgpack"):
        if (payload := row.get(kind.encode())) is not None:
            return SendEntry(entry, kind, payload)
    return SendEntry(entry, "", b"")
