"""S6, S7, S8 and the takeover over a server: what changes messages that nobody owns. Knows versions, no states.

The guarded commit has two ways behind one call. Both are one write.

*Guard and plain*, for receipts: WATCH a counter that every writer at rest raises, a script with ids and versions only, then
MULTI, the effects as plain commands, EXEC. A guard that fails changes the counter itself, so that the EXEC fails. Between
guard and EXEC nobody else can write these heads: they are at rest, in no queue and not due, so that only writers at rest may,
and those raise the counter.

*Whole script*, for everything else, and when the first way was lost or met a rival: guard and effects in one script, which
also knows by its number whether it, or the write that was lost, has been applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dispatcher.core.model import Message
from dispatcher.core.ports import Deposed, Effects, Owner, VersionedHead
from dispatcher.store import effects as written
from dispatcher.store import resp
from dispatcher.store.accounts import DESK
from dispatcher.store.hot import Hot
from dispatcher.store.keys import family_of
from dispatcher.store.leases import ids_of
from dispatcher.store.lines import SCRIPTS, Line, applied
from dispatcher.store.transport import ConnectionLost

RECEIPTS, REST = "receipts", "rest"
DUE_MAX = 500
TAKEOVER_TRIES_MAX = 20
_MARKER_S = b"604800"


class Rest(Hot):
    """Guarded commits: all heads as decided on, or nothing."""

    whole_commits = False
    """True: always the whole script."""

    async def write_ahead(self, owner: Owner, heads: Sequence[VersionedHead]) -> list[str]:
        again = [h for h in heads if h.version > 1]
        if not again:
            await self.write_first(owner, heads)
            return []
        moved: list[str] = []
        while again:
            effects = Effects()
            effects.heads = again
            async with self.line(REST).lock:
                answer = await self._guarded(REST, effects, (), in_flight=False, owner=owner)
            if not isinstance(answer, list):
                break
            moved += [i.decode() for i in answer]
            again = [h for h in again if h.id not in moved]
        if again and answer != 1:
            raise Deposed(f"{owner.name}: its work was taken over")
        await self.write_first(owner, [h for h in heads if h.version <= 1])
        return moved

    async def commit_receipts(self, effects: Effects) -> list[str]:
        return await self._commit(RECEIPTS, effects, in_flight=False)

    async def commit(self, effects: Effects) -> list[str]:
        return await self._commit(REST, effects, in_flight=True)

    async def _commit(self, role: str, effects: Effects, *, in_flight: bool) -> list[str]:
        line = self.line(role)
        wire = written.commands(self.k, effects)
        before = await self.carriers_side(effects)
        plain = bool(effects.heads) and not in_flight and not self.whole_commits
        if before and (effects.correlations or not plain):
            await self.ask(role, b"".join(before), len(before))
            before = []
        async with line.lock:
            number = b"%d" % next(line.numbers)
            answer = None
            if plain:
                answer = await self._plain(line, effects, before, wire, number)
            if answer is None:
                answer = await self._guarded(role, effects, resp.arguments_of(wire), in_flight=in_flight, number=number)
        return [i.decode() for i in answer] if isinstance(answer, list) else []

    async def _plain(self, line: Line, effects: Effects, before: Sequence[bytes], wire: Sequence[bytes], number: bytes) -> Any:
        """Guard and plain effects, tried once; the line's lock is held. None: a rival was faster, or the reply was lost.
        What stands before may then be missing: correlations of final messages are left, which expire by themselves."""
        k = self.k
        keys, expected = written.expected(k, effects.heads)
        after = [
            *written.head_commands(k, effects.heads),
            *wire,
            resp.command(b"SET", self._done(line.role), number, b"EX", _MARKER_S),
            resp.command(b"INCR", k.rest),
            resp.EXEC,
        ]
        guard = SCRIPTS["guard"].call_text([k.rest, *keys], expected)
        try:
            whole = (*before, resp.command(b"WATCH", k.rest), guard, resp.MULTI, *after)
            replies = await line.exchange(b"".join(whole), len(whole))
        except ConnectionLost:
            self.note(available=False)
            return None
        self.note(available=True)
        if isinstance(moved := resp.checked(replies[len(before) + 1]), list):
            return moved
        return 1 if applied(replies, len(before) + 1, len(replies) - 1) else None

    def _done(self, role: str) -> bytes:
        return self.k.done_ + f"{self.process}-{role}".encode()

    async def _guarded(
        self,
        role: str,
        effects: Effects,
        arguments: Sequence[bytes],
        *,
        in_flight: bool,
        number: bytes = b"",
        owner: Owner | None = None,
        fields: Sequence[bytes] = (),
    ) -> Any:
        """commit.lua, until it has answered; the line's lock is held. The number (a new one unless given) makes a
        repeat harmless."""
        line = self.line(role)
        k = self.k
        own = self.ownership(owner) if owner is not None else None
        keys = [
            self._done(role),
            k.rest,
            k.inflight,
            k.fence_ + (own.name.encode() if own else b"-"),
            k.withdrawn,
        ]
        head = [
            number or b"%d" % next(line.numbers),
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
