"""Messages that are alike, led through the happy path together: one head, one post, one event for all of them, with gaps.

It refuses to know anything that happy.py does not say more slowly: a stage is made by calling it for one message, and
tests/laws proves that what the messages of a stage leave is, byte for byte, what happy.py leaves for each.

Theory. The messages of a batch differ in their id, their number and the carrier's id, hardly in anything else. All that they
share is decided, built and encoded once, as a stage: `Started`, then `Accepted`, then `Delivered`. A message of a stage holds
no head, it holds the stage; whoever wants its head asks `Message.head`, which makes one, and whoever gives it another head
takes it out of its stage. So nothing outside this file has to know, and a message that leaves the path is an ordinary one.

Making a stage costs as much as some ten messages the ordinary way, so it is made only when messages alike have been seen.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from dispatcher.core import happy
from dispatcher.core.evidence import Answer
from dispatcher.core.model import Body, Head, Message, Outcome, State
from dispatcher.core.moulds import CARRIER_ID_CHARS_MIN, CARRIER_ID_GAP, HASH_GAP, ID_GAP, moulded
from dispatcher.core.ports import Effects
from dispatcher.core.retry import Rules

SEEN_BEFORE: Final = 2
"""So many messages alike go the ordinary way before a stage is made for those behind them."""
_HASH_CHARS: Final = len(HASH_GAP)
_ACCEPTED: Final = int(Outcome.ACCEPTED)
_DELIVERED_WIRE: Final = State.DELIVERED.wire
_Lines = tuple[str, ...]


class Stage:
    """What messages alike have in common at one point of their path. `head`: that of all of them, with gaps."""

    __slots__ = ("head",)

    def __init__(self, head: Head) -> None:
        self.head = head

    def head_of(self, message: Message) -> Head:
        """The message's own head."""
        body, head = message.body, self.head
        if body is None:
            raise ValueError(f"{message.id}: in a stage without a body")
        (segment,) = head.segments
        attempt = replace(segment.attempts[0], carrier_id=message.carrier_id)
        return replace(head, to_hash=body.to_hash, segments=[replace(segment, attempts=[attempt])])


class Started(Stage):
    """SUBMITTING. `lines`: the head's text around the number's hash."""

    __slots__ = ("after", "key", "lines")

    def __init__(self, head: Head, lines: _Lines) -> None:
        super().__init__(head)
        self.lines = lines
        self.key: tuple[int, ...] = ()
        self.after: Accepted | None = None


class Accepted(Stage):
    """SUBMITTED. `until`: the receipt's deadline (ms); `charged`: (currency, kind) and amount of each of its facts."""

    __slots__ = ("after", "charged", "cost_lines", "event_lines", "fact_lines", "key", "lines", "until")

    def __init__(self, head: Head, until: int, lines: _Lines, facts: list[_Lines], event: _Lines, charged: Any) -> None:
        super().__init__(head)
        self.until = until
        self.lines = lines
        self.fact_lines = facts[0]
        self.cost_lines = facts[1] if len(facts) > 1 else None
        self.event_lines = event
        self.charged: list[tuple[tuple[str, str], int]] = charged
        self.key: tuple[Any, ...] = ()
        self.after: Delivered | None = None


class Delivered(Stage):
    """DELIVERED."""

    __slots__ = ("event_lines", "lines")

    def __init__(self, head: Head, lines: _Lines, event: _Lines) -> None:
        super().__init__(head)
        self.lines = lines
        self.event_lines = event


def start(stages: dict[Any, Any], body: Body, carrier: str, bind: str, cost: int, now: int, sender: str) -> Started | None:
    """The stage of a message for which `happy.start` is right; None: it is among the first of its kind in `stages`, which is
    for one `now`. What has a key, a reference or a group of its own is alike to nothing."""
    alike = (
        carrier, bind, cost, body.account, body.lane, body.route, body.unit_price, body.currency, body.tariff,
        body.accepted_at, body.deadline_at, body.on_unknown, body.sender, body.country, body.mccmnc,
    )  # fmt: skip
    if body.key or body.ref or body.group or len(to := body.to_hash) != _HASH_CHARS or not to.isascii():
        return None
    found = stages.get(alike, 0)
    if found.__class__ is Started:
        return found
    if found == SEEN_BEFORE:
        head = replace(happy.start(body, carrier, bind, cost, now, sender), to_hash=HASH_GAP)
        lines = moulded(head, HASH_GAP)
        if lines is not None:
            found = stages[alike] = Started(head, lines)
            return found
    else:
        stages[alike] = found + 1
    return None


def accept(effects: Effects, message: Message, answer: Answer, rules: Rules, now: int) -> Accepted | None:
    """What `happy.accept` leaves for a message of a stage, which moves on to the next one; None: nothing was left, ask it.

    The message is changed here: its stage and its version."""
    stage = message.stage
    number, outcome, code, carrier_id, answered_at, attempt = answer
    if stage.__class__ is not Started or outcome != _ACCEPTED or number != 1 or attempt > 1:
        return None
    key = (code, answered_at, now, len(carrier_id))
    if stage.key == key:
        after = stage.after or _accepted(stage, message, answer, rules, now)
    else:
        stage.key, stage.after = key, None
        return None
    if after is None or not carrier_id.isascii():
        return None
    message_id, body = message.id, message.body
    to = body.to_hash  # type: ignore[union-attr] # messages of a stage have one
    h0, h1, h2 = after.lines
    message.version = version = message.version + 1
    effects.heads.append(happy.versioned((message_id, version, after.head, f"{h0}{carrier_id}{h1}{to}{h2}")))
    f0, f1, f2, f3, f4 = after.fact_lines
    effects.fact_lines.append(f"{f0}{message_id}{f1}{message_id}{f2}{carrier_id}{f3}{to}{f4}")
    if after.cost_lines is not None:
        f0, f1, f2, f3, f4 = after.cost_lines
        effects.fact_lines.append(f"{f0}{message_id}{f1}{message_id}{f2}{carrier_id}{f3}{to}{f4}")
    e0, e1, e2 = after.event_lines
    effects.event_lines.append(f"{e0}{message_id}{e1}{to}{e2}")
    counts = effects.accepted
    counts[after] = counts.get(after, 0) + 1
    message.moved(after, carrier_id)
    return after


def deliver(effects: Effects, message: Message, code: str, at: int, rules: Rules, now: int) -> Delivered | None:
    """What `happy.deliver` leaves for a message of a stage; None: nothing was left, ask it. The message is not changed."""
    stage = message.stage
    if stage.__class__ is not Accepted:
        return None
    account = rules.accounts.get(stage.head.account)
    if account is not None and _DELIVERED_WIRE in account.refund_on:
        return None
    key = (code, at, now)
    if stage.key == key:
        after = stage.after or _delivered(stage, message, code, at, rules, now)
    else:
        stage.key, stage.after = key, None
        return None
    if after is None:
        return None
    message_id = message.id
    to = message.body.to_hash  # type: ignore[union-attr]
    h0, h1, h2 = after.lines
    text = f"{h0}{message.carrier_id}{h1}{to}{h2}"
    effects.heads.append(happy.versioned((message_id, message.version + 1, after.head, text)))
    effects.erase.append(message_id)
    e0, e1, e2 = after.event_lines
    effects.event_lines.append(f"{e0}{message_id}{e1}{to}{e2}")
    return after


def take_money(effects: Effects) -> None:
    """Adds the reservations that accepted messages used up; once, when all of a commit have been accepted."""
    for stage, count in effects.accepted.items():
        price = stage.head.unit_price
        if price:
            effects.money.setdefault(stage.head.account, [0, 0])[1] -= price * count


# -- making a stage: the ordinary way, with gaps in the places that differ ---------------------------------------------


def _gapped(message: Message) -> Message:
    """The message as any of its stage could be."""
    return Message(ID_GAP, message.version, message.stage.head, message.body)


def _accepted(stage: Started, message: Message, answer: Answer, rules: Rules, now: int) -> Accepted | None:
    size = len(answer.carrier_id)
    if size < CARRIER_ID_CHARS_MIN:
        return None
    gap, left = CARRIER_ID_GAP * size, Effects()
    head = happy.accept(left, _gapped(message), answer._replace(carrier_id=gap), rules, now)
    if head is None:
        return None
    lines = moulded(head, gap, HASH_GAP)
    facts = [parts for fact in left.facts if (parts := moulded(fact, ID_GAP, ID_GAP, gap, HASH_GAP)) is not None]
    event = moulded(left.events[0], ID_GAP, HASH_GAP)
    if lines is None or event is None or len(facts) != len(left.facts):
        return None
    charged = [((fact.currency, fact.kind), fact.amount) for fact in left.facts]
    until = rules.receipt_deadline_at(head.lane, head.segments[0].attempts[0].at)
    stage.after = Accepted(head, until, lines, facts, event, charged)
    return stage.after


def _delivered(stage: Accepted, message: Message, code: str, at: int, rules: Rules, now: int) -> Delivered | None:
    left = Effects()
    head = happy.deliver(left, _gapped(message), code, at, rules, now)
    if head is None:
        return None
    lines = moulded(head, head.segments[0].attempts[0].carrier_id, HASH_GAP)
    event = moulded(left.events[0], ID_GAP, HASH_GAP)
    if lines is None or event is None:
        return None
    stage.after = Delivered(head, lines, event)
    return stage.after
