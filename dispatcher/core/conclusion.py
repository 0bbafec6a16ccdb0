"""What follows for the message once its segments have moved: its state, its money, its rows, its place in the due set.

It refuses to know the table (lifecycle.py) and how long messages go again (rounds.py). `Case` is a decision in the
making: copies that may be changed, so that the caller's message never is.

Money per segment (micro-units): admission reserved `unit_price`. The first known acceptance posts it (reserved down);
the message's final state gives back what was never posted (reserved down, available up), posts an `unknown` when the
account says so, and refunds posts when the account refunds that state (available up). Refunds go by the message's
state, not the segment's: a customer whose message failed does not care which part did.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from accounting.ledger import Fact
from dispatcher.core import facts, rounds
from dispatcher.core.customer import Account
from dispatcher.core.model import Attempt, EventRow, Head, Message, Segment, State
from dispatcher.core.ports import Due, Effects, VersionedHead
from dispatcher.core.retry import Rules

_FINAL, _SUBMITTING, _SUBMITTED, _DOUBT = (int(s) for s in (State.DELIVERED, State.SUBMITTING, State.SUBMITTED, State.DOUBT))

_RESTING = (int(State.WAITING), int(State.DOUBT))


class Decision(msgspec.Struct, gc=False):
    """What evidence leads to. With `changed` False nothing is to be written and the rest means nothing.

    `head` is to be written as version + 1; `available` and `reserved` are deltas of the account, micro-units; `due_at`
    (ms) 0: not in the due set; `final`: the message has ended (also when a final state was only refined).
    """

    head: Head
    facts: list[Fact]
    events: list[EventRow]
    available: int = 0
    reserved: int = 0
    due_at: int = 0
    final: bool = False
    changed: bool = True


class Case:
    """A decision in the making: copies that may be changed, and what has been found so far."""

    __slots__ = (
        "available",
        "changed",
        "facts",
        "head",
        "id",
        "interim",
        "news",
        "now",
        "reserved",
        "rules",
        "segments",
        "throttled",
    )

    def __init__(self, id: str, head: Head, rules: Rules, now: int) -> None:  # noqa: A002 - the field's name
        self.id = id
        self.segments = head.segments.copy()
        self.head: Head = replace(head, segments=self.segments)
        self.rules = rules
        self.now = now
        self.facts: list[Fact] = []
        self.available = 0
        self.reserved = 0
        self.throttled: tuple[int, Attempt] | None = None
        self.changed = False
        self.news = False
        """Something happened that a customer may hear of (a segment that merely was not sent is none)."""
        self.interim = False


def accepted(case: Case, i: int, attempt: Attempt) -> None:
    """First knowledge that a carrier took this attempt: our cost; the customer pays if this is the segment's first."""
    segment, head = case.segments[i], case.head
    if not segment.posted and head.state < _FINAL:
        case.facts.append(facts.post(case.id, head, i + 1, attempt, case.now))
        case.reserved -= head.unit_price
        segment.posted = True  # the case's own copy by now
    if attempt.cost:
        currency, tariff = case.rules.cost_tariffs.get(attempt.carrier, (head.currency, ""))
        case.facts.append(facts.cost(case.id, head, i + 1, attempt, case.now, currency, tariff))


def deadline_of(head: Head, segment: Segment, rules: Rules) -> int:
    """Until when (ms) evidence about a segment is awaited: the receipt deadline of its last submission."""
    return rules.receipt_deadline_at(head.lane, segment.attempts[-1].at)


def awaits_deadline(segment: Segment) -> bool:
    """True when only the due set can end it: a doubt, or an accepted attempt without an id, to which no correlation
    leads (a receipt alone has proven it)."""
    if segment.state == _SUBMITTED:
        attempts = segment.attempts
        if len(attempts) == 1:
            return not attempts[0].carrier_id
        return not any(a.carrier_id and rounds.is_open(a) for a in attempts)
    return segment.state == _DOUBT


def concluded(case: Case, before: Head) -> Decision:
    """The message's state, instant, money and event from its segments."""
    head, segments = case.head, case.segments
    was_final = before.state >= _FINAL
    if len(segments) == 1:
        state = segments[0].state
    else:
        stop = None if was_final else rounds.regroup(head, segments, case.rules, case.now)
        if stop is not None:
            head.stopped = stop
        state = rounds.state_of(segments)
    head.state = state
    head.at = case.now
    due = 0
    final = state >= _FINAL
    if was_final:
        head.refined = True
    elif final:
        _final_money(case)
    elif state != _SUBMITTING:
        for segment in segments:
            at = segment.due_at
            if not at and awaits_deadline(segment):
                at = deadline_of(head, segment, case.rules)
            if at and (not due or at < due):
                due = at
    head.due_at = due
    events = []
    # News for the customer is a new state at rest, and an interim receipt; not a message still being submitted, nor one
    # that is back in its place because nothing had been sent.
    if (case.interim and state != _SUBMITTING) or (
        state not in (before.state, _SUBMITTING) and (case.news or state not in _RESTING)
    ):
        events.append(facts.event_of(case.id, head, case.throttled, case.now))
    return Decision(head, case.facts, events, case.available, case.reserved, due, final, True)


def _final_money(case: Case) -> None:
    """With the final state: unknowns are posted or not as the account says, what was never posted goes back, and posts
    are refunded when the message's state is one the account refunds (never for `unknown`)."""
    head = case.head
    account = case.rules.account(head.account) or _DEFAULTS
    refunds = facts.wire(head.state) in account.refund_on and head.state != State.UNKNOWN
    price = head.unit_price
    for i, segment in enumerate(case.segments):
        number = i + 1
        if segment.posted and not refunds:
            continue
        if not segment.posted and segment.state == State.UNKNOWN and account.unknown == "post":
            segment = replace(segment, posted=True)  # noqa: PLW2901 - the copy takes its place
            case.facts.append(facts.post(case.id, head, number, segment.attempts[-1], case.now))
            case.reserved -= price
        elif not segment.posted:
            case.facts.append(facts.give_back(case.id, head, number, segment, "void", case.now))
            case.reserved -= price
            case.available += price
        if segment.posted and refunds:
            segment = replace(segment, refunded=True)  # noqa: PLW2901
            case.facts.append(facts.give_back(case.id, head, number, segment, "refund", case.now))
            case.available += price
        case.segments[i] = segment


_DEFAULTS = Account(name="", currency="")


def collect(effects: Effects, message: Message, decision: Decision) -> None:
    """Adds a decision to a commit: head (version + 1), rows, money, due set, body to erase, group counters. What is
    `settled`, and correlations, are the engine's to add. Does nothing for an unchanged one."""
    if not decision.changed:
        return
    head, before = decision.head, message.head
    effects.heads.append(VersionedHead(message.id, message.version + 1, head))
    effects.facts += decision.facts
    effects.events += decision.events
    if decision.available or decision.reserved:
        money = effects.money.setdefault(head.account, [0, 0])
        money[0] += decision.available
        money[1] += decision.reserved
    # An unchanged instant stands in the due set already, or has become a queue element: a second one would be popped twice.
    if decision.due_at and (before is None or decision.due_at != before.due_at):
        effects.due.append(Due(head.route, head.lane, head.account, message.id, decision.due_at))
    elif not decision.due_at and before is not None and before.due_at:
        effects.undue.append(Due(head.route, head.lane, head.account, message.id, before.due_at))
    if decision.final:
        was = State(before.state) if before is not None else State.QUEUED
        if not was.final:
            effects.erase.append(message.id)
        if head.group and was != head.state:
            finals = effects.group_finals.setdefault(head.group, {})
            wire = State(head.state).wire
            finals[wire] = finals.get(wire, 0) + 1
            if was.final:
                finals[was.wire] = finals.get(was.wire, 0) - 1
