"""S3, S4, S5 over a server: pop, write ahead, settle. Knows batches in flight and no decision.

A popped batch is a field of `inflight`. It shrinks with every settle, so that what stands in it is exactly what its
owner may write, and a takeover never meets a message that was settled long ago.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from dispatcher.core.model import LANE_BY_NAME, Body, Message
from dispatcher.core.ports import DEAD_POPS_MAX, CorruptRecord, Effects, Owner, Queue, StoreUnavailable, VersionedHead
from dispatcher.store import effects as written
from dispatcher.store import records, resp
from dispatcher.store.accounts import DESK
from dispatcher.store.correlations import Correlations
from dispatcher.store.keys import family
from dispatcher.store.leases import ids_of
from dispatcher.store.lines import PAUSE_FIRST_S, PAUSE_MAX_S, SCRIPTS, Line
from dispatcher.store.transport import ConnectionLost

TURN = 50
POP_MAX = 500
STEP_HEADS_MAX = 500
POP, READ, AHEAD, SETTLE = "pop", "read", "ahead", "settle"


class _Batch:
    """One popped batch: its field, and what of it is not settled yet, in order."""

    __slots__ = ("field", "left")

    def __init__(self, field: bytes, ids: Sequence[str]) -> None:
        self.field = field
        self.left = dict.fromkeys(ids)


class Hot(Correlations):
    """The engine's path."""

    _batches: dict[str, _Batch]
    _seconds: dict[str, list[_Batch]]
    """Further batches of a message that was popped again while it was in flight: each pop is settled once."""

    async def queues(self) -> Sequence[Queue]:
        found = await self._families_now()
        wire = [resp.command(b"EXISTS", self.k.ring_ + family(q).encode()) for q in found]
        alive = await self.ask(DESK, b"".join(wire), len(wire)) if wire else []
        return [q for q, here in zip(found, alive, strict=True) if here]

    async def _families_now(self) -> list[Queue]:
        names = (await self.ask(DESK, resp.command(b"SMEMBERS", self.k.rings), 1))[0]
        pairs = [n.decode().rpartition(":") for n in names]
        return sorted((Queue(r, LANE_BY_NAME[lane]) for r, _, lane in pairs), key=lambda q: (q.lane, q.route))

    async def depths(self) -> Mapping[Queue, int]:
        out: dict[Queue, int] = {}
        for queue in await self._families_now():
            name = family(queue).encode()
            accounts = (await self.ask(DESK, resp.command(b"ZRANGE", self.k.ring_ + name, b"0", b"-1"), 1))[0]
            for start in range(0, len(accounts), 500):
                some = accounts[start : start + 500]
                wire = [resp.command(b"LLEN", b"%b%b:%b" % (self.k.queue_, name, a)) for a in some]
                out[queue] = out.get(queue, 0) + sum(await self.ask(DESK, b"".join(wire), len(wire)))
        by_name = {family(q): q for q in out}
        for pointer in (await self.ask(DESK, resp.command(b"SMEMBERS", self.k.pointers), 1))[0]:
            group_id, _, name = pointer.decode().partition(" ")
            wire2 = resp.command(b"LLEN", self.k.members_ + f"{group_id}:{name}".encode())
            wire2 += resp.of("HMGET", self.k.group_ + group_id.encode(), "members", "written")
            listed, row = await self.ask(DESK, wire2, 2)
            if name in by_name and row[0] is not None:
                out[by_name[name]] += listed + int(row[0]) - int(row[1]) - 1
        return {q: n for q, n in out.items() if n > 0}

    # -- S3
    async def pop(self, owner: Owner, queues: Sequence[Queue], limit: int, at: int) -> list[Message]:
        line = self.line(POP)
        limit = min(limit, POP_MAX)
        dead = 0
        while True:
            async with line.lock:
                field = f"{owner.name}.{owner.fence}.{self.process}{next(line.numbers)}".encode()
                elements, grow = await self._pop(line, owner, field, queues, limit, at)
                found = await self._read_popped(field, elements)
            if found:
                return found
            if grow:
                for group_id in dict.fromkeys(grow):
                    await self.expand(owner, group_id.decode())
                continue
            dead += 1
            if not elements or dead == DEAD_POPS_MAX:
                return found

    async def _pop(
        self, line: Line, owner: Owner, field: bytes, queues: Sequence[Queue], limit: int, at: int
    ) -> tuple[list[bytes], list[bytes]]:
        """Elements now in flight, and groups in the way. After a lost reply the field tells."""
        own = self.ownership(owner)
        k = self.k
        keys = [k.fence_ + owner.name.encode(), k.inflight, k.expanding, k.pointers, k.withdrawn]
        tail = [field, b"%d" % limit, b"%d" % at, b"%d" % TURN, k.base, *(family(q).encode() for q in queues)]
        pause = PAUSE_FIRST_S
        while True:
            try:
                if line.doubtful:
                    await self.check_fence(line, own, up=True)
                    line.doubtful = False
                    kept = resp.checked((await line.exchange(resp.command(b"HGET", k.inflight, field), 1))[0])
                    if kept is not None:
                        # fresh or not is unknown by now: heads are read for all of them
                        return [b"r" + i.encode() for i in ids_of(kept)], []
                wire = SCRIPTS["pop"].call(keys, [b"%d" % own.fence, *tail])
                reply = (await self.persist_once(line, wire))[0]
                self.note(available=True)
                if reply is not None:
                    self.admitted.popped(reply[2])
                    return reply[0], reply[1]
                await self.check_fence(line, own, up=False)
            except StoreUnavailable:
                if not line.doubtful:
                    raise
                await self.driver.sleep(pause)  # refused, and what became of the lost try is not known yet
            except ConnectionLost:
                self.note(available=False)
                self.admitted.forget()
                await self.driver.sleep(pause)
                pause = min(2 * pause, PAUSE_MAX_S)

    async def persist_once(self, line: Line, wire: bytes) -> list[Any]:
        """One script call; loads the scripts anew if the server forgot them. Raises ConnectionLost."""
        replies = await line.exchange(wire, 1)
        if resp.is_noscript(replies[0]):
            await self._reload(line)
            replies = await line.exchange(wire, 1)
        return [resp.checked(replies[0])]

    async def _read_popped(self, field: bytes, elements: Sequence[bytes]) -> list[Message]:
        """The popped messages, whatever it takes: they are in flight under our name already."""
        pause = PAUSE_FIRST_S
        while True:
            try:
                return await self._read_batch(field, elements)
            except StoreUnavailable:
                await self.driver.sleep(pause)
                pause = min(2 * pause, PAUSE_MAX_S)

    async def _read_batch(self, field: bytes, elements: Sequence[bytes]) -> list[Message]:
        """Bodies, as far as they are not known from their admission here, and heads where there are some. No body: final
        meanwhile, settled here."""
        if not elements:
            return []
        ids: list[str] = []
        again: list[str] = []
        for text in b" ".join(elements).decode("ascii").split(" "):
            if len(text) == 26:
                ids.append(text)
            else:
                ids.append(text[-26:])
                again.append(text[-26:])
        known = self.admitted.take(dict.fromkeys(ids) if not again else set(ids).difference(again))
        if len(known) == len(ids):
            corrupt: list[str] = []
            found = [Message(i, 0, None, body) for i, body in known.items()]
        else:
            bodies = (await self.read_ids(READ, [i for i in ids if i not in known], [self.k.body_]))[0]
            heads = (await self.read_ids(READ, again, [self.k.head_]))[0] if again else {}
            found, corrupt = _decoded(ids, bodies, heads, known)
        if corrupt:
            await self.ask(DESK, resp.of("RPUSH", self.k.corrupt, *corrupt), 1)
        if not found:
            await self.ask(DESK, resp.command(b"HDEL", self.k.inflight, field), 1)
            return []
        batch = _Batch(field, [m.id for m in found])
        batches = self._batches
        if batches.keys().isdisjoint(batch.left):
            batches.update(dict.fromkeys(batch.left, batch))
            return found
        for m in found:
            if m.id in batches:
                self._seconds.setdefault(m.id, []).append(batch)
            else:
                batches[m.id] = batch
        return found

    def _release(self, ids: Sequence[str]) -> list[tuple[str, _Batch]]:
        """Takes messages out of the batches in which they are in flight, of several the oldest."""
        batches, seconds = self._batches, self._seconds
        if not seconds:
            taken = [(i, batches.pop(i)) for i in ids if i in batches]
            for i, batch in taken:
                del batch.left[i]
            return taken
        taken = []
        for i in ids:
            if i not in batches:
                continue
            batch = batches.pop(i)
            del batch.left[i]
            taken.append((i, batch))
            if i in seconds:
                more = seconds[i]
                batches[i] = more.pop(0)
                if not more:
                    del seconds[i]
        return taken

    def _retake(self, taken: Sequence[tuple[str, _Batch]]) -> None:
        """Undoes a release."""
        for i, batch in reversed(taken):
            batch.left[i] = None
            if i in self._batches:
                self._seconds.setdefault(i, []).insert(0, self._batches[i])
            self._batches[i] = batch

    # -- S4, S5
    async def write_first(self, owner: Owner, heads: Sequence[VersionedHead]) -> None:
        """S4 of messages that have no head yet."""
        for start in range(0, len(heads), STEP_HEADS_MAX):
            some = heads[start : start + STEP_HEADS_MAX]
            await self.fenced(AHEAD, owner, written.head_commands(self.k, some))

    async def settle(self, owner: Owner, effects: Effects) -> None:
        before = await self.carriers_side(effects)
        wire = written.head_commands(self.k, effects.heads)
        wire += written.commands(self.k, effects)
        taken = self._release(effects.settled)
        for batch in {batch.field: batch for _, batch in taken}.values():
            if batch.left:
                left = "".join(batch.left).encode()
                wire.append(resp.command(b"HSET", self.k.inflight, batch.field, left))
            else:
                wire.append(resp.command(b"HDEL", self.k.inflight, batch.field))
        try:
            await self.fenced(SETTLE, owner, wire, before)
        except BaseException:
            self._retake(taken)  # not applied, or not known: the batch stands in flight as it was
            raise


def _decoded(
    ids: Sequence[str], bodies: Mapping[str, bytes], heads: Mapping[str, bytes], known: Mapping[str, Body]
) -> tuple[list[Message], list[str]]:
    """The messages of the ids that have a body, each once; and the ids of those whose record does not decode. `known`: the
    bodies of those that were not read."""
    unique = dict.fromkeys(ids)
    decode = records.decode_body
    if not heads and not known:
        fast = records.body_decoder
        try:
            return [Message(i, 0, None, fast(bodies[i])) for i in unique if i in bodies], []
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # one of them; below it costs only itself
    found: list[Message] = []
    corrupt: list[str] = []
    for i in unique:
        if i in known:
            found.append(Message(i, 0, None, known[i]))
            continue
        raw = bodies.get(i)
        if raw is None:
            continue
        try:
            head = heads.get(i)
            if head is None:
                found.append(Message(i, 0, None, decode(raw, i)))
            else:
                version, decoded = records.decode_head(head, i)
                found.append(Message(i, version, decoded, decode(raw, i)))
        except CorruptRecord:
            corrupt.append(i)
    return found, corrupt
