"""Webhooks over a server: the queue of notices per message, when which target wants to be looked at, what is parked.

Knows no HTTP and no circuit. Every write is one script that compares what it changes (a cursor, the first of a list), so that
a lost reply is answered by doing it again, and that looks at the fence, so that a deposed process changes nothing.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from dispatcher.core import notices as rules
from dispatcher.core.notices import Notice, Parked, Settled
from dispatcher.core.ports import CorruptRecord, Cursor, Deposed, Owner
from dispatcher.store import records, resp
from dispatcher.store.accounts import RedisBase

NOTICES = "notices"
PAGE = 500


def cursor_text(cursor: Cursor) -> str:
    """A cursor as it is kept, "" before the first entry."""
    return f"{cursor.entry}:{cursor.done}" if cursor.entry or cursor.done else ""


def cursor_of(text: str) -> Cursor:
    """The cursor that was kept."""
    entry, _, done = text.rpartition(":")
    return Cursor(entry, int(done)) if text else Cursor("", 0)


class NoticeSteps(RedisBase):
    """NoticeStore over a server."""

    async def notice_cursor(self) -> Cursor:
        raw = (await self.ask(NOTICES, resp.command(b"GET", self.k.notice_cursor), 1))[0]
        return cursor_of((raw or b"").decode())

    async def queue_notices(
        self,
        owner: Owner,
        before: Cursor,
        after: Cursor,
        notices: Sequence[Notice],
        due: Sequence[int],
        messages_max: int = rules.TARGET_MESSAGES_MAX,
    ) -> None:
        k = self.k
        keys = [k.fence_ + owner.name.encode(), k.notice_cursor, k.notice_targets, k.notice_counts]
        keys += [k.notices_parked, k.notices_parked_at]
        arguments = [self._fence(owner), cursor_text(before).encode(), cursor_text(after).encode(), k.base]
        arguments += [b"%d" % messages_max, b"%d" % rules.PARKED_MAX]
        for notice, at in zip(notices, due, strict=True):
            arguments += (notice.message_id.encode(), rules.target_of(notice).encode(), b"%d" % at, b"%d" % notice.at)
            arguments += (notice.id.encode(), records.pack(notice))
        await self._owned_step("notice_queue", keys, arguments, owner)

    async def notice_targets(self, at: int, limit: int, skip: int = 0) -> list[str]:
        wire = resp.of("ZRANGEBYSCORE", self.k.notice_targets, "-inf", at, "LIMIT", skip, limit)
        return [name.decode() for name in (await self.ask(NOTICES, wire, 1))[0]]

    async def due_notices(
        self, wanted: Sequence[tuple[str, int]], at: int, held: Mapping[str, Container[str]] | None = None
    ) -> list[list[Notice]]:
        if not wanted:
            return []
        k = self.k
        wire = [resp.of("ZRANGEBYSCORE", k.notices_due_ + t.encode(), "-inf", at, "LIMIT", 0, n) for t, n in wanted]
        ids = await self.ask(NOTICES, b"".join(wire), len(wire))
        if held:
            ids = [[i for i in some if i.decode() not in held.get(t, ())] for (t, _), some in zip(wanted, ids, strict=True)]
        looks = [resp.command(b"LINDEX", k.notice_ + i, b"0") for some in ids for i in some]
        firsts = iter(await self.ask(NOTICES, b"".join(looks), len(looks)) if looks else [])
        out: list[list[Notice]] = []
        for (target, _), some in zip(wanted, ids, strict=True):
            found: list[Notice] = []
            for message_id in some:
                try:
                    found.append(records.decode_notice(next(firsts) or b"", "notice"))
                except CorruptRecord:
                    await self._set_aside(target.encode(), message_id)
            out.append(found)
        return out

    async def _set_aside(self, target: bytes, message_id: bytes) -> None:
        """What does not decode would stand first for ever: it stays where it is and is not looked at any more."""
        wire = resp.command(b"ZREM", self.k.notices_due_ + target, message_id)
        await self.ask(NOTICES, wire + resp.command(b"RPUSH", self.k.corrupt, self.k.notice_ + message_id), 2)

    async def settle_notices(self, owner: Owner, settled: Sequence[Settled], pauses: Sequence[tuple[str, int]]) -> None:
        k = self.k
        keys = [k.fence_ + owner.name.encode(), k.notice_targets, k.notice_counts, k.notices_parked, k.notices_parked_at]
        arguments = [self._fence(owner), k.base, b"%d" % rules.PARKED_MAX, b"%d" % len(settled)]
        targets: dict[str, int] = {}
        for notice, fate, at, kept in settled:
            target = rules.target_of(notice)
            targets[target] = 0
            arguments += (notice.message_id.encode(), target.encode(), records.pack(notice), fate.encode(), b"%d" % at)
            arguments += (notice.id.encode(), b"" if fate == "gone" else records.pack(kept))
        targets.update(pauses)
        for target, until in targets.items():
            arguments += (target.encode(), b"%d" % until)
        await self._owned_step("notice_settle", keys, arguments, owner)

    async def parked_notices(self, limit: int, account: str = "") -> list[Parked]:
        k = self.k
        found: list[Parked] = []
        start = 0
        while len(found) < limit:
            wire = resp.of("ZRANGE", k.notices_parked_at, start, start + PAGE - 1, "WITHSCORES")
            flat = (await self.ask(NOTICES, wire, 1))[0]
            if not flat:
                break
            start += PAGE
            values = (await self.ask(NOTICES, resp.command(b"HMGET", k.notices_parked, *flat[::2]), 1))[0]
            for raw, at in zip(values, flat[1::2], strict=True):
                if raw is not None:  # requeued between the two questions
                    notice = records.decode_notice(raw, "parked")
                    if not account or notice.account == account:
                        found.append(Parked(notice, int(float(at))))
        return found[:limit]

    async def requeue_notices(self, ids: Sequence[str]) -> int:
        k = self.k
        keys = [k.notices_parked, k.notices_parked_at, k.notices_again, k.notice_counts]
        count = 0
        for start in range(0, len(ids), PAGE):
            count += await self.run(NOTICES, "notice_again", keys, [i.encode() for i in ids[start : start + PAGE]])
        return count

    async def requeued_notices(self, limit: int) -> list[Notice]:
        wire = resp.of("LRANGE", self.k.notices_again, 0, limit - 1)
        found: list[Notice] = []
        for raw in (await self.ask(NOTICES, wire, 1))[0]:
            try:
                found.append(records.decode_notice(raw, "again"))
            except CorruptRecord:
                aside = resp.of("LREM", self.k.notices_again, 1, raw) + resp.command(b"RPUSH", self.k.corrupt, raw)
                await self.ask(NOTICES, aside, 2)
        return found

    async def replay_notices(self, owner: Owner, notices: Sequence[tuple[Notice, bool]], at: int) -> None:
        k = self.k
        keys = [k.fence_ + owner.name.encode(), k.notices_again, k.notice_targets, k.notice_counts]
        arguments = [self._fence(owner), k.base, b"%d" % at]
        for notice, wanted in notices:
            arguments += (records.pack(notice), notice.message_id.encode(), rules.target_of(notice).encode())
            arguments.append(records.pack(rules.fresh(notice)) if wanted else b"")
        await self._owned_step("notice_replay", keys, arguments, owner)

    async def notice_counts(self) -> tuple[int, int]:
        waiting, parked = (await self.ask(NOTICES, resp.of("HMGET", self.k.notice_counts, "waiting", "parked"), 1))[0]
        return int(waiting or 0), int(parked or 0)

    def _fence(self, owner: Owner) -> bytes:
        return b"%d" % self.ownership(owner).fence

    async def _owned_step(self, name: str, keys: Sequence[bytes], arguments: Sequence[bytes], owner: Owner) -> None:
        if not await self.run(NOTICES, name, keys, arguments):
            raise Deposed(f"fence of {owner.name} moved past {owner.fence}, or its cursor is elsewhere")
