"""The happy path, written out: what nearly every message lives, at a quarter of the price of the table.

It refuses to know anything that lifecycle.py and rounds.py do not say more slowly: `begin`, `decide` and `collect` are the
truth, and tests/laws proves over drawn messages that each function here either leaves exactly what they would leave or
leaves nothing and answers None. Three arrows are written out, each for a message of one segment on its first attempt:

    start      QUEUED -> SUBMITTING        the write-ahead of a message that has no head yet
    accept     SUBMITTING -> SUBMITTED     one answer: accepted, with an id
    deliver    SUBMITTED -> DELIVERED      one receipt: DELIVRD

Anything else, such as a retry, a refusal, a second receipt, an account that gives money back for delivered messages, is
not recognised here, and the caller asks the table. As there, inputs are never changed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from msgspec.structs import replace

from dispatcher.core import facts
from dispatcher.core.evidence import Answer
from dispatcher.core.model import LANES, Attempt, Body, EventRow, Head, Message, Outcome, Segment, State
from dispatcher.core.ports import Effects, VersionedHead
from dispatcher.core.retry import Rules

# The hot path's names: in Python 3.11 each look-up of an enumeration's member costs 0.1 us.
_SUBMITTING, _SUBMITTED, _DELIVERED = int(State.SUBMITTING), int(State.SUBMITTED), int(State.DELIVERED)
_PENDING, _ACCEPTED = int(Outcome.PENDING), int(Outcome.ACCEPTED)
_SUBMITTED_WIRE, _DELIVERED_WIRE = State.SUBMITTED.wire, State.DELIVERED.wire
_LANE_WIRES = tuple(lane.wire for lane in LANES)

versioned = cast(Callable[[tuple[str, int, Head, str]], VersionedHead], partial(tuple.__new__, VersionedHead))
"""A VersionedHead from its columns, at a third of the price of the class' own constructor, which is Python."""


def start(body: Body, carrier: str, bind: str, cost: int, now: int, sender: str) -> Head:
    """The write-ahead head of a message of one segment that has none yet and whose deadline has not passed: what
    `rounds.begin` makes of it, with reference 0."""
    return Head(
        _SUBMITTING,
        now,
        [Segment(_SUBMITTING, [Attempt(1, carrier, bind, now, _PENDING, 0, "", 0, cost)])],
        body.account,
        body.lane,
        body.route,
        body.unit_price,
        body.currency,
        body.tariff,
        body.to_hash,
        body.accepted_at,
        body.deadline_at,
        body.on_unknown,
        now,
        0,
        0,
        "",
        [],
        body.key,
        body.ref,
        body.sender or sender,
        body.country,
        body.mccmnc,
        body.group,
    )


def accept(effects: Effects, message: Message, answer: Answer, rules: Rules, now: int) -> Head | None:
    """The new head after an `answer` with an id to the only attempt, its effects added; None: ask the table."""
    head = message.head
    if head is None or head.state != _SUBMITTING or head.due_at or len(head.segments) != 1:
        return None
    segment = head.segments[0]
    if len(segment.attempts) != 1 or segment.state != _SUBMITTING or segment.posted:
        return None
    old = segment.attempts[0]
    number, outcome, code, carrier_id, answered_at, attempt = answer
    if old.outcome != _PENDING or old.receipt or outcome != _ACCEPTED or not carrier_id or number != 1 or attempt > 1:
        return None
    new = replace(old, outcome=_ACCEPTED, code=code, carrier_id=carrier_id, answered_at=answered_at)
    segment = Segment(_SUBMITTED, [new], True, segment.refunded)
    head = replace(head, state=_SUBMITTED, at=now, segments=[segment])
    message_id, account, price = message.id, head.account, head.unit_price
    effects.heads.append(versioned((message_id, message.version + 1, head, "")))
    effects.facts.append(facts.post(message_id, head, 1, new, now))
    if new.cost:
        currency, tariff = rules.cost_tariffs.get(new.carrier, (head.currency, ""))
        effects.facts.append(facts.cost(message_id, head, 1, new, now, currency, tariff))
    if price:
        money = effects.money.get(account)
        if money is None:
            money = effects.money[account] = [0, 0]
        money[1] -= price
    effects.events.append(
        EventRow(
            message_id,
            head.key,
            head.ref,
            account,
            head.to_hash,
            _LANE_WIRES[head.lane],
            _SUBMITTED_WIRE,
            1,
            new.carrier,
            None,
            new.number,
            head.refined,
            None,
            now,
        )
    )
    return head


def deliver(effects: Effects, message: Message, code: str, at: int, rules: Rules, now: int) -> Head | None:
    """The new head after a receipt DELIVRD for the only attempt, its effects added; None: ask the table. `code` is the
    carrier's `err`, `at` when the receipt came (ms)."""
    head = message.head
    if head is None or head.state != _SUBMITTED or head.due_at or len(head.segments) != 1:
        return None
    segment = head.segments[0]
    if len(segment.attempts) != 1 or segment.state != _SUBMITTED or not segment.posted:
        return None
    old = segment.attempts[0]
    if old.outcome != _ACCEPTED or old.receipt:
        return None
    account = rules.accounts.get(head.account)
    if account is not None and _DELIVERED_WIRE in account.refund_on:
        return None
    new = replace(old, receipt="DELIVRD", receipt_code=code, cause="", receipt_at=at)
    segment = Segment(_DELIVERED, [new], True, segment.refunded)
    head = replace(head, state=_DELIVERED, at=now, segments=[segment])
    message_id = message.id
    effects.heads.append(versioned((message_id, message.version + 1, head, "")))
    effects.erase.append(message_id)
    effects.events.append(
        EventRow(
            message_id,
            head.key,
            head.ref,
            head.account,
            head.to_hash,
            _LANE_WIRES[head.lane],
            _DELIVERED_WIRE,
            1,
            new.carrier,
            None,
            new.number,
            head.refined,
            None,
            now,
        )
    )
    if head.group:
        finals = effects.group_finals.setdefault(head.group, {})
        finals[_DELIVERED_WIRE] = finals.get(_DELIVERED_WIRE, 0) + 1
    return head
