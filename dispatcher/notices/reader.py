"""Rows of `events` become notices: whose message has a callback, and what it is told.

Refuses to know connections. A message's callback is in its ticket, a batch's in the group's. What was read and what became of
it is written in one step, row by row if need be, so nothing is lost and nothing is queued twice, whenever this process dies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from dispatcher.core.customer import Account
from dispatcher.core.front import FrontStore, Ticket
from dispatcher.core.ids import group_of, is_id
from dispatcher.core.model import State
from dispatcher.core.notices import STEP_NOTICES_MAX, Notice, NoticeStore, target_of
from dispatcher.core.ports import Clock, CorruptRecord, Cursor, Owner, Store
from dispatcher.notices.forms import notice_of, told_before

ENTRIES_READ: Final = 20
"""Entries read at once: each holds up to 500 rows."""
ROWS_ASKED: Final = 500
"""Rows whose tickets are asked for at once."""
GROUPS_KEPT: Final = 4096
ACCOUNTS_KEPT: Final = 4096
ACCOUNT_S: Final = 5.0
"""How old what we know of an account may be."""
_SUBMITTED = State.SUBMITTED.wire


class Stores(Store, FrontStore, NoticeStore, Protocol):
    """What this room needs of the store."""


class Accounts:
    """Accounts, looked at now and then."""

    def __init__(self, store: Stores, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, tuple[float, Account | None]] = {}

    async def get(self, name: str) -> Account | None:
        """The account's settings, at most a few seconds old. Raises StoreUnavailable."""
        now = self._clock.monotonic()
        known = self._known.get(name)
        if known is None or now - known[0] > ACCOUNT_S:
            if len(self._known) >= ACCOUNTS_KEPT:
                self._known.clear()
            known = self._known[name] = (now, await self._store.account(name))
        return known[1]


class Reader:
    """Reads on from the cursor, under the lease that `owner` holds."""

    def __init__(self, store: Stores, accounts: Accounts, clock: Clock, log: Any) -> None:
        self._store = store
        self._accounts = accounts
        self._clock = clock
        self._log = log
        self._groups: dict[str, Ticket | None] = {}
        self.behind = False
        """Was the last read full, so that more is there already?"""

    async def step(self, owner: Owner, cursor: Cursor, paused: Mapping[str, int]) -> Cursor:
        """One read and its writes; the cursor afterwards, the same when there was nothing. `paused`: until when targets are
        not to be looked at. An entry that does not decode is logged and passed over. Raises Deposed, StoreUnavailable."""
        try:
            rows = await self._read(cursor.entry)
        except CorruptRecord as error:
            self._log.error("corrupt_record", place=error.where)
            return await self._write(owner, cursor, Cursor(error.entry, 0), [], paused)
        if not rows:
            return cursor
        found: list[Notice] = []
        places = _places(rows, cursor)
        for start in range(0, len(places), ROWS_ASKED):
            some = places[start : start + ROWS_ASKED]
            tickets = await self._tickets([row["id"] for _, _, row in some])
            for after, place, row in some:
                ticket = tickets.get(row["id"])
                notice = await self._notice(row, place, ticket) if ticket is not None else None
                if notice is not None:
                    found.append(notice)
                if len(found) == STEP_NOTICES_MAX:
                    cursor = await self._write(owner, cursor, after, found, paused)
                    found = []
        return await self._write(owner, cursor, Cursor(rows[-1][0], 0), found, paused)

    async def _read(self, after: str) -> list[tuple[str, dict[str, Any]]]:
        """The next entries' rows; of one entry only where a later one does not decode. Raises CorruptRecord for the first."""
        try:
            rows = await self._store.read_stream("events", after, ENTRIES_READ)
            self.behind = len({entry for entry, _ in rows}) == ENTRIES_READ
        except CorruptRecord:
            self.behind = True
            rows = await self._store.read_stream("events", after, 1)
        return rows

    async def _write(
        self, owner: Owner, before: Cursor, after: Cursor, found: Sequence[Notice], paused: Mapping[str, int]
    ) -> Cursor:
        now = self._clock.now_ms()
        await self._store.queue_notices(owner, before, after, found, [max(now, paused.get(target_of(n), 0)) for n in found])
        return after

    async def _notice(self, row: Mapping[str, Any], place: str, ticket: Ticket) -> Notice | None:
        if ticket.callback is None or ticket.account != row["account"]:
            return None
        account = await self._accounts.get(row["account"])
        shown = account is not None and account.show_numbers
        notice = notice_of(row, place, ticket, ticket.callback, number=ticket.to[0] if shown and len(ticket.to) == 1 else "")
        return None if notice is None or await self._told(row, notice) else notice

    async def _told(self, row: Mapping[str, Any], notice: Notice) -> bool:
        """OTPIQ's clients hear `sent` once, however often it is submitted again."""
        if notice.form != "otpiq" or row["state"] != _SUBMITTED or row["attempt"] < 2:
            return False
        message = (await self._store.heads([notice.message_id]))[0]
        return message is not None and told_before(message.head, row["attempt"])

    async def _tickets(self, ids: Sequence[str]) -> dict[str, Ticket]:
        """Tickets of messages: their own, else their group's."""
        own = [i for i in dict.fromkeys(ids) if is_id(i)]
        groups = {i: group_of(i) for i in own}
        wanted = dict.fromkeys(groups.values())
        known = {g: self._groups[g] for g in wanted if g in self._groups}
        unknown = [g for g in wanted if g not in known]
        asked = await self._asked([*own, *unknown])
        known |= await self._learn(dict(zip(unknown, asked[len(own) :], strict=True)))
        found: dict[str, Ticket] = {}
        for message_id, ticket in zip(own, asked, strict=False):
            ticket = ticket or known[groups[message_id]]  # noqa: PLW2901 - its own before its group's
            if ticket is not None:
                found[message_id] = ticket
        return found

    async def _asked(self, ids: Sequence[str]) -> list[Ticket | None]:
        """The tickets; one that does not decode costs only its own message's webhooks."""
        try:
            return await self._store.tickets(ids)
        except CorruptRecord:
            found: list[Ticket | None] = []
            for one in ids:
                try:
                    found += await self._store.tickets([one])
                except CorruptRecord:
                    found.append(None)
            return found

    async def _learn(self, tickets: Mapping[str, Ticket | None]) -> dict[str, Ticket | None]:
        """Remembers, and returns, which of these groups' tickets speak for their messages. What was known before may be
        forgotten here: who still needs it holds it."""
        if len(self._groups) + len(tickets) > GROUPS_KEPT:
            self._groups.clear()
        learned: dict[str, Ticket | None] = {}
        for group_id, ticket in tickets.items():
            # A message may have an id whose last bits are a group's: only a group's ticket speaks for others.
            if ticket is not None and (ticket.callback is None or await self._store.group(group_id) is None):
                ticket = None  # noqa: PLW2901 - not one that speaks for others
            learned[group_id] = None if ticket is None else msgspec.structs.replace(ticket, to=(), answer=None)
        self._groups |= learned
        return learned


def _places(rows: Sequence[tuple[str, Mapping[str, Any]]], cursor: Cursor) -> list[tuple[Cursor, str, Mapping[str, Any]]]:
    """The rows after the cursor, each with the cursor after it and what names its place."""
    found: list[tuple[Cursor, str, Mapping[str, Any]]] = []
    before, entry, number = cursor.entry, "", 0
    for this, row in rows:
        if this != entry:
            before, entry, number = entry or before, this, 0
        number += 1
        if before == cursor.entry and number <= cursor.done:
            continue
        found.append((Cursor(before, number), f"{this}_{number}", row))
    return found
