"""The happy path, written out: what nearly every message lives, at a quarter of the price of the table.

It refuses to know anything that lifecycle.py and rounds.py do not say more slowly: `begin`, `decide` and `collect` are the
truth, and tests/laws proves over drawn messages that each function here either leaves exactly what they would leave or
leaves nothing and answers None. Three arrows are written out, each for a message on its first round:

    start      QUEUED -> SUBMITTING        the write-ahead of a message that has no head yet
    accept     SUBMITTING -> SUBMITTED     an answer for each segment: accepted, with an id
    deliver    SUBMITTED -> DELIVERED      receipts DELIVRD, for all segments or (then it stays SUBMITTED) for some

Anything else, such as a retry, a refusal, a second receipt, an account that gives money back for delivered messages, is
not recognised here, and the caller asks the table. As there, inputs are never changed.
"""

from __future__ import annotations

from collections.abc import Sequence

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

Delivery = tuple[int, str, int]
"""A receipt DELIVRD for the first attempt of a segment (1-based): the carrier's `err`, and when it came (ms)."""


def start(body: Body, carrier: str, bind: str, cost: int, now: int, sender: str, reference: int = 0) -> Head:
    """The write-ahead head of a message that has none yet and whose deadline has not passed: what `rounds.begin` makes."""
    first = Attempt(1, carrier, bind, now, _PENDING, 0, "", 0, cost)
    return Head(
        _SUBMITTING,
        now,
        [Segment(_SUBMITTING, [first]) for _ in range(body.segments)],
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
        reference,
        "",
        [],
        body.key,
        body.ref,
        body.sender or sender,
        body.country,
        body.mccmnc,
        body.group,
    )


def accept(effects: Effects, message: Message, answers: Sequence[Answer], rules: Rules, now: int) -> Head | None:
    """The new head after an answer with an id to the only attempt of each segment, in their order, its effects added; None:
    ask the table."""
    head = message.head
    if head is None or head.state != _SUBMITTING or head.due_at or len(head.segments) != len(answers):
        return None
    if head.pin and len(answers) > 1:
        return None
    segments: list[Segment] = []
    for segment, answer in zip(head.segments, answers, strict=True):
        number, outcome, code, carrier_id, answered_at, attempt = answer
        if len(segment.attempts) != 1 or segment.state != _SUBMITTING or segment.posted:
            return None
        old = segment.attempts[0]
        if old.outcome != _PENDING or old.receipt or outcome != _ACCEPTED or not carrier_id or attempt > 1:
            return None
        if number != len(segments) + 1:
            return None
        new = replace(old, outcome=_ACCEPTED, code=code, carrier_id=carrier_id, answered_at=answered_at)
        segments.append(Segment(_SUBMITTED, [new], True, segment.refunded))
    head = replace(head, state=_SUBMITTED, at=now, segments=segments)
    message_id, price = message.id, head.unit_price
    effects.heads.append(VersionedHead(message_id, message.version + 1, head))
    for number, segment in enumerate(segments, 1):
        new = segment.attempts[0]
        effects.facts.append(facts.post(message_id, head, number, new, now))
        if new.cost:
            currency, tariff = rules.cost_tariffs.get(new.carrier, (head.currency, ""))
            effects.facts.append(facts.cost(message_id, head, number, new, now, currency, tariff))
    if price:
        effects.money.setdefault(head.account, [0, 0])[1] -= price * len(segments)
    effects.events.append(_event(message_id, head, _SUBMITTED_WIRE, now))
    return head


def deliver(effects: Effects, message: Message, receipts: Sequence[Delivery], rules: Rules, now: int) -> Head | None:
    """The new head after receipts DELIVRD, each for another segment, in the order in which they came, their effects added;
    None: ask the table."""
    head = message.head
    if head is None or head.state != _SUBMITTED or head.due_at:
        return None
    many = len(head.segments) > 1
    account = rules.accounts.get(head.account)
    if (many and head.pin) or (account is not None and _DELIVERED_WIRE in account.refund_on):
        return None
    segments = head.segments.copy()
    ids = [segment.attempts[0].carrier_id for segment in segments if many and _awaits(segment)]
    if len(set(ids)) != len(ids):  # of segments that share an id a receipt speaks for all
        return None
    for number, code, at in receipts:
        segment = segments[number - 1] if 0 < number <= len(segments) else None
        if segment is None or not _awaits(segment) or (many and rules.per_message(segment.attempts[0].carrier)):
            return None
        new = replace(segment.attempts[0], receipt="DELIVRD", receipt_code=code, cause="", receipt_at=at)
        segments[number - 1] = Segment(_DELIVERED, [new], True, segment.refunded)
    awaited = False
    for segment in segments:
        if segment.state == _DELIVERED and segment.posted and segment.attempts and not segment.due_at:
            continue
        if not many or not _awaits(segment):
            return None
        awaited = True
    head = replace(head, state=_SUBMITTED if awaited else _DELIVERED, at=now, segments=segments)
    message_id = message.id
    effects.heads.append(VersionedHead(message_id, message.version + 1, head))
    if awaited:
        return head
    effects.erase.append(message_id)
    effects.events.append(_event(message_id, head, _DELIVERED_WIRE, now))
    if head.group:
        finals = effects.group_finals.setdefault(head.group, {})
        finals[_DELIVERED_WIRE] = finals.get(_DELIVERED_WIRE, 0) + 1
    return head


def _awaits(segment: Segment) -> bool:
    """Accepted on its first attempt, charged, and nothing has been heard since?"""
    if segment.state != _SUBMITTED or not segment.posted or len(segment.attempts) != 1 or segment.due_at:
        return False
    attempt = segment.attempts[0]
    return attempt.outcome == _ACCEPTED and not attempt.receipt and bool(attempt.carrier_id) and attempt.tlvs is None


def _event(message_id: str, head: Head, state: str, now: int) -> EventRow:
    told = head.segments[0].attempts[-1]
    return EventRow(
        message_id,
        head.key,
        head.ref,
        head.account,
        head.to_hash,
        _LANE_WIRES[head.lane],
        state,
        len(head.segments),
        told.carrier,
        None,
        told.number,
        head.refined,
        None,
        now,
    )
