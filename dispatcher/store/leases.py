"""S9 over a server: who may write, and what the dead left in flight. Knows no queue order and no carrier."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence

from dispatcher.core.model import Message
from dispatcher.core.ports import CorruptRecord, EngineView, Owner
from dispatcher.store import records, resp
from dispatcher.store.accounts import DESK
from dispatcher.store.groups import Groups

LEASES = "leases"
"""Renewals have a line of their own: a lease must not run out behind a slow question."""


class Leases(Groups):
    """Leases and their fences."""

    async def take_lease(self, name: str, nonce: str, ttl_ms: int) -> Owner | None:
        token = f"{nonce}:{secrets.token_hex(6)}"
        raw = name.encode()
        keys = [self.k.lease_ + raw, self.k.fence_ + raw, self.k.engines]
        fence = await self.run(LEASES, "lease", keys, [nonce.encode(), b"%d" % ttl_ms, raw, token.encode()])
        if not fence:
            return None
        owner = Owner(name, fence)
        self.own(owner, token)
        return owner

    async def _renew(self, owner: Owner, nonce: str, ttl_ms: int) -> bool:
        raw = owner.name.encode()
        token = self.ownership(owner).token.encode()
        keys = [self.k.lease_ + raw, self.k.engines]
        return bool(await self.run(LEASES, "renew", keys, [nonce.encode(), b"%d" % ttl_ms, raw, token]))

    async def renew_lease(self, owner: Owner, nonce: str, ttl_ms: int) -> bool:
        return await self._renew(owner, nonce, max(1, ttl_ms))

    async def drop_lease(self, owner: Owner, nonce: str) -> None:
        await self._renew(owner, nonce, 0)

    async def engines(self) -> Sequence[EngineView]:
        k = self.k
        wire = resp.command(b"HKEYS", k.engines) + resp.command(b"HKEYS", k.inflight)
        names, fields = await self.ask(DESK, wire, 2)
        held: dict[str, int] = {n.decode(): 0 for n in names}
        ask = [resp.command(b"HSTRLEN", k.inflight, f) for f in fields]
        lengths = await self.ask(DESK, b"".join(ask), len(ask)) if ask else []
        for field, size in zip(fields, lengths, strict=True):
            name = field.decode().rsplit(".", 2)[0]
            held[name] = held.get(name, 0) + size // 26
        alive = await self._alive(held)
        return [EngineView(n, n in alive, held[n]) for n in sorted(held) if n in alive or held[n]]

    async def _alive(self, names: Iterable[str]) -> set[str]:
        """Those of these engines whose lease stands."""
        ordered = sorted(names)
        ask = [resp.command(b"EXISTS", self.k.lease_ + n.encode()) for n in ordered]
        lives = await self.ask(DESK, b"".join(ask), len(ask)) if ask else []
        return {n for n, stands in zip(ordered, lives, strict=True) if stands}

    async def batches_of(self, dead: str) -> list[tuple[bytes, bytes]]:
        """In-flight fields of an engine, with the ids in them, concatenated."""
        return [(field, ids) for name, field, ids in await self._in_flight() if name == dead]

    async def _in_flight(self) -> list[tuple[str, bytes, bytes]]:
        """All of them, with the engine's name before."""
        flat = (await self.ask(DESK, resp.command(b"HGETALL", self.k.inflight), 1))[0]
        return [(f.decode().rsplit(".", 2)[0], f, v) for f, v in zip(flat[::2], flat[1::2], strict=True)]

    async def orphans(self, dead: str) -> tuple[list[Message], set[str]]:
        ids = list(dict.fromkeys(i for _, batch in await self.batches_of(dead) for i in ids_of(batch)))
        found: list[Message] = []
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            heads, bodies = await self.read_ids(DESK, some, [self.k.head_, self.k.body_])
            for i in some:
                try:
                    message = records.message(i, heads.get(i), bodies.get(i), f"record {i}")
                except CorruptRecord:
                    await self.ask(DESK, resp.of("RPUSH", self.k.corrupt, i), 1)
                    continue
                if message is not None:
                    found.append(message)
        return found, await self._held_beside(dead, {m.id for m in found})  # asked after the heads, which guard the rest

    async def _held_beside(self, dead: str, ids: set[str]) -> set[str]:
        batches = await self._in_flight() if ids else []
        shared = [(name, also) for name, _, batch in batches if name != dead and (also := ids.intersection(ids_of(batch)))]
        alive = await self._alive({name for name, _ in shared})
        return {i for name, also in shared if name in alive for i in also}


def ids_of(batch: bytes) -> list[str]:
    """The ids of a concatenation."""
    text = batch.decode("ascii")
    return [text[i : i + 26] for i in range(0, len(text), 26)]
