"""S6, S7, S8 and the takeover over a server: what changes messages that nobody owns. Knows versions, no states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dispatcher.core.model import Message
from dispatcher.core.ports import Deposed, Effects, Owner
from dispatcher.store import effects as written
from dispatcher.store import resp
from dispatcher.store.accounts import DESK
from dispatcher.store.hot import Hot
from dispatcher.store.keys import family_of
from dispatcher.store.leases import ids_of
from dispatcher.store.lines import SCRIPTS

RECEIPTS, REST = "receipts", "rest"
DUE_MAX = 500
TAKEOVER_TRIES_MAX = 20


class Rest(Hot):
    """Guarded commits: all heads as decided on, or nothing."""

    async def commit_receipts(self, effects: Effects) -> list[str]:
        return await self._commit(RECEIPTS, effects, in_flight=False)

    async def commit(self, effects: Effects) -> list[str]:
        return await self._commit(REST, effects, in_flight=True)

    async def _commit(self, role: str, effects: Effects, *, in_flight: bool) -> list[str]:
        line = self.line(role)
        wire = written.commands(self.k, effects)
        for carrier, rows in effects.correlations.items():
            before = self.correlation_commands(carrier, rows, effects)
            await self.ask(role, b"".join(before), len(before))
        async with line.lock:
            answer = await self._guarded(role, effects, resp.arguments_of(wire), in_flight=in_flight)
        return [i.decode() for i in answer] if isinstance(answer, list) else []

    async def _guarded(
        self,
        role: str,
        effects: Effects,
        arguments: Sequence[bytes],
        *,
        in_flight: bool,
        owner: Owner | None = None,
        fields: Sequence[bytes] = (),
    ) -> Any:
        """commit.lua, until it has answered; the line's lock is held. The number makes a repeat harmless."""
        line = self.line(role)
        k = self.k
        own = self.ownership(owner) if owner is not None else None
        keys = [
            k.done_ + f"{self.process}-{role}".encode(),
            k.rest,
            k.inflight,
            k.fence_ + (own.name.encode() if own else b"-"),
        ]
        head = [
            b"%d" % next(line.numbers),
            b"1" if in_flight else b"0",
            b"%d" % own.fence if own else b"",
            b"%d" % (len(fields) // 3),
            *fields,
        ]
        buckets = written.buckets(k, effects.heads)
        head.append(b"%d" % len(buckets))
        for bucket in buckets:
            head += (bucket.key, b"%d" % len(bucket.ids), bucket.expected)
            for message_id, value in zip(bucket.ids, bucket.values, strict=True):
                head += (message_id.encode(), value)
        wire = SCRIPTS["commit"].call(keys, [*head, *arguments])
        return resp.checked((await self.persist(line, wire, 1))[0])

    # -- S8
    async def move_due(self, at: int, limit: int) -> int:
        arguments = [b"%d" % at, b"%d" % min(limit, DUE_MAX), self.k.base]
        return int(await self.run(DESK, "due", [self.k.due, self.k.rings], arguments))

    # -- recovery
    async def take_over(self, owner: Owner, dead: str, requeue: Sequence[Message], effects: Effects) -> None:
        """See Store. What stands in the dead engine's batches beyond this call's messages stays there."""
        for _ in range(TAKEOVER_TRIES_MAX):
            batches = await self.batches_of(dead)
            held = {i for _, batch in batches for i in ids_of(batch)}
            stray = [h.id for h in effects.heads if h.id not in held]
            if stray:
                raise Deposed(f"{len(stray)} messages of {dead} are in other hands by now")
            handled = {m.id for m in requeue} | {h.id for h in effects.heads} | set(effects.settled)
            fields = await self._shrunk(batches, handled)
            back = [m for m in requeue if m.id in held and m.body is not None]
            wire = [*self._front(back), *written.commands(self.k, effects)]
            line = self.line(REST)
            async with line.lock:
                answer = await self._guarded(
                    REST, effects, resp.arguments_of(wire), in_flight=False, owner=owner, fields=fields
                )
            if answer == 1:
                return
            if answer != 2:
                raise Deposed(f"{dead} was taken over by another engine")
        raise Deposed(f"batches of {dead} keep moving: somebody else holds them")

    async def _shrunk(self, batches: Sequence[tuple[bytes, bytes]], handled: set[str]) -> list[bytes]:
        """Field, old and new value of the batches that get smaller; messages without any record go too."""
        ids = [i for _, batch in batches for i in ids_of(batch) if i not in handled]
        heads, bodies = await self.read_ids(DESK, ids, [self.k.head_, self.k.body_])
        fields: list[bytes] = []
        for field, batch in batches:
            left = [i for i in ids_of(batch) if i not in handled and (i in heads or i in bodies)]
            new = "".join(left).encode()
            if new != batch:
                fields += (field, batch, new)
        return fields

    def _front(self, requeue: Sequence[Message]) -> list[bytes]:
        """LPUSH of what goes back, so that the first of them is the first again."""
        k = self.k
        queues: dict[tuple[str, str], list[bytes]] = {}
        for message in reversed(requeue):
            body = message.body
            if body is not None:
                element = message.id if message.version == 0 else f"r{message.id}"
                queues.setdefault((family_of(body.route, body.lane), body.account), []).append(element.encode())
        wire: list[bytes] = []
        for (name, account), elements in queues.items():
            wire.append(resp.command(b"LPUSH", f"{k.queue_.decode()}{name}:{account}".encode(), *elements))
            wire.append(resp.command(b"ZADD", k.ring_ + name.encode(), b"NX", b"0", account.encode()))
            wire.append(resp.command(b"SADD", k.rings, name.encode()))
        return wire
