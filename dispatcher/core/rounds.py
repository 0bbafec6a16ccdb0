"""What is submitted together: the write-ahead, and the rules for messages of several segments.

It refuses to know evidence: lifecycle.py has already moved each segment by its table when `regroup` looks at them all.

Theory. A *round* is one submission of all segments under one concatenation reference. Within `multipart_retry_s` of
its start a segment that closed without delivery goes again alone, on the same carrier and with the same header
(`pin`, `reference`), because handsets complete a message only from parts that agree. Later, or when another carrier is
needed, it is *parked*: WAITING without a due instant. When nothing of the round is undecided any more, then either
every segment is closed without delivery and the whole message goes again (new round, new reference, any carrier), or
the parked segments end and the message is as good as its worst segment. Segments that end badly end the retries of
their siblings too: nobody reads half a message, but we would pay for it.
"""

from __future__ import annotations

from msgspec.structs import replace

from dispatcher.core.model import ATTEMPTS_MAX, Attempt, Body, Head, Message, OnUnknown, Outcome, Segment, State
from dispatcher.core.retry import Again, Rules, Stop


class Breach(AssertionError):
    """An invariant of promises.md was about to be broken. Always on: a plain assert would vanish under -O."""


def head_of(body: Body, sender: str = "") -> Head:
    """The head that a message without one would have: queued, no attempts."""
    return Head(
        State.QUEUED,
        body.accepted_at,
        [Segment() for _ in range(body.segments)],
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
        key=body.key,
        ref=body.ref,
        sender=body.sender or sender,
        country=body.country,
        mccmnc=body.mccmnc,
        group=body.group,
    )


def ready(message: Message, now: int) -> list[int]:
    """Segments (1-based) that may be submitted now (ms). Empty: nothing may, `decide(message, DueReached(), ...)` says
    what else is to be done, often nothing."""
    head = message.head
    if head is None:
        body = message.body
        return [] if body is None or now >= body.deadline_at else list(range(1, body.segments + 1))
    if now >= head.deadline_at or head.state == State.SUBMITTING:
        return []
    return [number for number, segment in enumerate(head.segments, 1) if _is_ready(segment, now)]


def _is_ready(segment: Segment, now: int) -> bool:
    if segment.state == State.QUEUED:
        return True
    return segment.state in _PLANNED and 0 < segment.due_at <= now


_PLANNED = frozenset({State.WAITING, State.DOUBT})


def begin(
    message: Message, carrier: str, bind: str, cost: int, reference: int, now: int, sender: str = ""
) -> tuple[Head, list[int]]:
    """The write-ahead: the head that must be durable before bytes leave, and the 1-based segments to submit.

    `cost` is the carrier's price per segment (micro-units); `reference` (never 0 for several segments) is used when a
    new round begins, else the head keeps its own: send what the returned head says. `sender` is the carrier's, for
    sends that have none. The caller writes the head as version `message.version + 1`. Raises Breach when nothing may
    be submitted now (ask `ready` first) or a pinned message is begun elsewhere.
    """
    head = message.head
    if head is None:
        body = message.body
        if body is None or now >= body.deadline_at:
            raise Breach(f"{message.id}: nothing to submit")
        first = Attempt(1, carrier, bind, now, Outcome.PENDING, 0, "", 0, cost)
        new = head_of(body, sender)
        new.state = State.SUBMITTING
        new.at = new.first_at = now
        new.reference = reference
        # Attempts are values: one object stands in every segment until its answer replaces it.
        new.segments = [Segment(State.SUBMITTING, [first]) for _ in range(body.segments)]
        return new, list(range(1, body.segments + 1))
    numbers = ready(message, now)
    if not numbers:
        raise Breach(f"{message.id}: nothing to submit")
    if head.pin and head.pin != carrier:
        raise Breach(f"{message.id}: pinned to {head.pin}, begun on {carrier}")
    segments = list(head.segments)
    for number in numbers:
        segment = segments[number - 1]
        check_closed(message.id, head, segment)
        attempt = Attempt(len(segment.attempts) + 1, carrier, bind, now, Outcome.PENDING, 0, "", 0, cost)
        segments[number - 1] = replace(segment, state=State.SUBMITTING, attempts=[*segment.attempts, attempt], due_at=0)
    return (
        replace(
            head,
            state=State.SUBMITTING,
            at=now,
            segments=segments,
            first_at=head.first_at or now,
            due_at=0,
            reference=head.reference or reference,
            sender=head.sender or sender,
        ),
        numbers,
    )


def check_closed(message_id: str, head: Head, segment: Segment) -> None:
    """Invariants I3 and I5: at most five attempts; another one only when the last closed without delivery, or is a
    doubt under `resend`; nothing while any attempt is accepted and undecided. Raises Breach."""
    if len(segment.attempts) >= ATTEMPTS_MAX:
        raise Breach(f"{message_id}: attempt {len(segment.attempts) + 1} of {ATTEMPTS_MAX}")
    for attempt in segment.attempts:
        if attempt.outcome == Outcome.PENDING or is_open(attempt):
            raise Breach(f"{message_id}: attempt {attempt.number} is undecided")
        if attempt.outcome == Outcome.UNKNOWN and head.on_unknown != OnUnknown.RESEND:
            raise Breach(f"{message_id}: attempt {attempt.number} is unknown and the policy is hold")


CLOSING_RECEIPTS = frozenset({"DELIVRD", "UNDELIV", "FAILED", "EXPIRED", "DELETED", "REJECTD", "UNKNOWN"})
"""Receipt states after which an attempt is decided."""


def is_open(attempt: Attempt) -> bool:
    """Accepted and undecided: a receipt may still come. Without a carrier's id none can, unless one has come already."""
    if attempt.outcome != Outcome.ACCEPTED or attempt.receipt in CLOSING_RECEIPTS:
        return False
    return bool(attempt.carrier_id or attempt.receipt)


def state_of(segments: list[Segment]) -> State:
    """The message's state: busy before planned before doubtful before submitted; final, the worst, when all are."""
    states = {segment.state for segment in segments}
    if len(states) == 1 and State.WAITING not in states:
        return State(states.pop())
    if State.SUBMITTING in states:
        return State.SUBMITTING
    if any(s.state == State.QUEUED or (s.state == State.WAITING and s.due_at) for s in segments):
        return State.WAITING
    if State.DOUBT in states:
        return State.DOUBT
    if State.SUBMITTED in states or State.WAITING in states:
        return State.SUBMITTED
    return State(max(states))


def ended(segment: Segment, state: State, *, sure: bool = False) -> Segment:
    """`segment` with no attempt to come: in `state`; but while an earlier attempt's outcome is unknown it stays a
    doubt (it may yet be delivered), unless the evidence is `sure` to hold for that attempt too."""
    if not sure and any(a.outcome == Outcome.UNKNOWN for a in segment.attempts):
        state = State.DOUBT
    return replace(segment, state=state, due_at=0)


def left_over(segment: Segment, sibling: State) -> State:
    """The end of a WAITING segment that will not go again, by its last evidence; a segment never submitted shares the
    fate of the sibling that ended it."""
    if not segment.attempts:
        return sibling
    last = segment.attempts[-1]
    if last.receipt == "EXPIRED":
        return State.EXPIRED
    return State.UNDELIVERED if last.outcome == Outcome.ACCEPTED else State.FAILED


def alone_until(head: Head, segments: list[Segment], rules: Rules) -> int:
    """Until when (ms) a segment of the current round may go again alone."""
    common: set[int] | None = None
    for segment in segments:
        times = {a.at for a in segment.attempts}
        common = times if common is None else common & times
    return (max(common) if common else head.first_at) + rules.multipart_ms


_PARTIAL = frozenset({State.DELIVERED, State.UNKNOWN})
"""Final states of a segment with which its siblings' retries still make sense."""


def regroup(head: Head, segments: list[Segment], rules: Rules, now: int) -> Stop | None:
    """Applies the rules above to the segments of one message, in place on `segments` and `head` (both the caller's own
    copies). Returns why parked segments ended, None when none did."""
    bad = [s.state for s in segments if s.state >= State.DELIVERED and s.state not in _PARTIAL]
    if bad:
        head.pin = ""
        return _end_planned(segments, State(max(bad)), Stop.SIBLING)
    if any(s.state == State.SUBMITTING for s in segments):
        return None
    planned = [s for s in segments if s.state in _PLANNED]
    all_closed = len(planned) == len(segments)
    if all_closed and all(s.state == State.WAITING for s in segments):
        return _whole_again(head, segments, rules, now)
    idle = not any(s.state == State.SUBMITTED or s.due_at for s in segments)
    if idle and all_closed and all(s.state == State.WAITING or _resendable(head, s, rules, now) for s in segments):
        return _whole_again(head, segments, rules, now)
    if idle and any(s.state == State.WAITING for s in planned):
        head.pin = ""
        return _end_planned(segments, State.UNDELIVERED, Stop.WINDOW)
    _pin(head, segments)
    return None


def _pin(head: Head, segments: list[Segment]) -> None:
    if any(s.due_at for s in segments):
        head.pin = next((s.attempts[-1].carrier for s in segments if s.attempts and s.state != State.WAITING), "") or next(
            (s.attempts[-1].carrier for s in segments if s.attempts), ""
        )
    else:
        head.pin = ""


def _end_planned(segments: list[Segment], sibling: State, why: Stop) -> Stop | None:
    stop = None
    for i, segment in enumerate(segments):
        if segment.state in {State.WAITING, State.QUEUED}:
            segments[i] = ended(segment, left_over(segment, sibling))
            stop = why
        elif segment.state == State.DOUBT and segment.due_at:
            segments[i] = replace(segment, due_at=0)
            stop = why
    return stop


def _resendable(head: Head, segment: Segment, rules: Rules, now: int) -> bool:
    return segment.state == State.DOUBT and rules.plan(Again.DOUBT, head, segment, now).stop is None


def _delay_ms(head: Head, segment: Segment, rules: Rules) -> int:
    """The pause of a parked segment, by its last failure; a doubt's grace has passed while it was parked."""
    last = segment.attempts[-1]
    again = Again.LATER if last.receipt else Again.REFUSED
    return rules.delay_ms(again, head.lane, last.cause, last.number)


def _whole_again(head: Head, segments: list[Segment], rules: Rules, now: int) -> Stop | None:
    """All segments closed without delivery: one new round, at the latest of their instants."""
    due = max(s.due_at or now + _delay_ms(head, s, rules) for s in segments)
    if due >= head.deadline_at:
        for i, segment in enumerate(segments):
            segments[i] = ended(segment, left_over(segment, State.EXPIRED))
        return Stop.VALIDITY
    for i, segment in enumerate(segments):
        segments[i] = replace(segment, due_at=due)
    head.pin = ""
    head.reference = 0
    return None
