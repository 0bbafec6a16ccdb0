"""The in-memory store's part for webhooks: lists of notices per message, due times per target, what is parked."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Mapping, Sequence
from typing import Any

from dispatcher.core import notices as rules
from dispatcher.core.notices import Notice, Parked, Settled
from dispatcher.core.ports import Cursor, Deposed, Owner
from dispatcher.store import records
from dispatcher.store.memory_state import MemoryState, step


class MemoryNotices(MemoryState):
    """NoticeStore in memory."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.notice_position = Cursor("", 0)
        self.notice_lists: dict[str, deque[bytes]] = {}
        self.notices_due: dict[str, dict[str, int]] = {}
        self.notice_looks: dict[str, int] = {}
        self.parked: dict[str, tuple[int, bytes]] = {}
        self.again: deque[bytes] = deque()

    @step
    async def notice_cursor(self) -> Cursor:
        return self.notice_position

    @step
    async def queue_notices(
        self,
        owner: Owner,
        before: Cursor,
        after: Cursor,
        notices: Sequence[Notice],
        due: Sequence[int],
        messages_max: int = rules.TARGET_MESSAGES_MAX,
    ) -> None:
        self.check(owner)
        if self.notice_position == after and before != after:
            return
        if self.notice_position != before:
            raise Deposed(f"the cursor is at {self.notice_position.entry}")
        for notice, look in zip(notices, due, strict=True):
            waiting = self.notices_due.get(rules.target_of(notice), {})
            if len(waiting) < messages_max or notice.message_id in waiting:
                self._append(notice, notice.at, look)
            else:
                self.parked[notice.id] = (notice.at, records.pack(notice))
        self._bound_parked()
        self.notice_position = after

    def _append(self, notice: Notice, at: int, look: int) -> None:
        waiting = self.notice_lists.setdefault(notice.message_id, deque())
        waiting.append(records.pack(notice))
        if len(waiting) == 1:
            target = rules.target_of(notice)
            self.notices_due.setdefault(target, {})[notice.message_id] = at
            self.notice_looks[target] = min(look, self.notice_looks.get(target, look))

    @step
    async def notice_targets(self, at: int, limit: int, skip: int = 0) -> list[str]:
        found = sorted((look, target) for target, look in self.notice_looks.items() if look <= at)
        return [target for _, target in found[skip : skip + limit]]

    @step
    async def due_notices(
        self, wanted: Sequence[tuple[str, int]], at: int, held: Mapping[str, Container[str]] | None = None
    ) -> list[list[Notice]]:
        out: list[list[Notice]] = []
        for target, limit in wanted:
            due = sorted((when, i) for i, when in self.notices_due.get(target, {}).items() if when <= at)
            some = [i for _, i in due[:limit] if i not in (held or {}).get(target, ())]
            out.append([records.decode_notice(self.notice_lists[i][0], i) for i in some])
        return out

    @step
    async def settle_notices(self, owner: Owner, settled: Sequence[Settled], pauses: Sequence[tuple[str, int]]) -> None:
        self.check(owner)
        targets: dict[str, int] = {}
        for one in settled:
            target = rules.target_of(one.notice)
            targets[target] = 0
            self._settle(one, self.notices_due.get(target, {}))
        self._bound_parked()
        targets.update(pauses)
        for target, until in targets.items():
            due = self.notices_due.get(target)
            if due:
                self.notice_looks[target] = max(min(due.values()), until)
            else:
                self.notices_due.pop(target, None)
                self.notice_looks.pop(target, None)

    def _bound_parked(self) -> None:
        while len(self.parked) > rules.PARKED_MAX:
            del self.parked[min(self.parked, key=lambda i: self.parked[i][0])]

    def _settle(self, one: Settled, due: dict[str, int]) -> None:
        notice, fate, at, kept = one
        waiting = self.notice_lists.get(notice.message_id)
        if not waiting or waiting[0] != records.pack(notice):
            return
        if fate == "later":
            waiting[0] = records.pack(kept)
        else:
            waiting.popleft()
            if fate == "parked":
                self.parked[notice.id] = (at, records.pack(kept))
        if waiting:
            due[notice.message_id] = at
        else:
            del self.notice_lists[notice.message_id]
            due.pop(notice.message_id, None)

    @step
    async def parked_notices(self, limit: int, account: str = "") -> list[Parked]:
        rows = sorted((at, i, raw) for i, (at, raw) in self.parked.items())
        found = [Parked(records.decode_notice(raw, i), at) for at, i, raw in rows]
        return [p for p in found if not account or p.notice.account == account][:limit]

    @step
    async def requeue_notices(self, ids: Sequence[str]) -> int:
        found = [self.parked.pop(i)[1] for i in dict.fromkeys(ids) if i in self.parked]
        self.again.extend(found)
        return len(found)

    @step
    async def requeued_notices(self, limit: int) -> list[Notice]:
        return [records.decode_notice(raw, "again") for raw in list(self.again)[:limit]]

    @step
    async def replay_notices(self, owner: Owner, notices: Sequence[tuple[Notice, bool]], at: int) -> None:
        self.check(owner)
        for notice, wanted in notices:
            if self.again and self.again[0] == records.pack(notice):
                self.again.popleft()
                if wanted:
                    self._append(rules.fresh(notice), at, at)

    @step
    async def notice_counts(self) -> tuple[int, int]:
        return sum(map(len, self.notice_lists.values())) + len(self.again), len(self.parked)
