"""Accounts, API keys, credits (S10) and what single records look like now. Knows no queue and no engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dispatcher.core.customer import Account, ApiKey, Balance
from dispatcher.core.front import CANCEL_WISH_MS, CANCEL_WISHES_MAX, CANCEL_WISHES_OF_ACCOUNT_MAX
from dispatcher.core.model import Message
from dispatcher.core.ports import CorruptRecord
from dispatcher.store import records, resp
from dispatcher.store.keys import IDEM_PERIODS, KEYS_S, Keys, check_name
from dispatcher.store.lines import Lines
from dispatcher.store.transport import Driver

DESK = "desk"
"""The line of what is rare: it may wait behind a slow question without holding up messages."""


def by_bucket(ids: Sequence[str]) -> dict[str, list[str]]:
    """Message ids by the bucket whose hashes hold them."""
    if ids and min(ids)[:6] == (bucket := max(ids)[:6]):
        return {bucket: list(ids)}  # what lies between two strings of one beginning has it too
    out: dict[str, list[str]] = {}
    for message_id in ids:
        bucket = message_id[:6]
        if bucket in out:
            out[bucket].append(message_id)
        else:
            out[bucket] = [message_id]
    return out


class RedisBase(Lines):
    """What every theme shares."""

    def __init__(
        self,
        driver: Driver,
        prefix: str = "sms:",
        *,
        partition: str = "p0",
        reservations: bool = False,
        timeout_s: float = 2.0,
        keys_s: int = KEYS_S,
    ) -> None:
        super().__init__(driver, Keys(prefix, partition, keys_s), timeout_s=timeout_s)
        self.partition = partition
        self.reservations = reservations

    async def read_ids(self, role: str, ids: Sequence[str], kinds: Sequence[bytes]) -> list[dict[str, bytes]]:
        """For each kind (`k.head_`, `k.body_`) the values that exist, by id. One write."""
        buckets = by_bucket(ids)
        wire = [resp.with_ids(b"HMGET", kind + b.encode(), some) for kind in kinds for b, some in buckets.items()]
        if not wire:
            return [{} for _ in kinds]
        replies = iter(await self.ask(role, b"".join(wire), len(wire)))
        out: list[dict[str, bytes]] = []
        for _ in kinds:
            found: dict[str, bytes] = {}
            for some in buckets.values():
                values = next(replies)
                if None in values:
                    found.update((i, v) for i, v in zip(some, values, strict=True) if v is not None)
                else:
                    found.update(zip(some, values, strict=True))
            out.append(found)
        return out


class Accounts(RedisBase):
    """Settings, keys, money and records, one at a time."""

    @property
    def _key_versions(self) -> bytes:
        return self.k.base + b"keyversions"

    async def put_account(self, account: Account) -> None:
        name = check_name(account.name).encode()
        money = self.k.acct_ + name
        wire = (
            resp.MULTI,
            resp.of("HSET", self.k.accounts, name, records.pack(account)),
            resp.of("HSETNX", money, "avail", 0),
            resp.of("HSETNX", money, "reserved", 0),
            resp.of("HSETNX", money, "currency", account.currency),
            resp.of("HSET", money, "floor", account.floor),
            resp.EXEC,
        )
        for result in (await self.ask(DESK, b"".join(wire), len(wire)))[-1]:
            resp.checked(result)

    async def account(self, name: str) -> Account | None:
        raw = (await self.ask(DESK, resp.of("HGET", self.k.accounts, name), 1))[0]
        return records.decode_account(raw, f"accounts {name}") if raw is not None else None

    async def accounts(self) -> Sequence[Account]:
        raw = (await self.ask(DESK, resp.of("HVALS", self.k.accounts), 1))[0]
        return sorted((records.decode_account(r, "accounts") for r in raw), key=lambda a: a.name)

    async def balance(self, account: str) -> Balance | None:
        wire = resp.of("HMGET", self.k.acct_ + account.encode(), "avail", "reserved", "floor", "currency")
        return _balance(account, (await self.ask(DESK, wire, 1))[0])

    async def credit(self, account: str, credit_id: str, amount: int, at: int) -> Balance | None:
        money = self.k.acct_ + account.encode()
        currency = (await self.ask(DESK, resp.of("HGET", money, "currency"), 1))[0]
        if currency is None:
            return None
        fact = records.credit_fact(account, credit_id, amount, currency.decode(), at)
        columns = records.COLUMNS["charges"].encode()
        arguments = [credit_id.encode(), b"%d" % amount, columns, records.pack([fact])]
        return _balance(account, await self.run(DESK, "credit", [self.k.credits, money, self.k.charges], arguments))

    async def put_key(self, key: ApiKey) -> None:
        wire = (
            resp.MULTI,
            resp.of("HSET", self.k.apikeys, key.id, records.pack(key)),
            resp.of("HINCRBY", self._key_versions, key.account, 1),
            resp.EXEC,
        )
        for result in (await self.ask(DESK, b"".join(wire), len(wire)))[-1]:
            resp.checked(result)

    async def key(self, key_id: str) -> ApiKey | None:
        raw = (await self.ask(DESK, resp.of("HGET", self.k.apikeys, key_id), 1))[0]
        return records.decode_api_key(raw, f"apikeys {key_id}") if raw is not None else None

    async def keys(self, account: str = "") -> Sequence[ApiKey]:
        raw = (await self.ask(DESK, resp.of("HVALS", self.k.apikeys), 1))[0]
        found = sorted((records.decode_api_key(r, "apikeys") for r in raw), key=lambda k: k.id)
        return [k for k in found if not account or k.account == account]

    async def account_keys(self, account: str) -> tuple[int, Sequence[ApiKey]]:
        version = (await self.ask(DESK, resp.of("HGET", self._key_versions, account), 1))[0]
        return int(version or 0), await self.keys(account)

    async def change_keys(self, account: str, version: int, keys: Sequence[ApiKey], gone: Sequence[str] = ()) -> bool:
        arguments = [account.encode(), b"%d" % version, b"%d" % len(gone), *(key_id.encode() for key_id in gone)]
        for key in keys:
            arguments += (key.id.encode(), records.pack(key))
        return bool(await self.run(DESK, "rekey", [self.k.apikeys, self._key_versions], arguments))

    async def messages(self, ids: Sequence[str]) -> list[Message | None]:
        out: list[Message | None] = []
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            heads, bodies = await self.read_ids(DESK, some, [self.k.head_, self.k.body_])
            out += [records.message(i, heads.get(i), bodies.get(i), f"record {i}") for i in some]
        return out

    async def heads(self, ids: Sequence[str]) -> list[Message | None]:
        out: list[Message | None] = []
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            heads = (await self.read_ids(DESK, some, [self.k.head_]))[0]
            out += [records.message(i, heads.get(i), None, f"record {i}") for i in some]
        return out

    async def find_key(self, account: str, key: str, at: int) -> str | None:
        field = f"{account}:{key}".encode()
        wire = b"".join(resp.of("HGET", self.k.idem(at, back), field) for back in range(IDEM_PERIODS))
        for known in await self.ask(DESK, wire, IDEM_PERIODS):
            if known is not None and not known.startswith(b"p"):
                return str(known[:26], "ascii")
        return None

    async def open_holds(self) -> Mapping[str, int]:
        """Money taken by admissions and groups not yet enqueued, by account, micro-units: what the audit adds."""
        rows = (await self.ask(DESK, resp.of("HVALS", self.k.holds), 1))[0]
        out: dict[str, int] = {}
        for row in rows:
            lines = row.decode().split("\n")
            count = int(lines[4])
            for i in range(5, 5 + 2 * count, 2):
                out[lines[i]] = out.get(lines[i], 0) + int(lines[i + 1])
        return out

    # -- operators
    async def control(self, carrier: str, bind: str, command: str) -> None:
        await self.ask(DESK, resp.of("HSET", self.k.controls, f"{carrier}:{bind}", command), 1)

    async def controls(self) -> Mapping[tuple[str, str], str]:
        flat = (await self.ask(DESK, resp.of("HGETALL", self.k.controls), 1))[0]
        wishes: dict[tuple[str, str], str] = {}
        for field, command in zip(flat[::2], flat[1::2], strict=True):
            carrier, _, bind = field.decode().partition(":")
            wishes[carrier, bind] = command.decode()
        return wishes

    async def wish_cancel(self, account: str, message_id: str, at: int) -> bool:
        keys = [self.k.wishes, self.k.wishes_ + account.encode(), self.k.wished]
        numbers = (at, CANCEL_WISH_MS, CANCEL_WISHES_OF_ACCOUNT_MAX, CANCEL_WISHES_MAX)
        return bool(await self.run(DESK, "wish", keys, [message_id.encode(), *(b"%d" % number for number in numbers)]))

    async def cancel_wishes(self, at: int) -> Sequence[str]:
        wire = resp.of("ZRANGEBYSCORE", self.k.wishes, f"({at - CANCEL_WISH_MS}", "+inf")
        return [message_id.decode() for message_id in (await self.ask(DESK, wire, 1))[0]]

    async def cancel_words(self, ids: Sequence[str], at: int) -> Mapping[str, bool]:
        wire = [resp.of("ZSCORE", key, i) for i in ids for key in (self.k.wishes, self.k.wished)]
        scores = await self.ask(DESK, b"".join(wire), len(wire)) if wire else []
        known = [score is not None and float(score) > at - CANCEL_WISH_MS for score in scores]
        return {i: ended for i, still, ended in zip(ids, known[::2], known[1::2], strict=True) if still or ended}

    async def end_cancel_wish(self, account: str, message_id: str, at: int) -> None:
        wire = (
            resp.of("ZADD", self.k.wished, at, message_id),
            resp.of("ZREMRANGEBYSCORE", self.k.wished, "-inf", at - CANCEL_WISH_MS),
            resp.of("ZREM", self.k.wishes, message_id),
            resp.of("ZREM", self.k.wishes_ + account.encode(), message_id),
        )
        await self.ask(DESK, b"".join(wire), len(wire))

    async def server_settings(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for row in (await self.ask(DESK, resp.of("INFO"), 1))[0].decode("utf-8", "replace").splitlines():
            name, colon, value = row.partition(":")
            if colon:
                found[name] = value
        found["version"] = found.get("valkey_version") or found.get("redis_version", "")
        try:
            wire = b"".join(resp.of("CONFIG", "GET", name) for name in _SETTINGS)
            for reply in await self.ask(DESK, wire, len(_SETTINGS)):
                found.update(_pairs(reply))
        except CorruptRecord:  # CONFIG is closed to us (ACL): preflight then judges what INFO says
            found.setdefault("appendonly", "yes" if found.get("aof_enabled") == "1" else "no")
        return found


_SETTINGS = ("appendonly", "appendfsync", "maxmemory", "maxmemory-policy", "save", "no-appendfsync-on-rewrite")


def _pairs(flat: Sequence[Any]) -> dict[str, str]:
    return {n.decode(): v.decode() for n, v in zip(flat[::2], flat[1::2], strict=True)}


def _balance(account: str, row: Sequence[bytes | None] | None) -> Balance | None:
    if row is None or row[0] is None:
        return None
    avail, reserved, floor, currency = row
    return Balance(account, int(avail or 0), int(reserved or 0), int(floor or 0), (currency or b"").decode())
