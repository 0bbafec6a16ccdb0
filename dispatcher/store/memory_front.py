"""The in-memory store's part for the doors: tickets, aliases, codes, windows, opt-outs. Knows no queue and no money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dispatcher.core.front import Code, CodeCheck, Conversion, Extras, Take, Taken, Ticket
from dispatcher.core.ids import bucket_of, time_of
from dispatcher.core.ports import Admission
from dispatcher.store import records
from dispatcher.store.keys import DAY_MS, HOUR_MS, check_sender
from dispatcher.store.memory_front_windows import MemoryWindows
from dispatcher.store.memory_state import MemoryState, step


class MemoryCode:
    """A code as the memory store keeps it."""

    def __init__(self, code: Code, message_id: str, conversion: str) -> None:
        self.code = code
        self.left = code.tries
        self.message_id = message_id
        self.conversion = conversion


class MemoryFront(MemoryState):
    """FrontStore in memory."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.tickets_kept: dict[str, bytes] = {}
        self.aliases: dict[int, dict[str, str]] = {}
        self.used_ids: set[str] = set()
        self.numbers: dict[str, int] = {}
        self.windows = MemoryWindows()
        self.codes: dict[str, MemoryCode] = {}
        self.sent_codes: dict[int, dict[str, int]] = {}
        self.used_codes: dict[int, dict[str, int]] = {}
        self.pauses: dict[str, int] = {}
        self.optouts: dict[str, dict[str, set[str]]] = {}
        self.last_uses: dict[str, int] = {}

    # -- tickets
    def keep_ticket(self, message_id: str, ticket: Ticket) -> None:
        """The ticket, and the way to it."""
        self.tickets_kept[message_id] = records.pack(ticket)
        if ticket.alias:
            self.aliases.setdefault(time_of(message_id) // DAY_MS, {})[ticket.alias] = message_id

    def keep_extras(self, item: Admission, extras: Extras, at: int) -> None:
        """What goes with an accepted send."""
        if extras.ticket is not None:
            self.keep_ticket(item.id, extras.ticket)
        if extras.code is not None:
            self.codes[extras.code.subject] = MemoryCode(extras.code, item.id, extras.conversion)
        if extras.conversion:
            self._count(self.sent_codes, extras.conversion, at)

    def drop_tickets(self, bucket: str) -> None:
        """With the bucket's records; a day's aliases go with the last of its buckets."""
        self.tickets_kept = {i: t for i, t in self.tickets_kept.items() if bucket_of(i) != bucket}
        self.used_ids = {i for i in self.used_ids if bucket_of(i) != bucket}
        days = {time_of(i) // DAY_MS for i in self.tickets_kept}
        self.aliases = {day: found for day, found in self.aliases.items() if day in days}

    @step
    async def tickets(self, ids: Sequence[str], *, apart: bool = True) -> list[Ticket | None]:
        found = [(i, self.tickets_kept.get(i)) for i in ids]
        tickets = [records.decode_ticket(raw, f"ticket {i}") if raw is not None else None for i, raw in found]
        for ticket in tickets:
            if not apart and ticket is not None and len(ticket.to) > records.NUMBERS_MAX:
                ticket.to = ()
        return tickets

    @step
    async def put_ticket(self, message_id: str, ticket: Ticket) -> None:
        self.keep_ticket(message_id, ticket)

    @step
    async def find_alias(self, alias: str) -> str | None:
        for day in sorted(self.aliases, reverse=True):
            if self.aliases[day].get(alias, "") in self.tickets_kept:
                return self.aliases[day][alias]
        return None

    @step
    async def draw_numbers(self, name: str, count: int) -> int:
        first = self.numbers.get(name, 0) + 1
        self.numbers[name] = first + count - 1
        return first

    # -- windows
    @step
    async def take(self, takes: Sequence[Take], at: int) -> list[Taken]:
        return [self.windows.take_all([take], at)[1] for take in takes]

    @step
    async def take_together(self, sends: Sequence[Sequence[Take]], at: int) -> list[tuple[int, Taken]]:
        return [self.windows.take_all(takes, at) for takes in sends]

    @step
    async def give_back(self, takes: Sequence[Take], at: int) -> None:
        for take in takes:
            self.windows.give_back(take, at)

    @step
    async def summed(self, subject: str, span_s: int) -> int:
        counters = self.windows.sums.get(subject, {}).get(span_s)
        return sum(counters.slots.values()) if counters is not None else 0

    async def forget_windows(self, beginning: str) -> int:
        called = {subject for subject in self.calls if subject.startswith(beginning)}
        for subject in called:
            del self.calls[subject]
        return len(self.windows.forget(beginning) | called)

    # -- codes and what became of them
    def _count(self, counts: dict[int, dict[str, int]], conversion: str, at: int) -> None:
        row = counts.setdefault(at // HOUR_MS, {})
        row[conversion] = row.get(conversion, 0) + 1

    def _convert(self, message_id: str, conversion: str, at: int) -> bool:
        if message_id in self.used_ids:
            return False
        self.used_ids.add(message_id)
        self._count(self.used_codes, conversion, at)
        return True

    @step
    async def check_code(self, subject: str, digest: bytes, at: int) -> CodeCheck:
        kept = self.codes.get(subject)
        if kept is None or kept.left <= 0 or at >= kept.code.expires_at:
            return CodeCheck("none")
        if kept.code.digest == digest:
            del self.codes[subject]
            if kept.conversion:
                self._convert(kept.message_id, kept.conversion, at)
            return CodeCheck("right", 0, kept.message_id)
        kept.left -= 1
        if not kept.left:
            del self.codes[subject]
        return CodeCheck("wrong", kept.left, kept.message_id)

    @step
    async def converted(self, message_id: str, conversion: str, at: int) -> bool:
        return self._convert(message_id, conversion, at)

    @step
    async def conversions(self, at: int, hours: int) -> Mapping[str, Conversion]:
        found: dict[str, Conversion] = {}
        for hour in range(at // HOUR_MS - hours + 1, at // HOUR_MS + 1):
            sent, used = self.sent_codes.get(hour, {}), self.used_codes.get(hour, {})
            for name in {*sent, *used}:
                old = found.get(name, Conversion(0, 0))
                found[name] = Conversion(old.sent + sent.get(name, 0), old.used + used.get(name, 0))
        return found

    @step
    async def pause_conversion(self, conversion: str, until: int) -> None:
        self.pauses[conversion] = until
        for counts in (*self.sent_codes.values(), *self.used_codes.values()):
            counts.pop(conversion, None)

    @step
    async def paused_conversions(self, at: int) -> Mapping[str, int]:
        return {name: until for name, until in self.pauses.items() if until > at}

    # -- opt-outs
    def refuses(self, account: str, sender: str, to_hash: str) -> bool:
        """Whether the number said STOP to this sender, or to any."""
        senders = self.optouts.get(account, {}).get(to_hash, ())
        return "" in senders or (sender != "" and sender in senders)

    @step
    async def opt_out(self, account: str, sender: str, to_hash: str, at: int) -> bool:
        senders = self.optouts.setdefault(account, {}).setdefault(to_hash, set())
        known = check_sender(sender) in senders
        senders.add(sender)
        return not known

    @step
    async def opt_in(self, account: str, sender: str, to_hash: str) -> bool:
        numbers = self.optouts.get(account, {})
        senders = numbers.get(to_hash, set())
        gone = senders.copy() if not sender else senders & {sender}
        senders -= gone
        if not senders:
            numbers.pop(to_hash, None)
        return bool(gone)

    @step
    async def opted_out(self, account: str, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        return [self.refuses(account, sender, to_hash) for sender, to_hash in pairs]

    # -- keys
    @step
    async def note_key_uses(self, uses: Mapping[str, int]) -> None:
        self.last_uses.update(uses)

    @step
    async def key_uses(self) -> Mapping[str, int]:
        return dict(self.last_uses)
