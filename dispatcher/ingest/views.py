"""What callers are shown: answers as msgspec Structs, made from records, which also are the OpenAPI document's schemas.

This module refuses to know HTTP. Theory: an answer shows what the caller's own account may know. The text is never
shown, of no class (the caller has it, and for otp it must not exist anywhere else); the number only to accounts that
opted in, else its keyed hash; our cost of an attempt never. Money is a decimal string, time RFC 3339 with Z.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from accounting.money import to_decimal
from dispatcher.core.customer import Account, Balance
from dispatcher.core.inbox import InboxMessage
from dispatcher.core.model import Attempt, Body, Head, Lane, Message, Outcome, Segment, State
from dispatcher.core.ports import GroupView
from dispatcher.ingest.problems import RejectedItem
from smpp import status
from smpp.text import Encoding


class Accepted(msgspec.Struct, kw_only=True):
    """202: the message is durable and will end in exactly one final state. `price` is the total, decimal."""

    id: str
    state: str
    segments: int
    encoding: str
    price: str
    currency: str


class Feedback(msgspec.Struct, forbid_unknown_fields=True):
    """Whether a one-time password was used."""

    converted: bool


class FeedbackAnswer(msgspec.Struct):
    """`counted`: it raised the account's count of codes used (once per message, and only where these are watched)."""

    id: str
    counted: bool


class BatchAccepted(msgspec.Struct, kw_only=True):
    """202: all messages but the rejected are durable as one group. `price` is their total, decimal."""

    group: str
    accepted: int
    rejected: Sequence[RejectedItem]
    price: str
    currency: str


class AttemptView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One submission of a segment. `outcome` is pending, accepted, temporary, permanent or unknown; `code` the SMPP
    status with its name; `receipt` the last receipt's state, `receipt_code` its err as the carrier wrote it."""

    number: int
    carrier: str
    bind: str
    at: str
    outcome: str
    code: int = 0
    name: str = ""
    carrier_id: str = ""
    answered_at: str = ""
    receipt: str = ""
    receipt_code: str = ""
    cause: str = ""
    receipt_at: str = ""


class SegmentView(msgspec.Struct, kw_only=True):
    """One segment, counted from 1, and everything tried for it."""

    segment: int
    state: str
    charged: bool
    refunded: bool
    attempts: Sequence[AttemptView]


class MessageView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A message's life so far. `to` is the keyed hash of the number unless the account may see numbers. `encoding` and
    `to` in clear are known only until the final state, which erases the body."""

    id: str
    state: str
    account: str
    segments: Sequence[SegmentView]
    currency: str
    accepted_at: str
    lane: str = msgspec.field(name="class", default="")
    price: str = ""
    deadline_at: str = ""
    key: str = ""
    ref: str = ""
    group: str = ""
    sender: str = msgspec.field(name="from", default="")
    to: str = ""
    country: str = ""
    mccmnc: str = ""
    route: str = ""
    encoding: str = ""
    changed_at: str = ""
    first_submitted_at: str = ""
    due_at: str = ""
    not_before: str = ""
    refined: bool = False


class GroupAnswer(msgspec.Struct, kw_only=True):
    """A batch: `count` messages accepted, `expanded` of them have records, `finals` counts by final state."""

    group: str
    state: str
    count: int
    expanded: int
    finals: dict[str, int]
    price: str
    currency: str
    accepted_at: str


class BalanceView(msgspec.Struct, kw_only=True):
    """Money now, decimal: `available` can be spent down to `floor`; `reserved` is held for messages not yet decided."""

    account: str
    available: str
    reserved: str
    floor: str
    currency: str


class Ready(msgspec.Struct, kw_only=True):
    """Whether new sends are accepted. `durability` fsync: on disk before the answer; everysec: a power cut may lose the
    last second or two."""

    ready: bool
    durability: str
    promise: str
    reasons: Sequence[str] = ()


class Alive(msgspec.Struct):
    """The process answers."""

    ok: bool = True


def moment(at: int) -> str:
    """RFC 3339 of ms since 1970 UTC; "" for 0 (never)."""
    if not at:
        return ""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def accepted(message_id: str, body: Body) -> Accepted:
    """The answer to a send."""
    return Accepted(
        id=message_id,
        state=State.QUEUED.wire,
        segments=body.segments,
        encoding=Encoding(body.encoding).name.lower(),
        price=to_decimal(body.unit_price * body.segments),
        currency=body.currency,
    )


def replayed(message_id: str, body: Body, before: Message | None) -> Accepted:
    """The answer given the first time, where tariffs may have changed since: price and segments come from the record
    `before` as far as it still exists, else from what the same body would cost now."""
    answer = accepted(message_id, body)
    known = before.body or before.head if before is not None else None
    if known is not None:
        segments = known.segments if isinstance(known, Body) else len(known.segments)
        answer.segments = segments
        answer.price = to_decimal(known.unit_price * segments)
        answer.currency = known.currency
    return answer


def _attempt(attempt: Attempt) -> AttemptView:
    return AttemptView(
        number=attempt.number,
        carrier=attempt.carrier,
        bind=attempt.bind,
        at=moment(attempt.at),
        outcome=Outcome(attempt.outcome).name.lower(),
        code=attempt.code,
        name=status.name(attempt.code) if attempt.code else "",
        carrier_id=attempt.carrier_id,
        answered_at=moment(attempt.answered_at),
        receipt=attempt.receipt,
        receipt_code=attempt.receipt_code,
        cause=attempt.cause,
        receipt_at=moment(attempt.receipt_at),
    )


def _segments(head: Head | None, count: int) -> list[SegmentView]:
    kept = head.segments if head is not None else [Segment() for _ in range(count)]
    return [
        SegmentView(
            segment=number,
            state=State(segment.state).wire,
            charged=segment.posted,
            refunded=segment.refunded,
            attempts=[_attempt(attempt) for attempt in segment.attempts],
        )
        for number, segment in enumerate(kept, 1)
    ]


def message(record: Message, account: Account) -> MessageView | None:
    """The account's view of its message; None when there is no record or it is another account's."""
    head, body = record.head, record.body
    known = head or body
    if known is None or known.account != account.name:
        return None
    segments = _segments(head, body.segments if body is not None else 0)
    view = MessageView(
        id=record.id,
        state=State(head.state if head is not None else State.QUEUED).wire,
        account=known.account,
        lane=Lane(known.lane).wire,
        segments=segments,
        price=to_decimal(known.unit_price * len(segments)),
        currency=known.currency,
        accepted_at=moment(known.accepted_at),
        deadline_at=moment(known.deadline_at),
        key=known.key,
        ref=known.ref,
        group=known.group,
        sender=known.sender,
        to=known.to_hash,
        country=known.country,
        mccmnc=known.mccmnc,
        route=known.route,
    )
    if head is not None:
        view.changed_at = moment(head.at)
        view.first_submitted_at = moment(head.first_at)
        view.due_at = moment(head.due_at)
        view.refined = head.refined
    if body is not None:
        view.encoding = Encoding(body.encoding).name.lower()
        view.not_before = moment(body.options.not_before) if body.options is not None else ""
        if account.show_numbers:
            view.to = body.to
    return view


class InboundView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A message from a handset. `number` counts up per account, from 1; `parts` below `total`: the rest never came. `text`,
    or `binary` (base64) where it is none. `word`: stop, start or help, where it says that."""

    number: int
    id: str
    sender: str = msgspec.field(name="from")
    to: str
    at: str
    parts: int
    total: int
    text: str | None = None
    binary: bytes | None = None
    keyword: str = ""
    word: str = ""


class InboundPage(msgspec.Struct, kw_only=True):
    """A page of messages from handsets. Ask again with `after` = `last`; `more`: there are some already."""

    messages: Sequence[InboundView]
    last: int
    more: bool


def inbound(found: Sequence[InboxMessage], after: int, *, more: bool) -> InboundPage:
    """A page; `last` stays where it was when there is nothing new."""
    shown = [
        InboundView(
            number=number,
            id=row.id,
            sender=row.sender,
            to=row.to,
            at=moment(row.at),
            parts=row.parts,
            total=row.total,
            text=row.text,
            binary=row.binary,
            keyword=row.keyword,
            word=row.word,
        )
        for number, row in found
    ]
    return InboundPage(messages=shown, last=found[-1].number if found else after, more=more)


def staged(message_id: str, view: GroupView) -> MessageView:
    """A message of a live batch whose record has not been written yet; its segments and price are not known here."""
    return MessageView(
        id=message_id,
        state=State.QUEUED.wire,
        account=view.account,
        segments=(),
        currency=view.currency,
        accepted_at=moment(view.at),
        group=view.id,
    )


def group(view: GroupView) -> GroupAnswer:
    """A group as its account sees it."""
    return GroupAnswer(
        group=view.id,
        state=view.state,
        count=view.members,
        expanded=view.expanded,
        finals=dict(view.finals),
        price=to_decimal(view.price),
        currency=view.currency,
        accepted_at=moment(view.at),
    )


def balance(money: Balance) -> BalanceView:
    """An account's money."""
    return BalanceView(
        account=money.account,
        available=to_decimal(money.available),
        reserved=to_decimal(money.reserved),
        floor=to_decimal(money.floor),
        currency=money.currency,
    )
