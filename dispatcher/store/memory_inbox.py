"""Handsets' messages in memory: as store/inbox.py, without a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dispatcher.core.inbox import InboxMessage, Kept, OptChange, OptOut, Overdue, Piece, Received
from dispatcher.core.model import InboundRow
from dispatcher.store import records
from dispatcher.store.inbox import COMPLETE_MS, DIGESTS_MAX
from dispatcher.store.memory_front import MemoryFront
from dispatcher.store.memory_state import step


class Waiting:
    """The parts of one message, by their place, and when the first came."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.pieces: dict[int, Piece] = {}
        self.complete_at = -1


class MemoryInbox(MemoryFront):
    """InboxStore in memory."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.waiting: dict[str, Waiting] = {}
        self.joined: dict[str, tuple[int, bytes]] = {}
        self.inboxes: dict[str, dict[int, InboundRow]] = {}
        self.unread: dict[str, dict[int, None]] = {}
        self.last_numbers: dict[str, int] = {}

    @step
    async def keep_parts(self, pieces: Sequence[Piece], at: int) -> list[Kept]:
        out: list[Kept] = []
        given: set[str] = set()
        for piece in pieces:
            name, digest = piece.name, piece.digest
            digests = self.joined.get(name, (0, b""))[1]
            if digest in [digests[i : i + 8] for i in range(0, len(digests), 8)]:
                out.append(Kept("repeat"))
                continue
            waiting = self.waiting.setdefault(name, Waiting(at))
            known = waiting.pieces.get(piece.index)
            waiting.pieces.setdefault(piece.index, piece)
            whole: Sequence[Piece] = ()
            if name not in given and len(waiting.pieces) == piece.total:
                given.add(name)
                waiting.complete_at = at if waiting.complete_at < 0 else waiting.complete_at
                whole = list(waiting.pieces.values())
            out.append(Kept("kept" if known is None else "repeat" if known.digest == digest else "conflict", whole))
        return out

    @step
    async def receive(self, messages: Sequence[Received], at: int, messages_max: int) -> list[bool]:
        return [self._receive(message, at, messages_max) for message in messages]

    def _receive(self, message: Received, at: int, messages_max: int) -> bool:
        row, name = message.row, message.name
        if name:
            waiting = self.waiting.get(name)
            if waiting is None or len(waiting.pieces) != row.parts:
                return False
            del self.waiting[name]
            self.joined.pop(name, None)
            self.joined[name] = (at, message.digests)
            while len(self.joined) > DIGESTS_MAX:
                del self.joined[next(iter(self.joined))]
        self.write_rows("inbound", [row])
        if row.account:
            number = self.last_numbers[row.account] = self.last_numbers.get(row.account, 0) + 1
            rows, unread = self.inboxes.setdefault(row.account, {}), self.unread.setdefault(row.account, {})
            rows[number] = records.decode_inbound(records.pack(row), row.account)
            unread[number] = None
            while len(rows) > messages_max:
                oldest = next(iter(rows))
                del rows[oldest]
                unread.pop(oldest, None)
        for change in message.changes:
            self._change(change)
        return True

    def _change(self, change: OptChange) -> None:
        if change.account not in self.money:
            return
        numbers = self.optouts.setdefault(change.account, {})
        senders = numbers.setdefault(change.to_hash, set())
        if change.out:
            senders.add(change.sender)
        elif change.sender:
            senders.discard(change.sender)
        else:
            senders.clear()
        if not senders:
            del numbers[change.to_hash]

    @step
    async def ripe_parts(self, at: int, overdue: Overdue, limit: int) -> list[Sequence[Piece]]:
        by_age = sorted(self.waiting.items(), key=lambda item: item[1].at)
        ripe = {n: w for n, w in by_age if 0 <= w.complete_at <= at - COMPLETE_MS or w.at < overdue.before}
        for carrier in ("", *{self._carrier(w) for _, w in by_age}):
            own = [(n, w) for n, w in by_age if carrier in {"", self._carrier(w)}]
            over = sum(len(w.pieces) for _, w in own) - (overdue.carrier_parts_max if carrier else overdue.parts_max)
            for name, waiting in own:
                if over <= 0:
                    break
                ripe[name] = waiting
                over -= len(waiting.pieces)
        return [list(w.pieces.values()) for w in list(ripe.values())[:limit]]

    def _carrier(self, waiting: Waiting) -> str:
        return next(iter(waiting.pieces.values())).carrier

    @step
    async def parts_waiting(self) -> int:
        return sum(len(w.pieces) for w in self.waiting.values())

    @step
    async def sweep_inbox(self, at: int, keep_ms: int, digests_ms: int) -> int:
        self.joined = {n: j for n, j in self.joined.items() if j[0] >= at - digests_ms}
        count = 0
        for account, rows in self.inboxes.items():
            old = [n for n, row in rows.items() if row.at < at - keep_ms]
            for number in [n for n in rows if old and n <= old[-1]]:
                del rows[number]
                self.unread[account].pop(number, None)
                count += 1
        return count

    @step
    async def inbox(self, account: str, after: int, limit: int, *, unread: bool = False) -> list[InboxMessage]:
        rows = self.inboxes.get(account, {})
        numbers = self.unread.get(account, {}) if unread else rows
        return [InboxMessage(n, rows[n]) for n in numbers if n > after][:limit]

    @step
    async def mark_read(self, account: str, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.unread.get(account, {}).pop(number, None)

    @step
    async def opt_outs(self, account: str, limit: int) -> list[OptOut]:
        numbers = self.optouts.get(account, {})
        return [OptOut(to_hash, sender) for to_hash, senders in numbers.items() for sender in senders][:limit]
