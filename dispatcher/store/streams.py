"""The public streams over a server: intake's reading, rejects, handsets' messages, readers. Knows rows, no meaning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import hiredis

from dispatcher.core.model import InboundRow
from dispatcher.core.ports import CorruptRecord, Cursor, Effects, RejectRow, SendEntry
from dispatcher.store import records, resp
from dispatcher.store.accounts import DESK
from dispatcher.store.rest import Rest

_new = tuple.__new__  # a SendEntry without the detour through its named constructor
SENDS, INBOUND = "sends", "inbound"


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

    async def inbound(self, rows: Sequence[InboundRow]) -> None:
        if rows:
            line = self.line(INBOUND)
            wire = [resp.rows(self.k.inbound, records.COLUMNS["inbound"], records.pack(list(rows)))]
            async with line.lock:
                await self._guarded(INBOUND, Effects(), resp.arguments_of(wire), in_flight=False)

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

    async def reject(self, rows: Sequence[RejectRow], at: int) -> None:
        columns = records.REJECT_COLUMNS
        wire = [
            resp.of(
                "XADD",
                self.k.rejects,
                records.reject_id(row),
                "v",
                1,
                "cols",
                columns,
                "rows",
                records.pack([records.reject_row(row, at)]),
            )
            for row in rows
        ]
        if not wire:
            return
        line = self.line(DESK)
        async with line.lock:
            for reply in await self.persist(line, b"".join(wire), len(wire)):
                # an id that is not beyond the last one is there already: rows are refused in the stream's order
                if not (isinstance(reply, hiredis.ReplyError) and "equal or smaller" in str(reply)):
                    resp.checked(reply)

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
            where = f"{stream} {entry}"
            if b"cols" not in row or b"rows" not in row:
                raise CorruptRecord(where, "no cols and rows")
            found += [(entry, one) for one in records.decode_rows(row[b"cols"].decode(), row[b"rows"], where)]
        return found


def _send_entry(entry: str, fields: Sequence[bytes]) -> SendEntry:
    if len(fields) == 2 and fields[0] == b"json":  # what most producers write
        return _new(SendEntry, (entry, "json", fields[1]))
    row = dict(zip(fields[::2], fields[1::2], strict=True))
    for kind in ("json", "msgpack"):
        if (payload := row.get(kind.encode())) is not None:
            return SendEntry(entry, kind, payload)
    return SendEntry(entry, "", b"")
