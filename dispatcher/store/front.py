"""What the doors keep on a server: tickets, aliases, one-time codes, conversions, opt-outs. Knows no queue and no money.

A ticket lives beside its record: in a hash of the same bucket, which the sweeper unlinks together with the heads. What
counts (a guess, a STOP) is one script with a marker, so that a repeat after a lost reply finds the first answer.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from dispatcher.core.front import Code, CodeCheck, Conversion, Ticket
from dispatcher.core.ids import BUCKET_CHARS, time_of
from dispatcher.core.ports import Admission
from dispatcher.store import records, resp
from dispatcher.store.accounts import DESK, Accounts
from dispatcher.store.keys import DAY_MS, HOUR_MS, Keys, check_sender

FRONT = "front"
"""The line of what requests wait for and admission does not need."""
STEP_FIELDS_MAX = 500
SCAN_COUNT = 500
_WILD = re.compile(rb"[\\*?\[\]^-]")
_CONVERSIONS_S = b"691200"
_CODE_KEPT_MS = DAY_MS
_APART = ("",)
"""Stands in a ticket for numbers that are kept apart."""


class Front(Accounts):
    """FrontStore without its windows."""

    async def scan(self, pattern: bytes) -> AsyncIterator[bytes]:
        """Keys that match, over the whole keyspace, in small steps."""
        cursor = b"0"
        while True:
            cursor, keys = (await self.ask(DESK, resp.of("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT), 1))[0]
            for key in keys:
                yield key
            if cursor == b"0":
                return

    # -- tickets
    async def tickets(self, ids: Sequence[str], *, apart: bool = True) -> list[Ticket | None]:
        out: list[Ticket | None] = []
        for start in range(0, len(ids), STEP_FIELDS_MAX):
            some = ids[start : start + STEP_FIELDS_MAX]
            raw = (await self.read_ids(FRONT, some, [self.k.ticket_]))[0]
            found = [records.decode_ticket(raw[i], f"ticket {i}") if i in raw else None for i in some]
            for i, ticket in zip(some, found, strict=True):
                if ticket is not None and ticket.to[:1] == _APART:
                    ticket.to = await self._numbers(i) if apart else ()
            out += found
        return out

    async def _numbers(self, group_id: str) -> tuple[str, ...]:
        key = self.k.numbers_ + group_id.encode()
        found: list[str] = []
        # One part at a time: all of them in one reply would hold the server for milliseconds, and us to decode it.
        for start in sorted(map(int, (await self.ask(FRONT, resp.command(b"HKEYS", key), 1))[0])):
            part = (await self.ask(FRONT, resp.command(b"HGET", key, b"%d" % start), 1))[0]
            if part is not None:
                found += records.decode_numbers(part, f"numbers {group_id} {start}")
        return tuple(found)

    async def put_ticket(self, message_id: str, ticket: Ticket) -> None:
        ticket = await self.numbers_apart(FRONT, message_id, ticket)
        wire = ticket_commands(self.k, [(message_id, ticket)])
        await self.ask(FRONT, b"".join(wire), len(wire))

    async def numbers_apart(self, role: str, message_id: str, ticket: Ticket) -> Ticket:
        """The ticket as it is to be written. The numbers of a large group go before it, in steps, into a key of their own,
        which goes with the bucket: in one value of 650 KB they would hold the server for milliseconds."""
        if len(ticket.to) <= records.NUMBERS_MAX:
            return ticket
        bucket = message_id[:BUCKET_CHARS].encode()
        key = self.k.numbers_ + message_id.encode()
        await self.ask(role, resp.command(b"SADD", self.k.groups_ + bucket, message_id.encode()), 1)
        for start in range(0, len(ticket.to), records.NUMBERS_MAX):
            part = records.pack(ticket.to[start : start + records.NUMBERS_MAX])
            await self.ask(role, resp.command(b"HSET", key, b"%d" % start, part), 1)
        return msgspec.structs.replace(ticket, to=_APART)

    async def find_alias(self, alias: str) -> str | None:
        found = await self.run(FRONT, "alias", [self.k.aliases], [alias.encode(), self.k.alias_, self.k.ticket_])
        return found.decode() if found is not None else None

    async def draw_numbers(self, name: str, count: int) -> int:
        last = (await self.ask(FRONT, resp.of("HINCRBY", self.k.drawn, name, count), 1))[0]
        return int(last) - count + 1

    # -- codes and what became of them
    async def check_code(self, subject: str, digest: bytes, at: int) -> CodeCheck:
        keys = [self.k.code_ + subject.encode(), _hour(self.k, at)]
        answer = await self.once(FRONT, "code", keys, [digest, b"%d" % at, self.k.ticket_])
        word, left, message_id = answer.decode().split(" ")
        if word == "right":
            return CodeCheck("right", 0, message_id)
        return CodeCheck("wrong", int(left), message_id) if word == "wrong" else CodeCheck("none")

    async def converted(self, message_id: str, conversion: str, at: int) -> bool:
        keys = [self.k.ticket_ + message_id[:BUCKET_CHARS].encode(), _hour(self.k, at)]
        return await self.once(FRONT, "used", keys, [message_id.encode(), conversion.encode(), b"%d" % at]) == b"1"

    async def conversions(self, at: int, hours: int) -> Mapping[str, Conversion]:
        wire = [resp.command(b"HGETALL", _hour(self.k, at - back * HOUR_MS)) for back in range(hours)]
        found: dict[str, list[int]] = {}
        for flat in await self.ask(FRONT, b"".join(wire), len(wire)) if wire else []:
            for field, count in zip(flat[::2], flat[1::2], strict=True):
                kind, _, name = field.decode().partition(":")
                found.setdefault(name, [0, 0])[kind == "used"] += int(count)
        return {name: Conversion(*counts) for name, counts in found.items()}

    async def pause_conversion(self, conversion: str, until: int) -> None:
        name = conversion.encode()
        wish = resp.of("HSET", self.k.pauses, name, until) if until else resp.command(b"HDEL", self.k.pauses, name)
        await self.ask(FRONT, wish, 1)
        async for key in self.scan(glob(self.k.conversions_) + b"*"):
            await self.ask(FRONT, resp.command(b"HDEL", key, b"sent:" + name, b"used:" + name), 1)

    async def paused_conversions(self, at: int) -> Mapping[str, int]:
        flat = (await self.ask(FRONT, resp.command(b"HGETALL", self.k.pauses), 1))[0]
        return {n.decode(): int(until) for n, until in zip(flat[::2], flat[1::2], strict=True) if int(until) > at}

    # -- opt-outs
    async def opt_out(self, account: str, sender: str, to_hash: str, at: int) -> bool:
        return await self._opt(account, check_sender(sender), to_hash, b"1")

    async def opt_in(self, account: str, sender: str, to_hash: str) -> bool:
        return await self._opt(account, sender, to_hash, b"0")

    async def _opt(self, account: str, sender: str, to_hash: str, stop: bytes) -> bool:
        name = account.encode()
        keys = [self.k.optouts_ + name, self.k.acct_ + name]
        return await self.once(FRONT, "optout", keys, [stop, sender.encode(), to_hash.encode()]) == b"1"

    async def opted_out(self, account: str, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        return (await self.refusals({account: pairs}))[account][1] if pairs else []

    async def refusals(self, pairs: Mapping[str, Sequence[tuple[str, str]]]) -> dict[str, tuple[bool, list[bool]]]:
        """By account: whether it has any opt-outs, and for each (sender, number's hash) whether it is refused."""
        wire = [resp.command(b"HGET", self.k.acct_ + account.encode(), b"optouts") for account in pairs]
        counts = await self.ask(FRONT, b"".join(wire), len(wire))
        has_any = {account for account, count in zip(pairs, counts, strict=True) if int(count or 0) > 0}
        asked = [(account, *pair) for account, some in pairs.items() if account in has_any for pair in some]
        senders: dict[tuple[str, str], bytes | None] = {}
        for start in range(0, len(asked), STEP_FIELDS_MAX):
            fields: dict[str, list[str]] = {}
            for account, _, to_hash in asked[start : start + STEP_FIELDS_MAX]:
                fields.setdefault(account, []).append(to_hash)
            wire = [resp.of("HMGET", self.k.optouts_ + account.encode(), *some) for account, some in fields.items()]
            for (account, some), found in zip(fields.items(), await self.ask(FRONT, b"".join(wire), len(wire)), strict=True):
                senders.update(zip(((account, to_hash) for to_hash in some), found, strict=True))
        return {
            account: (True, [_refuses(senders.get((account, to_hash)), sender) for sender, to_hash in some])
            if account in has_any
            else (False, [False] * len(some))
            for account, some in pairs.items()
        }

    # -- keys
    async def note_key_uses(self, uses: Mapping[str, int]) -> None:
        if uses:
            await self.ask(FRONT, resp.of("HSET", self.k.keyuses, *(p for pair in uses.items() for p in pair)), 1)

    async def key_uses(self) -> Mapping[str, int]:
        flat = (await self.ask(FRONT, resp.command(b"HGETALL", self.k.keyuses), 1))[0]
        return {n.decode(): int(at) for n, at in zip(flat[::2], flat[1::2], strict=True)}


def glob(beginning: bytes) -> bytes:
    """A pattern for keys that begin so; their own wildcards mean themselves."""
    return _WILD.sub(rb"\\\g<0>", beginning)


def _hour(k: Keys, at: int) -> bytes:
    """What was sent and used in the clock hour of `at`."""
    return k.conversions_ + b"%d" % (at // HOUR_MS)


def _refuses(senders: bytes | None, sender: str) -> bool:
    """`senders`: a line for each sender that the number stopped, an empty one for any."""
    if senders is None:
        return False
    lines = senders.decode().split("\n")[:-1]
    return "" in lines or (sender != "" and sender in lines)


# -- what goes with an admission -------------------------------------------------------------------------------------------


def extras_commands(k: Keys, items: Sequence[Admission], at: int) -> list[bytes]:
    """Tickets, codes and conversions of accepted sends, for the transaction that accepts them."""
    kept = [(i.id, i.extras) for i in items if i.extras is not None]
    wire = ticket_commands(k, [(message_id, e.ticket) for message_id, e in kept if e.ticket is not None])
    sent: dict[str, int] = {}
    for message_id, extras in kept:
        if extras.code is not None:
            wire += _code_commands(k, extras.code, message_id, extras.conversion, at)
        if extras.conversion:
            sent[extras.conversion] = sent.get(extras.conversion, 0) + 1
    wire += [resp.of("HINCRBY", _hour(k, at), f"sent:{name}", count) for name, count in sent.items()]
    if sent:
        wire.append(resp.command(b"EXPIRE", _hour(k, at), _CONVERSIONS_S))
    return wire


def ticket_commands(k: Keys, tickets: Sequence[tuple[str, Ticket]]) -> list[bytes]:
    """Tickets into their buckets, and aliases into the days of the ids they lead to."""
    buckets: dict[str, tuple[list[str], list[bytes]]] = {}
    days: dict[int, list[str]] = {}
    for message_id, ticket in tickets:
        ids, packed = buckets.setdefault(message_id[:BUCKET_CHARS], ([], []))
        ids.append(message_id)
        packed.append(records.pack(ticket))
        if ticket.alias:
            days.setdefault(alias_day(message_id), []).extend((ticket.alias, message_id))
    wire = [resp.hset_ids(k.ticket_ + bucket.encode(), *both) for bucket, both in buckets.items()]
    for day, pairs in days.items():
        wire += [resp.of("HSET", k.alias_ + b"%d" % day, *pairs), resp.of("SADD", k.aliases, day)]
    return wire


def alias_day(message_id: str) -> int:
    """The day under which a message's alias is kept."""
    return time_of(message_id) // DAY_MS


def _code_commands(k: Keys, code: Code, message_id: str, conversion: str, at: int) -> list[bytes]:
    """A new code in the old one's place. Its expiry is judged by the caller's time; the key's own only clears away."""
    key = k.code_ + code.subject.encode()
    fields = ("digest", code.digest, "left", code.tries, "expires_at", code.expires_at, "id", message_id)
    return [
        resp.of("HSET", key, *fields, "conversion", conversion),
        resp.of("PEXPIRE", key, max(0, code.expires_at - at) + _CODE_KEPT_MS),
    ]
