"""Rows that leave with a decision: money facts and events, made from a head so that a replay makes the same ones.

It refuses to know when they are due; the lifecycle says so. A fact's id is message.segment.attempt.kind: cost belongs
to its attempt; post names the attempt whose acceptance was first known; void and refund, which exist once per segment
and only with the final state, name the segment's last attempt (0: never submitted).
"""

from __future__ import annotations

from msgspec.structs import replace

from accounting.ledger import Fact
from dispatcher.core.evidence import Signal, of_receipt
from dispatcher.core.model import LANES, Attempt, EventRow, Head, Outcome, Segment, State
from smpp import status

Error = tuple[str, str, str, str]
"""(source, code, name, class) of an event, as contracts.md names them."""

_LANE_WIRES = tuple(lane.wire for lane in LANES)
_STATE_WIRES = {int(state): state.wire for state in State}
_RESTING = frozenset({State.WAITING, State.DOUBT})
_NEVER = Attempt(0, "", "", 0)
"""Stands for the last attempt of a segment that had none."""
_FINE = frozenset({State.QUEUED, State.SUBMITTING, State.SUBMITTED, State.DELIVERED})
_RECEIPT_CLASSES = {
    Signal.R_TEMPORARY: "temporary",
    Signal.R_UNMAPPED: "temporary",
    Signal.R_PERMANENT: "permanent",
    Signal.R_REJECTED: "permanent",
    Signal.R_EXPIRED: "expired",
    Signal.R_UNKNOWN: "doubt",
}


def wire(state: int) -> str:
    """A state's name in rows; `State(x).wire`, at a tenth of its cost."""
    return _STATE_WIRES[state]


def post(id: str, head: Head, number: int, attempt: Attempt, at: int) -> Fact:  # noqa: A002 - the field's name
    """The customer is charged for segment `number` (1-based), at first known acceptance or as the account rules."""
    return Fact(
        f"{id}.{number}.{attempt.number}.post",
        id,
        head.account,
        number,
        len(head.segments),
        "post",
        head.unit_price,
        head.currency,
        head.unit_price,
        head.tariff,
        attempt.carrier,
        attempt.carrier_id,
        head.country,
        head.mccmnc,
        head.sender,
        head.to_hash,
        attempt.number,
        at,
    )


def cost(id: str, head: Head, number: int, attempt: Attempt, at: int, currency: str, tariff: str) -> Fact:  # noqa: A002
    """We owe the carrier for an accepted attempt, in `currency` by its `tariff`."""
    return Fact(
        f"{id}.{number}.{attempt.number}.cost",
        id,
        head.account,
        number,
        len(head.segments),
        "cost",
        attempt.cost,
        currency,
        attempt.cost,
        tariff,
        attempt.carrier,
        attempt.carrier_id,
        head.country,
        head.mccmnc,
        head.sender,
        head.to_hash,
        attempt.number,
        at,
        attempt.tlvs,
    )


def give_back(id: str, head: Head, number: int, segment: Segment, kind: str, at: int) -> Fact:  # noqa: A002
    """`void` of a reservation never posted, or `refund` of a post, with the final state."""
    last = segment.attempts[-1] if segment.attempts else _NEVER
    return replace(post(id, head, number, last, at), fact=f"{id}.{number}.{last.number}.{kind}", kind=kind)


def event_of(id: str, head: Head, throttled: tuple[int, Attempt] | None, at: int) -> EventRow:  # noqa: A002
    """The message's state as a row of `events`, told by the segment that explains it. `throttled`: the status and the
    attempt just taken back, of which the head keeps nothing."""
    segments = head.segments
    segment = segments[0] if len(segments) == 1 else _telling(head)
    last = segment.attempts[-1] if segment.attempts else None
    state = head.state
    error = None
    if throttled is not None and state in _RESTING:
        last = throttled[1]
        error = ("submit", f"0x{throttled[0]:02X}", status.name(throttled[0]), "throttled")
    elif state not in _FINE:
        error = error_of(state, last)
    return EventRow(
        id,
        head.key,
        head.ref,
        head.account,
        head.to_hash,
        _LANE_WIRES[head.lane],
        _STATE_WIRES[state],
        len(segments),
        last.carrier if last is not None else "",
        error,
        last.number if last is not None else 0,
        head.refined,
        last.tlvs if last is not None else None,
        at,
    )


def _telling(head: Head) -> Segment:
    """The first segment in the message's state, rather one that was ever submitted."""
    same = [s for s in head.segments if s.state == head.state] or head.segments
    return next((s for s in same if s.attempts), same[0])


def error_of(state: int, last: Attempt | None) -> Error | None:
    """Why a message (or segment) is in `state`, from its last attempt: (source, code, name, class); None: nothing failed."""
    if state in _FINE:
        return None
    if state == State.CANCELLED:
        return ("operator", "", "cancelled", "permanent")
    if last is None:
        return ("timeout", "", "validity", "expired") if state == State.EXPIRED else None
    if last.receipt == "UNKNOWN" and last.cause == "no_receipt":
        return ("timeout", "", "no_receipt", "doubt")
    if last.receipt:
        signal = of_receipt(last.receipt, last.cause)
        name = last.cause or last.receipt
        return ("receipt", last.receipt_code, name, _RECEIPT_CLASSES.get(signal, "permanent"))
    code = f"0x{last.code:02X}"
    if last.outcome == Outcome.UNKNOWN:
        return ("submit", code, status.name(last.code), "doubt") if last.code else ("timeout", "", "no_answer", "doubt")
    if last.outcome == Outcome.ACCEPTED:
        return ("submit", code, "no_message_id", "doubt")
    if state == State.EXPIRED:
        return ("timeout", code, status.name(last.code), "expired")
    return ("submit", code, status.name(last.code), "permanent" if last.outcome == Outcome.PERMANENT else "temporary")
