"""The life of a message: the code that applies the one table (moves.py).

It refuses to know clocks, stores, sockets and chance: time is an argument, effects are values, and what is configurable
is asked of `Rules`. Inputs are never changed; a caller whose write was refused re-reads and decides again.

Theory
------
A message is its segments; each segment lives by the table below, alone:

    QUEUED -> SUBMITTING -> SUBMITTED -> DELIVERED             the happy path
                 |   |          |
                 |   |          +-> WAITING                    a receipt said "not now": it goes again later
                 |   +-> WAITING -> SUBMITTING ...             the carrier said "not now", or nothing left the house
                 +-> DOUBT -> SUBMITTING | SUBMITTED | ...     nobody said anything: the doubt policy decides

and ends in one of seven final states. `begin` (rounds.py) makes the only arrow into SUBMITTING; every other arrow is a
cell of the table: state of the segment x what the evidence means for it (`Signal`) -> `Move`. A cell that is not there
is stale evidence, which changes nothing. Three rules stand above the cells (`_settle`):

1. A receipt proves acceptance. For an attempt that nobody had answered it first does what ACCEPTED does.
2. While any attempt of a segment is in flight or accepted and undecided, news of another attempt is only recorded.
3. DELIVRD for any attempt of a segment that has not ended delivers it.

A segment that has ended while its siblings have not still takes down what is said of its attempts.

Then rounds.regroup looks at the segments of a long message together, the message takes the state of its segments, and
money follows: post and cost at the first known acceptance, void and refund with the final state.
"""

from __future__ import annotations

from msgspec.structs import replace

from dispatcher.core import rounds
from dispatcher.core.conclusion import Case, Decision, accepted, awaits_deadline, collect, concluded, deadline_of
from dispatcher.core.evidence import (
    Answer,
    Answers,
    Cancel,
    DueReached,
    Evidence,
    NoReceipt,
    ReceiptSeen,
    Signal,
    TakenOver,
    ValidityOver,
    Withdrawn,
    of_answer,
    of_receipt,
)
from dispatcher.core.model import Attempt, Message, Outcome, Segment, State
from dispatcher.core.moves import TABLE, Move
from dispatcher.core.retry import Again, Rules, Stop
from dispatcher.core.rounds import Breach, begin, head_of, ready

__all__ = [
    "TABLE",
    "Answer",
    "Answers",
    "Breach",
    "Cancel",
    "Decision",
    "DueReached",
    "Evidence",
    "Move",
    "NoReceipt",
    "ReceiptSeen",
    "Rules",
    "TakenOver",
    "ValidityOver",
    "Withdrawn",
    "begin",
    "collect",
    "decide",
    "head_of",
    "ready",
]


# The hot path's names: in Python 3.11 each look-up of an enumeration's member costs 0.1 us.
_FINAL = int(State.DELIVERED)
"""The least of the final states."""
_PENDING, _UNKNOWN, _ACCEPTED = int(Outcome.PENDING), int(Outcome.UNKNOWN), int(Outcome.ACCEPTED)
_SILENCE, _UNDONE, _VALIDITY = Signal.SILENCE, Signal.UNDONE, Signal.VALIDITY
_INTERIM, _DELIVRD = Signal.R_INTERIM, Signal.R_DELIVERED
_TAKEN = frozenset({Signal.ACCEPTED, Signal.BLIND})
_CELLS = {(int(state), signal): move for state, cells in TABLE.items() for signal, move in cells.items()}


def decide(message: Message, evidence: Evidence, rules: Rules, now: int) -> Decision:
    """What `evidence`, seen at `now` (ms), makes of the message. Pure; raises ValueError for a message with neither
    head nor body, or for an answer that is none (PENDING)."""
    head = message.head
    if head is None:
        if message.body is None:
            raise ValueError(f"{message.id}: neither head nor body")
        head = head_of(message.body)
    case = Case(message.id, head, rules, now)
    if isinstance(evidence, Answers):
        kept = evidence.tlvs or {}
        for answer in evidence.answers:
            _answered(case, answer, kept.get(answer.segment) or kept.get(0))
    elif isinstance(evidence, ReceiptSeen):
        _receipt(case, evidence)
    elif isinstance(evidence, NoReceipt):
        _ended_by(case, evidence, "UNKNOWN", "no_receipt", Signal.R_UNKNOWN)  # as if the carrier had said UNKNOWN
    elif isinstance(evidence, Withdrawn):
        _ended_by(case, evidence, "DELETED", "cancelled", Signal.WITHDRAWN)
    elif isinstance(evidence, TakenOver):
        for number, segment in enumerate(head.segments, 1):
            if segment.state == State.SUBMITTING:
                _answered(case, Answer(number, _UNKNOWN, 0, "", now))
    elif head.state < _FINAL and head.state != State.SUBMITTING:
        _swept(case, evidence)
    if not case.changed:
        return Decision(head, [], [], due_at=head.due_at, final=head.state >= _FINAL, changed=False)
    return concluded(case, head)


def _answered(case: Case, answer: Answer, tlvs: dict[str, str] | None = None) -> None:
    """One answer, on time or late. Only an attempt that is pending or unknown can still be answered. Of a segment that has
    ended while others have not, an acceptance is still told: it is our cost, and its receipt may come."""
    i = answer.segment - 1
    segment = case.segments[i]
    attempts = segment.attempts
    n = answer.attempt or len(attempts)
    if not 0 < n <= len(attempts):
        return
    old = attempts[n - 1]
    signal = of_answer(answer.outcome, answer.carrier_id)
    if segment.state >= _FINAL and (case.head.state >= _FINAL or signal not in _TAKEN):
        return
    if old.outcome != _PENDING and (old.outcome != _UNKNOWN or signal is _SILENCE):
        if signal is Signal.ACCEPTED and old.outcome == _ACCEPTED and old.receipt and not old.carrier_id:
            new = replace(old, code=answer.code, carrier_id=answer.carrier_id, answered_at=answer.at)
            if rounds.is_open(old):
                _settle(case, i, n, new, signal)
            else:
                _recorded(case, i, n, new)
        return  # answered before; only the id of what a receipt had proven was missing
    outcome = answer.outcome
    if signal is _SILENCE:
        outcome = _UNKNOWN
    elif signal is _UNDONE:
        if n == len(attempts):
            _undo(case, i, old, answer)
            return
        outcome = Outcome.TEMPORARY  # a later attempt exists, so this number cannot be taken back
    new = replace(old, outcome=outcome, code=answer.code, carrier_id=answer.carrier_id or old.carrier_id, answered_at=answer.at)
    new.tlvs = tlvs or old.tlvs
    _settle(case, i, n, new, signal)


def _undo(case: Case, i: int, old: Attempt, answer: Answer) -> None:
    """Throttled or not sent: the attempt written ahead never was. The segment is what it was before, after a pause."""
    case.changed = True
    segment = case.segments[i]
    kept = segment.attempts[:-1]
    due = case.now + case.rules.pause_ms(old.carrier, answer.outcome)
    state = State.DOUBT if kept and kept[-1].outcome == _UNKNOWN else State.WAITING
    segment = replace(segment, state=state, attempts=kept, due_at=due)
    case.segments[i] = _overruled(segment, -1) or segment
    if answer.outcome == Outcome.THROTTLED:
        case.throttled = (answer.code, old)
        case.news = True


def _receipt(case: Case, seen: ReceiptSeen) -> None:
    """A receipt; of a carrier that sends one per message, or that got one submit, it speaks for every segment accepted so."""
    i = seen.segment - 1
    if not 0 <= i < len(case.segments) or not 0 < seen.attempt <= len(case.segments[i].attempts):
        return
    signal = of_receipt(seen.state, seen.cause)
    attempt = case.segments[i].attempts[seen.attempt - 1]
    _receipt_of(case, i, seen.attempt, seen, signal)
    if len(case.segments) > 1 and signal is not _INTERIM:
        for k, last in _siblings(case, i, attempt, per_message=case.rules.per_message(attempt.carrier)):
            _receipt_of(case, k, last.number, seen, signal)


def _siblings(case: Case, i: int, attempt: Attempt, *, per_message: bool) -> list[tuple[int, Attempt]]:
    """The other segments' latest attempts, accepted and undecided, that went in the same submit (they share the carrier's id);
    with `per_message` all at that carrier."""
    lasts = [(k, s.attempts[-1]) for k, s in enumerate(case.segments) if k != i and s.attempts]
    return [
        (k, last)
        for k, last in lasts
        if last.carrier == attempt.carrier
        and (per_message or (last.carrier_id == attempt.carrier_id != ""))
        and rounds.is_open(last)
    ]


def _receipt_of(case: Case, i: int, n: int, seen: ReceiptSeen, signal: Signal) -> None:
    segment = case.segments[i]
    old = segment.attempts[n - 1]
    told_only = False
    if segment.state >= _FINAL:
        told_only = not _refines(case, segment, old, signal)
        if told_only and (case.head.state >= _FINAL or signal is _INTERIM or not rounds.is_open(old)):
            return
    elif old.receipt in rounds.CLOSING_RECEIPTS and signal is not _DELIVRD:
        return  # an attempt is decided once; only DELIVRD is stronger than what was said before
    elif old.receipt == seen.state or (signal is _INTERIM and old.receipt_at >= seen.at):
        return  # a repeat, or an interim one overtaken by a younger one
    if signal is _INTERIM:
        case.interim = True
    new = replace(old, receipt=seen.state, receipt_code=seen.code, cause=seen.cause, receipt_at=seen.at)
    if seen.tlvs:
        new.tlvs = {**(old.tlvs or {}), **seen.tlvs}
    if told_only:
        _recorded(case, i, n, new)
    else:
        _settle(case, i, n, new, signal)


def _refines(case: Case, segment: Segment, old: Attempt, signal: Signal) -> bool:
    """Does a receipt of this attempt change a segment that has ended? Only `unknown` can be refined."""
    if segment.state != State.UNKNOWN or signal not in TABLE[State.UNKNOWN]:
        return False
    if case.head.state >= _FINAL and case.head.state != State.UNKNOWN:
        return False  # the message ended by a worse segment: nothing to refine
    # unless delivered, another attempt may still have been
    return signal is _DELIVRD or all(a is old or _closed(a) for a in segment.attempts)


def _ended_by(case: Case, end: NoReceipt | Withdrawn, receipt: str, cause: str, signal: Signal) -> None:
    """An accepted and undecided attempt, and what went in the same submit, is decided by something else than a receipt."""
    segments = case.segments
    if not 0 < end.segment <= len(segments) or not 0 < end.attempt <= len(segments[end.segment - 1].attempts):
        return
    old = segments[end.segment - 1].attempts[end.attempt - 1]
    if segments[end.segment - 1].state >= _FINAL or not rounds.is_open(old):
        return
    for k, attempt in [(end.segment - 1, old), *_siblings(case, end.segment - 1, old, per_message=False)]:
        _settle(case, k, attempt.number, replace(attempt, receipt=receipt, cause=cause, receipt_at=case.now), signal)


def _recorded(case: Case, i: int, n: int, new: Attempt) -> Segment:
    """Records what attempt `n` of segment index `i` has become; the segment is the case's own copy by then."""
    case.changed = case.news = True
    segment = case.segments[i]
    attempts = segment.attempts.copy()
    old, attempts[n - 1] = attempts[n - 1], new
    case.segments[i] = segment = replace(segment, attempts=attempts)
    if old.outcome != _ACCEPTED and (new.receipt or new.outcome == _ACCEPTED):
        new.outcome = _ACCEPTED  # rule 1; `new` is ours
        accepted(case, i, new)
    return segment


def _settle(case: Case, i: int, n: int, new: Attempt, signal: Signal) -> None:
    """Records it and moves the segment by the table and its three rules."""
    segment = _recorded(case, i, n, new)
    attempts = segment.attempts
    if len(attempts) > 1:
        overruled = _overruled(segment, n)
        if overruled is not None:
            case.segments[i] = overruled
            return
        if n < len(attempts) and segment.state in _RESTING and signal not in TABLE[State.WAITING]:
            return  # an earlier attempt closed without delivery: what is planned stays planned
        if n < len(attempts) and signal in _FAILURES and attempts[-1].outcome == _UNKNOWN:
            _moved(case, i, segment, TABLE[State.SUBMITTING][_SILENCE], _SILENCE)
            return  # what was awaited has failed, and the latest attempt is the doubt it was before
    move = _CELLS.get((segment.state, signal))
    if move is not None:
        _moved(case, i, segment, move, signal)


def _closed(attempt: Attempt) -> bool:
    """Known not to have been delivered."""
    if attempt.receipt in rounds.CLOSING_RECEIPTS:
        return attempt.receipt not in {"DELIVRD", "UNKNOWN"}
    return attempt.outcome in {Outcome.TEMPORARY, Outcome.PERMANENT}


_RESTING = frozenset({State.WAITING, State.DOUBT})
_FAILURES = frozenset({Signal.R_TEMPORARY, Signal.R_UNMAPPED, Signal.R_EXPIRED})


def _overruled(segment: Segment, n: int) -> Segment | None:
    """Rules 2 and 3, for a segment with several attempts: what the others (not number `n`) make of it."""
    attempts = segment.attempts
    if segment.state >= _FINAL:
        return None
    if any(a.outcome == _PENDING for a in attempts):
        return segment
    if any(a.receipt == "DELIVRD" for a in attempts):
        return replace(segment, state=State.DELIVERED, due_at=0)
    if any(a.number != n and rounds.is_open(a) for a in attempts):
        return replace(segment, state=State.SUBMITTED, due_at=0)
    return None


def _moved(case: Case, i: int, segment: Segment, move: Move, signal: Signal) -> None:
    """Applies a cell to a segment, the case's own copy, whose attempts are up to date."""
    if move.again is None:
        state = move.then
        if signal is _VALIDITY:
            case.head.stopped = Stop.VALIDITY
            case.segments[i] = _out_of_time(segment)
        else:
            segment.state, segment.due_at = state, 0
        return
    head = case.head
    plan = case.rules.plan(move.again, head, segment, case.now)
    if plan.stop is None:
        alone = len(case.segments) == 1 or (
            not plan.elsewhere and plan.due_at <= rounds.alone_until(head, case.segments, case.rules)
        )
        state = State.DOUBT if move.again is Again.DOUBT else State.WAITING
        case.segments[i] = replace(segment, state=state, due_at=plan.due_at if alone else 0)
        carrier = segment.attempts[-1].carrier
        if plan.elsewhere and carrier not in head.avoid:
            head.avoid = [*head.avoid, carrier]
        return
    head.stopped = plan.stop
    if plan.stop is Stop.VALIDITY and move.again is Again.REFUSED:
        case.segments[i] = _out_of_time(segment)
    else:
        case.segments[i] = rounds.ended(segment, move.then)


def _out_of_time(segment: Segment) -> Segment:
    accepted = any(a.outcome == _ACCEPTED for a in segment.attempts)
    return rounds.ended(segment, State.UNDELIVERED if accepted else State.EXPIRED)


def _swept(case: Case, evidence: Evidence) -> None:
    """Clocks and cancels, for a message at rest."""
    head, now = case.head, case.now
    for i, segment in enumerate(case.segments):
        state = segment.state
        if isinstance(evidence, Cancel):
            signal = Signal.CANCEL
            if any(a.outcome == _UNKNOWN for a in segment.attempts):
                continue
        elif awaits_deadline(segment) and now >= deadline_of(head, segment, case.rules):
            signal = Signal.DEADLINE
        elif now >= head.deadline_at and not (state == State.DOUBT and not segment.due_at):
            signal = Signal.VALIDITY
        else:
            continue
        move = _CELLS.get((state, signal))
        if move is not None:
            case.changed = case.news = True
            case.segments[i] = own = replace(segment)
            _moved(case, i, own, move, signal)
