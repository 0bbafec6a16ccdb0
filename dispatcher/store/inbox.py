"""Handsets' messages over a server: parts that wait, rows, inboxes, opt-outs. Knows no words and no routes.

parts:NAME  hash   index -> digest, part          waiting, waiting:CARRIER   zset  NAME by the time of its first part
complete    zset   NAME by the time it was seen   partcounts                 hash  carrier -> parts that wait
joined      hash   NAME -> digests of parts that  joinedat                   zset  NAME by the time it was given out
                   are a row by now
inbox:ACCOUNT      zset  row by its number        unread:ACCOUNT             zset  numbers not marked as read
inboxes     hash   account -> last number         optouts:ACCOUNT            hash  number's hash -> senders, a line each
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from dispatcher.core.inbox import InboxMessage, Kept, OptOut, Overdue, Piece, Received
from dispatcher.store import records, resp
from dispatcher.store.accounts import DESK, RedisBase
from dispatcher.store.lines import SCRIPTS

INBOUND: Final = "inbound"
DIGESTS_MAX: Final = 200_000
"""Messages whose parts' digests are kept; beyond it the oldest go before their time."""
COMPLETE_MS: Final = 3_000
"""A complete message that still waits then was left by who saw it complete."""
SWEEP_MAX: Final = 200

_MARKER_S: Final = 604_800
_piece = msgspec.msgpack.Decoder(Piece)
_VERDICTS: Final = ("kept", "repeat", "conflict")


class Inbox(RedisBase):
    """InboxStore over a server."""

    async def keep_parts(self, pieces: Sequence[Piece], at: int) -> list[Kept]:
        if not pieces:
            return []
        arguments = [self.k.base, b"%d" % at]
        for piece in pieces:
            place = (b"%d" % piece.index, b"%d" % piece.total)
            arguments += (piece.name.encode(), piece.carrier.encode(), *place, piece.digest, records.pack(piece))
        line = self.line(INBOUND)
        async with line.lock:
            reply = (await self.persist(line, SCRIPTS["parts"].call([self.k.parts_], arguments), 1))[0]
        return [Kept(_VERDICTS[v[0]], [_piece.decode(raw) for raw in v[1:]]) for v in resp.checked(reply)]

    async def receive(self, messages: Sequence[Received], at: int, messages_max: int) -> list[bool]:
        if not messages:
            return []
        columns = records.COLUMNS["inbound"].encode()
        line = self.line(INBOUND)
        async with line.lock:
            numbers = (b"%d" % next(line.numbers), self.k.base, b"%d" % at, b"%d" % messages_max)
            arguments = [*numbers, columns, b"%d" % DIGESTS_MAX]
            for message in messages:
                row = message.row
                parts = (message.name.encode(), b"%d" % row.parts, row.carrier.encode(), message.digests)
                arguments += (*parts, row.account.encode(), records.pack(row), b"%d" % len(message.changes))
                for change in message.changes:
                    words = (change.account, change.to_hash, change.sender, "1" if change.out else "0")
                    arguments += [word.encode() for word in words]
            done = self.k.done_ + f"{self.process}-{INBOUND}".encode()
            found = resp.checked((await self.persist(line, SCRIPTS["inbound"].call([done], arguments), 1))[0])
        return [bool(one) for one in found] if isinstance(found, list) else [True] * len(messages)

    async def ripe_parts(self, at: int, overdue: Overdue, limit: int) -> list[Sequence[Piece]]:
        k = self.k
        wire = resp.of("ZRANGEBYSCORE", k.complete, "-inf", at - COMPLETE_MS, "LIMIT", 0, limit)
        wire += resp.of("ZRANGEBYSCORE", k.waiting, "-inf", f"({overdue.before}", "LIMIT", 0, limit)
        wire += resp.command(b"HGETALL", k.part_counts)
        complete, late, flat = await self.ask(DESK, wire, 3)
        names = dict.fromkeys([*complete, *late])
        counts = {carrier: int(n) for carrier, n in zip(flat[::2], flat[1::2], strict=True)}
        beyond = [(k.waiting, sum(counts.values()) - overdue.parts_max)]
        beyond += [(k.waiting + b":" + carrier, n - overdue.carrier_parts_max) for carrier, n in counts.items()]
        for key, over in beyond:
            if over > 0:
                names |= dict.fromkeys(await self._oldest(key, over, limit))
        asked = list(names)[:limit]
        wire = b"".join([resp.command(b"HVALS", k.parts_ + name) for name in asked])
        found = await self.ask(DESK, wire, len(asked)) if asked else []
        return [[_piece.decode(raw[8:]) for raw in values] for values in found if values]

    async def _oldest(self, key: bytes, parts: int, limit: int) -> list[bytes]:
        """Names of the oldest messages that have so many parts together."""
        names = (await self.ask(DESK, resp.of("ZRANGE", key, 0, min(parts, limit) - 1), 1))[0]
        lengths = await self.ask(DESK, b"".join([resp.command(b"HLEN", self.k.parts_ + n) for n in names]), len(names))
        chosen: list[bytes] = []
        for name, length in zip(names, lengths, strict=True):
            if parts <= 0:
                break
            chosen.append(name)
            parts -= length
        return chosen

    async def parts_waiting(self) -> int:
        return sum(map(int, (await self.ask(DESK, resp.command(b"HVALS", self.k.part_counts), 1))[0]))

    async def sweep_inbox(self, at: int, keep_ms: int, digests_ms: int) -> int:
        k = self.k
        wire = resp.of("ZRANGEBYSCORE", k.joined_at, "-inf", f"({at - digests_ms}", "LIMIT", 0, SWEEP_MAX)
        wire += resp.command(b"HKEYS", k.inboxes)
        names, accounts = await self.ask(DESK, wire, 2)
        if names:
            gone = resp.command(b"HDEL", k.joined, *names) + resp.command(b"ZREM", k.joined_at, *names)
            await self.ask(DESK, gone, 2)
        count = 0
        for start in range(0, len(accounts), SWEEP_MAX):
            some = accounts[start : start + SWEEP_MAX]
            oldest = await self.ask(DESK, b"".join([resp.of("ZRANGE", k.inbox_ + a, 0, 0) for a in some]), len(some))
            for account, raw in zip(some, oldest, strict=True):
                if raw and records.decode_inbound(raw[0], "inbox").at < at - keep_ms:
                    count += await self._forget(account, at - keep_ms)
        return count

    async def _forget(self, account: bytes, before: int) -> int:
        """Some of an inbox' messages that are older."""
        key = self.k.inbox_ + account
        flat = (await self.ask(DESK, resp.of("ZRANGE", key, 0, SWEEP_MAX - 1, "WITHSCORES"), 1))[0]
        pairs = zip(flat[::2], flat[1::2], strict=True)
        old = [int(n) for raw, n in pairs if records.decode_inbound(raw, "inbox").at < before]
        if not old:
            return 0
        cut = resp.of("ZREMRANGEBYSCORE", key, "-inf", old[-1])
        cut += resp.of("ZREMRANGEBYSCORE", self.k.unread_ + account, "-inf", old[-1])
        return int((await self.ask(DESK, cut, 2))[0])

    async def inbox(self, account: str, after: int, limit: int, *, unread: bool = False) -> list[InboxMessage]:
        key = self.k.inbox_ + account.encode()
        ahead = ("WITHSCORES", "LIMIT", 0, limit)
        if not unread:
            flat = (await self.ask(DESK, resp.of("ZRANGEBYSCORE", key, f"({after}", "+inf", *ahead), 1))[0]
            return [
                InboxMessage(int(n), records.decode_inbound(raw, "inbox")) for raw, n in zip(flat[::2], flat[1::2], strict=True)
            ]
        of = resp.of("ZRANGEBYSCORE", self.k.unread_ + account.encode(), f"({after}", "+inf", "LIMIT", 0, limit)
        numbers = (await self.ask(DESK, of, 1))[0]
        if not numbers:
            return []
        wire = b"".join([resp.of("ZRANGEBYSCORE", key, n, n) for n in numbers])
        found = await self.ask(DESK, wire, len(numbers))
        return [
            InboxMessage(int(n), records.decode_inbound(raw[0], "inbox")) for n, raw in zip(numbers, found, strict=True) if raw
        ]

    async def mark_read(self, account: str, numbers: Sequence[int]) -> None:
        if numbers:
            await self.ask(DESK, resp.of("ZREM", self.k.unread_ + account.encode(), *numbers), 1)

    async def opt_outs(self, account: str, limit: int) -> list[OptOut]:
        found: list[OptOut] = []
        cursor = b"0"
        while len(found) < limit:
            wire = resp.of("HSCAN", self.k.optouts_ + account.encode(), cursor, "COUNT", 500)
            cursor, flat = (await self.ask(DESK, wire, 1))[0]
            for number, lines in zip(flat[::2], flat[1::2], strict=True):
                found += [OptOut(number.decode(), sender.decode()) for sender in lines.split(b"\n")[:-1]]
            if cursor == b"0":
                break
        return found
