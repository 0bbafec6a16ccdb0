"""What a dialect is shown of messages and groups: the ten states of dialects.md 1.2, money back, causes.

This module refuses to know any dialect's words for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

from dispatcher.core import ids
from dispatcher.core.front import Ticket
from dispatcher.core.model import Head, Message, Outcome, State
from dispatcher.core.ports import GroupView
from dispatcher.ingest.dialects.kept import Ended, Group, Kept, Part
from dispatcher.ingest.dialects.kept import ShownState as ShownState  # noqa: PLC0414 - it belongs to what is shown
from smpp import status

if TYPE_CHECKING:
    from dispatcher.core.front import FrontStore
    from dispatcher.ingest.door import Caller, Door

FINAL = frozenset({"delivered", "undelivered", "failed", "expired", "rejected", "unknown", "cancelled"})
_KEPT = FINAL - {"unknown"}
FAILURES = frozenset({"undelivered", "failed", "expired", "rejected", "cancelled"})


IN_THREE_WORDS: Final[Mapping[ShownState, Literal["queued", "sent", "failed"]]] = {
    "accepted": "queued",
    "queued": "queued",
    "submitted": "sent",
    "delivered": "sent",
    "unknown": "sent",
    "undelivered": "failed",
    "failed": "failed",
    "expired": "failed",
    "rejected": "failed",
    "cancelled": "failed",
}
"""The states as services say them that know no more than these (1.2)."""


class Shown(NamedTuple):
    """A message. `was_submitted`: a carrier has taken all of it before, even if it is queued again now. `price`
    total, `refunded` what of it was given back, micro-units. `at` acceptance, `changed_at` last change, ms. `cause`: why it
    failed (SMPP status name or receipt cause, "" unknown). `to` E.164 digits from the ticket ("" without one)."""

    id: str
    state: ShownState
    to: str
    at: int
    changed_at: int
    was_submitted: bool = False
    cause: str = ""
    price: int = 0
    refunded: int = 0
    segments: int = 0
    ticket: Ticket | None = None


class ShownGroup(NamedTuple):
    """A group. `counts` over all members by state; `resubmitting` how many of the queued were submitted before; `messages`
    those asked for, in order. `price` is the one debit, `refunded` what of it was given back."""

    id: str
    members: int
    price: int
    refunded: int
    at: int
    changed_at: int
    counts: dict[ShownState, int]
    resubmitting: int
    messages: Sequence[Shown]
    ticket: Ticket


async def read_message(door: Door, front: FrontStore, kept: Kept, caller: Caller, message_id: str) -> Shown | None:
    """See Desk.message."""
    group_id = ids.group_of(message_id)
    own, of_group = await door.within(front.tickets([message_id, group_id], apart=False))
    index = ids.index_in_group(message_id)
    ticket = own or of_group
    record = (await door.within(door.store.messages([message_id])))[0]
    known = None if record is None else record.body or record.head
    owner = ticket.account if ticket is not None else known.account if known is not None else ""
    if owner != caller.account.name:
        return None
    view = None
    if own is None and ticket is not None and not ticket.to:
        numbers = kept.numbers(group_id)
        if numbers is not None:
            ticket = msgspec.structs.replace(ticket, to=numbers)
        elif (view := await door.within(door.store.group(group_id))) is not None:
            ticket = await _with_numbers(door, front, kept.group(group_id, view.members), group_id, ticket)
    to = _number(ticket, index if own is None else 1)
    if record is not None and known is not None:
        return _shown(record, to, ticket)
    if view is None:
        view = await door.within(door.store.group(group_id))
    if view is None or view.state != "live" or not view.expanded < index <= view.members:
        return None
    return Shown(message_id, "accepted", to, view.at, view.at, ticket=ticket)


async def _with_numbers(door: Door, front: FrontStore, group: Group, group_id: str, ticket: Ticket) -> Ticket:
    """A group's ticket with its numbers, which are read once if they are kept apart from it."""
    if ticket.to:
        return ticket
    if group.to is None:
        whole = (await door.within(front.tickets([group_id])))[0]
        group.to = () if whole is None else whole.to
    return msgspec.structs.replace(ticket, to=group.to)


async def read_group(
    door: Door, front: FrontStore, kept: Kept, caller: Caller, group_id: str, offset: int, limit: int | None
) -> ShownGroup | None:
    """See Desk.group."""
    view = await door.within(door.store.group(group_id))
    if view is None or view.account != caller.account.name or view.state != "live":
        return None
    ticket = (await door.within(front.tickets([group_id], apart=False)))[0]
    if ticket is None:
        return None
    group = kept.group(group_id, view.members)
    ticket = await _with_numbers(door, front, group, group_id, ticket)
    last = view.members if limit is None else min(view.members, offset + limit)
    sums = _Sums(view.at)
    messages: list[Shown] = []
    for part in group.parts:
        first, count = part.first, len(part.ended)
        wanted = range(max(first, offset), min(first + count, last))
        members: list[str] = []
        if part.open or wanted:
            await asyncio.sleep(0)
            members = ids.group_members(group_id, count, first + 1)
        sums.add(part)  # from here to the reading of `open` nothing is awaited: they fit each other
        rows = {place: _of_end(members[place - first], part, place - first, ticket, place) for place in wanted}
        if part.open:
            places = part.open
            heads = await door.within(door.store.heads([members[place] for place in places]))
            found = [
                _of_record(members[place], record, view, ticket, first + place)
                for place, record in zip(places, heads, strict=True)
            ]
            for place, record, shown in zip(places, heads, found, strict=True):
                sums.count(shown, record)
                if first + place in wanted:
                    rows[first + place] = shown
            ends = [(place, shown) for place, shown in zip(places, found, strict=True) if shown.state in _KEPT]
            part.end([(place, group.alike(_end(shown)), shown.changed_at) for place, shown in ends])
        messages += [row for row in rows.values() if row is not None]
    return ShownGroup(
        id=group_id,
        members=view.members,
        price=view.price,
        refunded=sums.refunded,
        at=view.at,
        changed_at=sums.changed_at,
        counts=sums.counts,
        resubmitting=sums.resubmitting,
        messages=messages,
        ticket=ticket,
    )


class _Sums:
    """What is counted over all members."""

    def __init__(self, at: int) -> None:
        self.counts: dict[ShownState, int] = {}
        self.refunded = 0
        self.resubmitting = 0
        self.changed_at = at

    def add(self, part: Part) -> None:
        """The members that are known to have ended."""
        for state, amount in part.counts.items():
            self.counts[state] = self.counts.get(state, 0) + amount
        self.refunded += part.refunded
        self.changed_at = max(self.changed_at, part.changed_at)

    def count(self, shown: Shown, record: Message | None) -> None:
        """One of the others."""
        self.counts[shown.state] = self.counts.get(shown.state, 0) + 1
        self.refunded += shown.refunded
        self.changed_at = max(self.changed_at, shown.changed_at)
        if shown.state == "queued" and record is not None and record.head is not None:
            self.resubmitting += record.head.first_at > 0


def _of_record(member: str, record: Message | None, view: GroupView, ticket: Ticket, place: int) -> Shown:
    to = _number(ticket, place + 1)
    head = None if record is None else record.head
    if head is None:
        return Shown(member, "queued" if place < view.expanded else "accepted", to, view.at, view.at, ticket=ticket)
    return _of_head(member, head, to, ticket, state_of(head))


def _end(shown: Shown) -> Ended:
    return Ended(shown.state, shown.at, shown.was_submitted, shown.cause, shown.price, shown.refunded, shown.segments)


def _of_end(member: str, part: Part, index: int, ticket: Ticket, place: int) -> Shown | None:
    """A member that is known to have ended; None: it is not."""
    how = part.ended[index]
    if how is None:
        return None
    return Shown(
        member,
        how.state,
        _number(ticket, place + 1),
        how.at,
        part.changed[index],
        was_submitted=how.was_submitted,
        cause=how.cause,
        price=how.price,
        refunded=how.refunded,
        segments=how.segments,
        ticket=ticket,
    )


def state_of(head: Head) -> ShownState:
    """The state shown of a message that has a head (1.2): what waits is queued; what is being submitted is queued until a
    first attempt's bytes have left, then submitted; so is what is in doubt."""
    shown = _SHOWN.get(head.state)
    if shown is not None:
        return shown
    told = any(a.outcome not in _UNTOLD or a.number > 1 for segment in head.segments for a in segment.attempts)
    return "submitted" if told else "queued"


def given_back(head: Head) -> int:
    """Micro-units of the price that the account has again: refunded, or never taken although the message has ended."""
    back = 0
    ended = head.state >= _ENDED
    for segment in head.segments:
        if segment.refunded or (ended and not segment.posted):
            back += head.unit_price
    return back


def taken_before(head: Head) -> bool:
    """Has a carrier taken all of it, at one time or another?"""
    for segment in head.segments:
        for attempt in segment.attempts:
            if attempt.outcome == _ACCEPTED:
                break
        else:
            return False
    return True


def cause_of(head: Head) -> str:
    """The last word on the part that went worst: a receipt's cause or state, or an answer's status name; "" for none."""
    worst = max(head.segments, key=lambda segment: segment.state)
    if not worst.attempts:
        return ""
    attempt = worst.attempts[-1]
    return attempt.cause or attempt.receipt or (status.name(attempt.code) if attempt.code else "")


_UNTOLD = (Outcome.PENDING, Outcome.THROTTLED, Outcome.NOT_SENT)
_ENDED, _ACCEPTED = int(State.DELIVERED), int(Outcome.ACCEPTED)
_SHOWN: dict[int, ShownState] = {
    State.QUEUED: "queued",
    State.WAITING: "queued",
    State.SUBMITTED: "submitted",
    State.DOUBT: "submitted",
    State.DELIVERED: "delivered",
    State.UNKNOWN: "unknown",
    State.CANCELLED: "cancelled",
    State.EXPIRED: "expired",
    State.UNDELIVERED: "undelivered",
    State.FAILED: "failed",
    State.REJECTED: "rejected",
}


def _number(ticket: Ticket | None, index: int) -> str:
    return ticket.to[index - 1] if ticket is not None and 0 < index <= len(ticket.to) else ""


def _shown(record: Message, to: str, ticket: Ticket | None) -> Shown | None:
    body = record.body
    if record.head is not None:
        return _of_head(record.id, record.head, to, ticket, state_of(record.head))
    if body is None:
        return None
    price = body.unit_price * body.segments
    return Shown(
        record.id, "queued", to, body.accepted_at, body.accepted_at, price=price, segments=body.segments, ticket=ticket
    )


def _of_head(message_id: str, head: Head, to: str, ticket: Ticket | None, state: ShownState) -> Shown:
    return Shown(
        message_id,
        state,
        to,
        head.accepted_at,
        head.at,
        was_submitted=taken_before(head),
        cause=cause_of(head) if state in FAILURES else "",
        price=head.unit_price * len(head.segments),
        refunded=given_back(head),
        segments=len(head.segments),
        ticket=ticket,
    )
