"""Messages that are alike, led through the happy path together: one head, one post, one event for all of them, with gaps.

It refuses to know anything that happy.py does not say more slowly: rows are made by calling it for one message, and
tests/laws proves that what the messages of a stage leave is, byte for byte, what happy.py leaves for each.

Theory. The messages of a batch differ in their id, their number and the carrier's ids, those of several segments also in
their reference, and hardly in anything else. All that they share is decided, built and encoded once, as a stage: `Started`,
then `Accepted`, then `Delivered`. A message of a stage holds no head, it holds the stage and what is its own; whoever wants
its head asks `Message.head`, which makes one, and whoever gives it another head takes it out of its stage. So nothing
outside this file has to know, and a message that leaves the path is an ordinary one.

The stages of one batch differ from those of the next in their times only. So the rows are made once for a `Kind` of messages,
which costs as much as some ten messages the ordinary way, with gaps for the times too; to fill those costs as much as one.
Messages of one segment and of several share all of that; what is done for each message is written out for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from dispatcher.core import happy
from dispatcher.core.evidence import Answer
from dispatcher.core.model import Body, Head, Message, Outcome, State
from dispatcher.core.moulds import (
    CARRIER_ID_CHARS_MIN,
    HASH_GAP,
    ID_GAP,
    REFERENCE_GAP,
    REFERENCE_PACKED,
    carrier_id_gap,
    integer_text,
    moulded,
)
from dispatcher.core.ports import Effects, VersionedHead
from dispatcher.core.retry import Rules

SEEN_BEFORE: Final = 2
"""So many messages alike go the ordinary way before their kind's rows are made."""
KINDS_MAX: Final = 1_000
"""Kinds kept at once; beyond it all are forgotten and made again as they are needed."""
_HASH_CHARS: Final = len(HASH_GAP)
_ACCEPTED, _SUBMITTED, _DELIVERED = int(Outcome.ACCEPTED), int(State.SUBMITTED), int(State.DELIVERED)
_DELIVERED_WIRE: Final = State.DELIVERED.wire
_Lines = tuple[str, ...]
_Times = tuple[tuple[str, str], ...]
"""What stands in the gap of each time, and what is to stand there."""

# Gaps for times: integers that no clock shows, so that their msgpack is found nowhere else.
_STARTED_AT, _ADMITTED_AT, _DEADLINE_AT, _ANSWERED_AT, _ACCEPTED_AT, _RECEIPT_AT, _DELIVERED_AT = (
    int.from_bytes(bytes((0x11 + i,)) * 8, "big") for i in range(7)
)
_GAPS: Final = {
    at: integer_text(at)
    for at in (_STARTED_AT, _ADMITTED_AT, _DEADLINE_AT, _ANSWERED_AT, _ACCEPTED_AT, _RECEIPT_AT, _DELIVERED_AT)
}


class Kind:
    """What messages alike have in common whenever they are sent. `head`: when started, with gaps for times too; `accepted` by
    (status, characters of an id)."""

    __slots__ = ("accepted", "head", "lines")

    def __init__(self, head: Head, lines: _Lines) -> None:
        self.head = head
        self.lines = lines
        self.accepted: dict[tuple[int, int], AcceptedRows | None] = {}


class AcceptedRows(NamedTuple):
    """A kind's rows when accepted; `delivered` by the receipt's code: head and event."""

    head: Head
    lines: _Lines
    facts: list[_Lines]
    event: _Lines
    charged: list[tuple[tuple[str, str], int]]
    delivered: dict[str, tuple[_Lines, _Lines] | None]


class Stage:
    """What messages alike have in common at one point of their path. `head`: that of all of them, with gaps.

    A message's own: of one segment the carrier's id (before it is accepted, nothing); of several (reference, carrier's ids).
    """

    __slots__ = ("head",)

    def __init__(self, head: Head) -> None:
        self.head = head

    def head_of(self, message: Message) -> Head:
        """The message's own head."""
        body, head = message.body, self.head
        if body is None:
            raise ValueError(f"{message.id}: in a stage without a body")
        many = len(head.segments) > 1
        reference, ids = message.own if many else (0, (message.own,))
        segments = [
            replace(segment, attempts=[replace(segment.attempts[0], carrier_id=carrier_id)])
            for segment, carrier_id in zip(head.segments, ids or [""] * len(head.segments), strict=True)
        ]
        return replace(head, to_hash=body.to_hash, reference=reference, segments=segments)


class Started(Stage):
    """SUBMITTING. `lines`: the head's text around the number's hash and, of several segments, the reference; `afters` by
    (status, answered at, now, characters of an id)."""

    __slots__ = ("afters", "kind", "lines", "times")

    def __init__(self, kind: Kind, head: Head, times: _Times) -> None:
        super().__init__(head)
        self.kind = kind
        self.times = times
        self.lines = _filled(kind.lines, times)
        self.afters: dict[tuple[int, int, int, int], Accepted | None] = {}

    def written(self, to: str, reference: int) -> str:
        """The head's text of one of its messages, to be written ahead."""
        lines = self.lines
        if len(lines) == 2:
            return f"{lines[0]}{to}{lines[1]}"
        return f"{lines[0]}{to}{lines[1]}{integer_text(reference)}{lines[2]}"


class Accepted(Stage):
    """SUBMITTED. `until`: the receipt's deadline (ms); `charged`: (currency, kind), amount of each fact, and `fact_lines`."""

    __slots__ = ("after", "charged", "event_lines", "fact_lines", "key", "lines", "rows", "times", "until")

    def __init__(self, rows: AcceptedRows, head: Head, times: _Times, until: int) -> None:
        super().__init__(head)
        self.rows = rows
        self.times = times
        self.until = until
        self.lines = _filled(rows.lines, times)
        facts = [(f0, f1, f2, f3, _filled((f4,), times)[0]) for f0, f1, f2, f3, f4 in rows.facts]
        each = len(facts) // len(head.segments)
        self.fact_lines = [facts[start : start + each] for start in range(0, len(facts), each)]
        self.event_lines = _filled(rows.event, times)
        self.charged = rows.charged
        self.key: tuple[Any, ...] = ()
        self.after: Delivered | None = None


class Delivered(Stage):
    """DELIVERED."""

    __slots__ = ("event_lines", "lines")

    def __init__(self, head: Head, lines: _Lines, event: _Lines) -> None:
        super().__init__(head)
        self.lines = lines
        self.event_lines = event


class Batch:
    """The stages that one claim has begun; `kinds` are kept by whoever claims, from batch to batch."""

    __slots__ = ("kinds", "now", "stages")

    def __init__(self, kinds: dict[Any, Kind | int], now: int) -> None:
        self.kinds = kinds
        self.now = now
        self.stages: dict[Any, Started] = {}

    def start(self, body: Body, carrier: str, bind: str, cost: int, sender: str) -> Started | None:
        """The stage of a message for which `happy.start` is right; None: it is among the first of its kind. What has a key, a
        reference or a group of its own is alike to nothing."""
        alike = (
            carrier, bind, cost, body.segments, body.account, body.lane, body.route, body.unit_price, body.currency,
            body.tariff, body.accepted_at, body.deadline_at, body.on_unknown, body.sender, body.country, body.mccmnc,
        )  # fmt: skip
        if body.key or body.ref or body.group or len(to := body.to_hash) != _HASH_CHARS or not to.isascii():
            return None
        return self.stages.get(alike) or self._begin(alike, body, sender)

    def _begin(self, alike: tuple[Any, ...], body: Body, sender: str) -> Started | None:
        carrier, bind, cost, *_ = alike
        key, kinds = (*alike[:10], *alike[12:]), self.kinds
        kind = kinds.get(key, 0)
        if not isinstance(kind, Kind):
            if len(kinds) >= KINDS_MAX:
                kinds.clear()
            if kind < SEEN_BEFORE:
                kinds[key] = kind + 1
                return None
            gapped = replace(body, to_hash=HASH_GAP, accepted_at=_ADMITTED_AT, deadline_at=_DEADLINE_AT)
            head = happy.start(gapped, carrier, bind, cost, _STARTED_AT, sender)
            lines = _head_lines(head)
            if lines is None:
                return None
            kind = kinds[key] = Kind(head, lines)
        now, accepted_at, deadline_at = self.now, body.accepted_at, body.deadline_at
        first = replace(kind.head.segments[0].attempts[0], at=now)
        segments = [replace(segment, attempts=[first]) for segment in kind.head.segments]
        head = replace(kind.head, at=now, first_at=now, accepted_at=accepted_at, deadline_at=deadline_at, segments=segments)
        times = _times((_STARTED_AT, now), (_ADMITTED_AT, accepted_at), (_DEADLINE_AT, deadline_at))
        stage = self.stages[alike] = Started(kind, head, times)
        return stage


def accept(effects: Effects, message: Message, answer: Answer, rules: Rules, now: int) -> Accepted | None:
    """What `happy.accept` leaves for a message of one segment of a stage, which moves on to the next one; None: nothing was
    left, ask it.

    The message is changed here: its stage and its version."""
    stage = message.stage
    number, outcome, code, carrier_id, answered_at, attempt = answer
    if stage.__class__ is not Started or outcome != _ACCEPTED or number != 1 or attempt > 1 or len(stage.lines) != 2:
        return None
    key = (code, answered_at, now, len(carrier_id))
    after = stage.afters[key] if key in stage.afters else _accepted(stage, key, rules)
    if after is None or not carrier_id.isascii():
        return None
    message_id, body = message.id, message.body
    to = body.to_hash  # type: ignore[union-attr] # messages of a stage have one
    h0, h1, h2 = after.lines
    message.version = version = message.version + 1
    effects.heads.append(VersionedHead(message_id, version, after.head, f"{h0}{carrier_id}{h1}{to}{h2}"))
    for f0, f1, f2, f3, f4 in after.fact_lines[0]:
        effects.fact_lines.append(f"{f0}{message_id}{f1}{message_id}{f2}{carrier_id}{f3}{to}{f4}")
    e0, e1, e2 = after.event_lines
    effects.event_lines.append(f"{e0}{message_id}{e1}{to}{e2}")
    counts = effects.accepted
    counts[after] = counts.get(after, 0) + 1
    message.moved(after, carrier_id)
    return after


def accept_all(effects: Effects, message: Message, answers: Sequence[Answer], rules: Rules, now: int) -> Accepted | None:
    """The same for a message of several segments, all of them answered: in their order, and in one read of one link."""
    stage = message.stage
    _, _, code, carrier_id, answered_at, _ = answers[0]
    if stage.__class__ is not Started or len(answers) != len(stage.head.segments):
        return None
    size, ids = len(carrier_id), []
    for wanted, (number, outcome, its_code, carrier_id, at, attempt) in enumerate(answers, 1):
        if outcome != _ACCEPTED or number != wanted or attempt > 1 or its_code != code or at != answered_at:
            return None
        if len(carrier_id) != size or not carrier_id.isascii():
            return None
        ids.append(carrier_id)
    if len(set(ids)) != len(ids):  # of segments that share an id a receipt speaks for all
        return None
    key = (code, answered_at, now, size)
    after = stage.afters[key] if key in stage.afters else _accepted(stage, key, rules)
    if after is None:
        return None
    message_id, body, reference = message.id, message.body, message.own[0]
    to = body.to_hash  # type: ignore[union-attr]
    message.version = version = message.version + 1
    effects.heads.append(VersionedHead(message_id, version, after.head, _long_text(after.lines, ids, to, reference)))
    append = effects.fact_lines.append
    for carrier_id, own in zip(ids, after.fact_lines, strict=True):
        for f0, f1, f2, f3, f4 in own:
            append(f"{f0}{message_id}{f1}{message_id}{f2}{carrier_id}{f3}{to}{f4}")
    e0, e1, e2 = after.event_lines
    effects.event_lines.append(f"{e0}{message_id}{e1}{to}{e2}")
    counts = effects.accepted
    counts[after] = counts.get(after, 0) + 1
    message.moved(after, (reference, ids))
    return after


def deliver(effects: Effects, message: Message, code: str, at: int, rules: Rules, now: int) -> Delivered | None:
    """What `happy.deliver` leaves for a message of a stage when all its segments have been delivered, as one read of one link
    says; None: nothing was left, ask it. The message is not changed."""
    stage = message.stage
    if stage.__class__ is not Accepted:
        return None
    account = rules.accounts.get(stage.head.account)
    if account is not None and _DELIVERED_WIRE in account.refund_on:
        return None
    key = (code, at, now)
    if stage.key != key:
        stage.key, stage.after = key, _delivered(stage, code, at, rules, now)
    after = stage.after
    if after is None:
        return None
    message_id = message.id
    to = message.body.to_hash  # type: ignore[union-attr]
    lines = after.lines
    if len(lines) == 3:
        text = f"{lines[0]}{message.own}{lines[1]}{to}{lines[2]}"
    else:
        reference, ids = message.own
        text = _long_text(lines, ids, to, reference)
    effects.heads.append(VersionedHead(message_id, message.version + 1, after.head, text))
    effects.erase.append(message_id)
    e0, e1, e2 = after.event_lines
    effects.event_lines.append(f"{e0}{message_id}{e1}{to}{e2}")
    return after


def take_money(effects: Effects) -> None:
    """Adds the reservations that accepted messages used up; once, when all of a commit have been accepted."""
    for stage, count in effects.accepted.items():
        price = stage.head.unit_price
        if price:
            effects.money.setdefault(stage.head.account, [0, 0])[1] -= price * count * len(stage.head.segments)


def _long_text(lines: _Lines, ids: Sequence[str], to: str, reference: int) -> str:
    """The head's text of a message of several segments: each id behind its line, then the hash, then the reference."""
    front = "".join([f"{line}{carrier_id}" for line, carrier_id in zip(lines, ids, strict=False)])
    return f"{front}{lines[-3]}{to}{lines[-2]}{integer_text(reference)}{lines[-1]}"


# -- making rows: the ordinary way, with gaps in the places that differ --------------------------------------------------


def _head_lines(head: Head, *ids: str) -> _Lines | None:
    """The head's text around carrier ids, hash and, of several segments, reference."""
    if len(head.segments) == 1:
        return moulded(head, *ids, HASH_GAP)
    with_gap = replace(head, reference=REFERENCE_GAP)  # encoded, not a head any more
    return moulded(with_gap, *ids, HASH_GAP, REFERENCE_PACKED)


def _accepted_rows(kind: Kind, code: int, size: int, rules: Rules) -> AcceptedRows | None:
    if size < CARRIER_ID_CHARS_MIN:
        return None
    gaps, left = [carrier_id_gap(size, number) for number in range(1, len(kind.head.segments) + 1)], Effects()
    answers = [Answer(number, _ACCEPTED, code, gap, _ANSWERED_AT) for number, gap in enumerate(gaps, 1)]
    head = happy.accept(left, Message(ID_GAP, 1, kind.head, None), answers, rules, _ACCEPTED_AT)
    if head is None:
        return None
    lines = _head_lines(head, *gaps)
    facts = [parts for fact in left.facts if (parts := moulded(fact, ID_GAP, ID_GAP, fact.carrier_id, HASH_GAP)) is not None]
    event = moulded(left.events[0], ID_GAP, HASH_GAP)
    if lines is None or event is None or len(facts) != len(left.facts):
        return None
    charged = [((fact.currency, fact.kind), fact.amount) for fact in left.facts]
    return AcceptedRows(head, lines, facts, event, charged, {})


def _delivered_rows(rows: AcceptedRows, code: str, rules: Rules) -> tuple[_Lines, _Lines] | None:
    left, segments = Effects(), rows.head.segments
    receipts = [(number, code, _RECEIPT_AT) for number in range(1, len(segments) + 1)]
    head = happy.deliver(left, Message(ID_GAP, 2, rows.head, None), receipts, rules, _DELIVERED_AT)
    if head is None:
        return None
    lines = _head_lines(head, *[segment.attempts[0].carrier_id for segment in segments])
    event = moulded(left.events[0], ID_GAP, HASH_GAP)
    return None if lines is None or event is None else (lines, event)


# -- making a stage: a kind's rows at some time ------------------------------------------------------------------------------


def _times(*pairs: tuple[int, int]) -> _Times:
    return tuple([(_GAPS[gap], integer_text(at)) for gap, at in pairs])


def _filled(lines: _Lines, times: _Times) -> _Lines:
    found = []
    for line in lines:
        for gap, at in times:
            line = line.replace(gap, at)  # noqa: PLW2901 - the same line with fewer gaps
        found.append(line)
    return tuple(found)


def _accepted(stage: Started, key: tuple[int, int, int, int], rules: Rules) -> Accepted | None:
    code, answered_at, now, size = key
    kinds = stage.kind.accepted
    if (code, size) not in kinds:
        kinds[code, size] = _accepted_rows(stage.kind, code, size, rules)
    rows = kinds[code, size]
    if rows is None:
        stage.afters[key] = None
        return None
    started_at = stage.head.first_at
    segments = [
        replace(segment, attempts=[replace(segment.attempts[0], at=started_at, answered_at=answered_at)])
        for segment in rows.head.segments
    ]
    head = replace(stage.head, state=_SUBMITTED, at=now, segments=segments)
    times = stage.times + _times((_ANSWERED_AT, answered_at), (_ACCEPTED_AT, now))
    stage.afters[key] = after = Accepted(rows, head, times, rules.receipt_deadline_at(head.lane, started_at))
    return after


def _delivered(stage: Accepted, code: str, at: int, rules: Rules, now: int) -> Delivered | None:
    kinds = stage.rows.delivered
    if code not in kinds:
        if len(kinds) >= KINDS_MAX:
            kinds.clear()
        kinds[code] = _delivered_rows(stage.rows, code, rules)
    rows = kinds[code]
    if rows is None:
        return None
    head = replace(stage.head, state=_DELIVERED, at=now)
    times = stage.times + _times((_RECEIPT_AT, at), (_DELIVERED_AT, now))
    return Delivered(head, _filled(rows[0], times), _filled(rows[1], times))
