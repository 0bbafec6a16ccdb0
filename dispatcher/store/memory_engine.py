"""The in-memory store's leases, queues and commits: S3 to S9. Knows no admission and no carrier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dispatcher.core.model import Correlation, Lane, Message
from dispatcher.core.ports import DEAD_POPS_MAX, CorruptRecord, Deposed, Effects, EngineView, Owner, Queue, VersionedHead
from dispatcher.store import records
from dispatcher.store.memory_admission import MemoryAdmission
from dispatcher.store.memory_state import step

TURN = 50
POP_MAX = 500


class MemoryEngine(MemoryAdmission):
    """Ownership, the hot path and what changes at rest."""

    _batch = 0

    # -- S9
    @step
    async def take_lease(self, name: str, nonce: str, ttl_ms: int) -> Owner | None:
        if self.leases.get(name, nonce) != nonce:
            return None
        self.fences[name] = self.fences.get(name, 0) + 1
        self.leases[name] = self.takers[name] = nonce
        return Owner(name, self.fences[name])

    @step
    async def renew_lease(self, owner: Owner, nonce: str, ttl_ms: int) -> bool:
        if self.takers.get(owner.name) != nonce or self.leases.get(owner.name, nonce) != nonce:
            return False
        self.leases[owner.name] = nonce
        return True

    @step
    async def drop_lease(self, owner: Owner, nonce: str) -> None:
        if self.leases.get(owner.name) == nonce:
            del self.leases[owner.name]

    @step
    async def engines(self) -> Sequence[EngineView]:
        held: dict[str, int] = dict.fromkeys(self.leases, 0)
        for field, batch in self.inflight.items():
            name = field.rsplit(".", 2)[0]
            held[name] = held.get(name, 0) + len(batch)
        return [EngineView(n, self.alive(n), held[n]) for n in sorted(held)]

    # -- S3
    @step
    async def queues(self) -> Sequence[Queue]:
        found = [q for q, accounts in self.lists.items() if any(accounts.values())]
        return sorted(found, key=lambda q: (q.lane, q.route))

    @step
    async def depths(self) -> Mapping[Queue, int]:
        out: dict[Queue, int] = {}
        for queue, accounts in self.lists.items():
            count = sum(len([e for e in elements if e[0] != "@"]) for elements in accounts.values())
            for elements in accounts.values():
                for pointer in [e[1:] for e in elements if e[0] == "@"]:
                    group = self.groups[pointer]
                    count += len(group.members.get(queue, ())) + group.plan.members - group.expanded
            if count:
                out[queue] = count
        return out

    def _turn(self, queue: Queue, account: str, room: int) -> list[str]:
        """Up to `room` ids from one account's list, through pointers to groups."""
        elements = self.lists[queue][account]
        taken: list[str] = []
        while elements and len(taken) < room:
            element = elements[0]
            if element[0] != "@":
                taken.append(elements.popleft()[-26:])
                continue
            group = self.groups[element[1:]]
            members = group.members.get(queue)
            if members:
                taken.append(members.popleft())
            elif group.blobs:
                self.expand_blob(group)
            else:
                elements.popleft()
        return taken

    def _pop_ids(self, queues: Sequence[Queue], limit: int, at: int) -> list[str]:
        popped: list[str] = []
        turns = 0
        for queue in queues:
            ring, spent = self.rings.get(queue, {}), self.spent.setdefault(queue, {})
            while ring and len(popped) < limit:
                account = min(ring, key=lambda a: (ring[a], a))
                since = ring.pop(account)
                begun = spent.pop(account, 0)
                taken = self._turn(queue, account, min(TURN - begun, limit - len(popped)))
                popped += taken
                turns += 1
                if self.lists[queue][account]:
                    over = begun + len(taken) >= TURN
                    ring[account] = at + turns * 0.001 if over else since
                    if not over:
                        spent[account] = begun + len(taken)
                    if not taken:
                        break
                else:
                    del self.lists[queue][account]
        return popped

    @step
    async def pop(self, owner: Owner, queues: Sequence[Queue], limit: int, at: int) -> list[Message]:
        self.check(owner)
        self.now = max(self.now, at)
        found: list[Message] = []
        for _ in range(DEAD_POPS_MAX):
            ids = dict.fromkeys(self._pop_ids(queues, min(limit, POP_MAX), at))
            found = self._living(ids)
            if found or not ids:
                break
        if found:
            self._batch += 1
            self.inflight[f"{owner.name}.{owner.fence}.{self._batch}"] = {m.id: None for m in found}
        return found

    def _living(self, ids: Iterable[str]) -> list[Message]:
        found: list[Message] = []
        for message_id in ids:
            try:
                message = self.message(message_id)
            except CorruptRecord:
                self.corrupt.append(message_id)
                continue
            if message is not None and message.body is not None:
                found.append(message)
        return found

    # -- S4, S5
    @step
    async def write_ahead(self, owner: Owner, heads: Sequence[VersionedHead]) -> list[str]:
        self.check(owner)
        moved = [h.id for h in heads if h.version > 1 and self.heads_kept.get(h.id, (0, b""))[0] != h.version - 1]
        for h in heads:
            if h.id not in moved:
                self.heads_kept[h.id] = (h.version, records.head_bytes(h))
        return moved

    @step
    async def settle(self, owner: Owner, effects: Effects) -> None:
        self.check(owner)
        self.apply(effects)
        self.settle_ids(effects.settled, owner.name)

    # -- S6, S7
    @step
    async def correlate(self, carrier: str, carrier_ids: Sequence[str]) -> list[Correlation | None]:
        return [self.correlation(carrier, i) for i in carrier_ids]

    @step
    async def commit_receipts(self, effects: Effects) -> list[str]:
        moved = self.moved(effects)
        if not moved:
            self.apply(effects)
        return moved

    @step
    async def commit(self, effects: Effects) -> list[str]:
        held = {i for batch in self.inflight.values() for i in batch}
        moved = self.moved(effects)
        moved += [h.id for h in effects.heads if h.id in held and h.id not in moved]
        if not moved:
            self.apply(effects)
        return moved

    @step
    async def keep_correlations(self, carrier: str, rows: Sequence[tuple[str, Correlation]], at: int) -> None:
        self.correlated(carrier, rows)

    @step
    async def drop_correlations(self, carrier: str, carrier_ids: Sequence[str]) -> None:
        self.forget(carrier, carrier_ids)

    @step
    async def overdue_correlations(self, carrier: str, at: int, limit: int, reader: str = "") -> list[tuple[str, Correlation]]:
        found: list[tuple[str, Correlation]] = []
        for carrier_id, raw in self.corr.get(carrier, {}).items():
            row = records.decode_correlation(raw, f"corr {carrier}")
            if row.deadline_at <= at:
                found.append((carrier_id, row))
                if len(found) == limit:
                    break
        return found

    @step
    async def park_early(self, carrier: str, receipts: Sequence[tuple[str, bytes]]) -> None:
        self.early_rows.setdefault(carrier, {}).update(receipts)

    @step
    async def early(self, carrier: str, limit: int) -> list[tuple[str, bytes]]:
        return list(self.early_rows.get(carrier, {}).items())[:limit]

    @step
    async def early_count(self, carrier: str) -> int:
        return len(self.early_rows.get(carrier, {}))

    @step
    async def drop_early(self, carrier: str, fields: Sequence[str]) -> None:
        for field in fields:
            self.early_rows.get(carrier, {}).pop(field, None)

    # -- S8, recovery
    @step
    async def move_due(self, at: int, limit: int) -> int:
        ripe = sorted((m for m, due in self.due.items() if due <= at), key=lambda m: self.due[m])[:limit]
        for member in ripe:
            del self.due[member]
            route, lane, account, message_id = member
            self.enqueue(Queue(route, Lane(lane)), account, f"r{message_id}", at)
        return len(ripe)

    @step
    async def orphans(self, dead: str) -> tuple[list[Message], set[str]]:
        held: dict[str, list[str]] = {}
        for field, batch in self.inflight.items():
            held.setdefault(field.rsplit(".", 2)[0], []).extend(batch)
        found = [m for m in map(self.message, dict.fromkeys(held.pop(dead, ()))) if m is not None]
        beside = {i for name, ids in held.items() if name in self.leases for i in ids}
        return found, {m.id for m in found} & beside

    @step
    async def take_over(self, owner: Owner, dead: str, requeue: Sequence[Message], effects: Effects) -> None:
        self.check(owner)
        held = {i for field, batch in self.inflight.items() if field.rsplit(".", 2)[0] == dead for i in batch}
        stray = [h.id for h in effects.heads if h.id not in held] + self.moved(effects)
        if stray:
            raise Deposed(f"{len(stray)} messages of {dead} are in other hands by now")
        for message in reversed(requeue):
            if message.id in held and message.body is not None:
                body = message.body
                element = message.id if message.version == 0 else f"r{message.id}"
                self.enqueue(Queue(body.route, Lane(body.lane)), body.account, element, 0, front=True)
        self.apply(effects)
        done = {m.id for m in requeue} | {h.id for h in effects.heads} | set(effects.settled)
        gone = {i for i in held if i not in self.bodies and i not in self.heads_kept}
        self.settle_ids(done | gone, dead, every=True)
