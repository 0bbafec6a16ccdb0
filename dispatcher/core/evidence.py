"""What can be learnt about a message, and what each piece means for one attempt of one segment.

It knows the words of SMPP answers and receipts; it refuses to know what is then done about them: that is the table in
lifecycle.py. The engine builds `Evidence` values; `of_answer` and `of_receipt` turn them into a `Signal`, the table's
column.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from dispatcher.core.model import Outcome


class Answer(NamedTuple):
    """What became of one submission of one segment (1-based) at the carrier's door.

    `outcome` is never PENDING; `code` the command_status; `carrier_id` its message id as it told it ("" none); `at` ms.
    `attempt` 0 means the latest one; a late answer to an attempt that had become Unknown names its number.
    """

    segment: int
    outcome: int
    code: int
    carrier_id: str
    at: int
    attempt: int = 0


class Answers(NamedTuple):
    """Answers for one message that arrived together. `tlvs`: what is kept of each, by segment, 0 for all of them."""

    answers: list[Answer]
    tlvs: Mapping[int, dict[str, str]] | None = None


class ReceiptSeen(NamedTuple):
    """A delivery receipt, matched to a segment (1-based) and its attempt. `state` is canonical (smpp.receipts), `code`
    the carrier's `err`, `cause` our name for it ("" unmapped), `at` ms, `tlvs` what is kept of it."""

    segment: int
    attempt: int
    state: str
    code: str
    cause: str
    at: int
    tlvs: dict[str, str] | None = None


class NoReceipt(NamedTuple):
    """The receipt deadline of an accepted attempt has passed in silence."""

    segment: int
    attempt: int


class Withdrawn(NamedTuple):
    """The carrier has cancelled an accepted attempt (cancel_sm), at our wish: nothing will be delivered."""

    segment: int
    attempt: int


class DueReached(msgspec.Struct, frozen=True):
    """A message came out of the due set (or a queue) and nothing of it can be submitted: look at its clocks."""


class ValidityOver(msgspec.Struct, frozen=True):
    """The message's deadline has passed; nothing may be submitted any more."""


class Cancel(msgspec.Struct, frozen=True):
    """Somebody entitled asks that what has not been submitted never is."""


class TakenOver(msgspec.Struct, frozen=True):
    """The engine that was submitting died; bytes may have left."""


Evidence = Answers | ReceiptSeen | NoReceipt | Withdrawn | DueReached | ValidityOver | Cancel | TakenOver


class Signal(enum.Enum):
    """The columns of the table: what a piece of evidence means for one attempt."""

    ACCEPTED = "answer: accepted, with id"
    BLIND = "answer: accepted, without id"
    TEMPORARY = "answer: temporary"
    PERMANENT = "answer: permanent"
    UNDONE = "answer: throttled, or bind lost before the last byte"
    SILENCE = "no answer, last byte left; or throttled with an id"
    R_DELIVERED = "receipt DELIVRD"
    R_INTERIM = "receipt ENROUTE, ACCEPTD, BUFFRED, SCHEDULED"
    R_TEMPORARY = "receipt UNDELIV, FAILED: absent, memory_full, network, carrier_fault"
    R_UNMAPPED = "receipt UNDELIV, FAILED: unmapped code"
    R_PERMANENT = "receipt UNDELIV, FAILED otherwise; DELETED"
    R_EXPIRED = "receipt EXPIRED"
    R_REJECTED = "receipt REJECTD"
    R_UNKNOWN = "receipt UNKNOWN, or none by the deadline"
    VALIDITY = "validity over"
    DEADLINE = "receipt deadline over, and no correlation to find it by"
    CANCEL = "cancel"
    WITHDRAWN = "cancel_sm accepted, or receipt DELETED of what we wished to cancel"

    __hash__ = object.__hash__  # Enum's own hashes the name in Python: 0.2 us each time the table is asked


RECEIPT_SIGNALS = frozenset(s for s in Signal if s.name.startswith("R_"))
ANSWER_SIGNALS = frozenset({Signal.ACCEPTED, Signal.BLIND, Signal.TEMPORARY, Signal.PERMANENT, Signal.UNDONE, Signal.SILENCE})

TEMPORARY_CAUSES = frozenset({"absent", "memory_full", "network", "carrier_fault"})
"""Receipt causes after which the same handset may be reached later."""

_BY_OUTCOME = {
    Outcome.ACCEPTED: Signal.ACCEPTED,
    Outcome.TEMPORARY: Signal.TEMPORARY,
    Outcome.PERMANENT: Signal.PERMANENT,
    Outcome.UNKNOWN: Signal.SILENCE,
    Outcome.THROTTLED: Signal.UNDONE,
    Outcome.NOT_SENT: Signal.UNDONE,
}
_BY_RECEIPT = {
    "DELIVRD": Signal.R_DELIVERED,
    "ENROUTE": Signal.R_INTERIM,
    "ACCEPTD": Signal.R_INTERIM,
    "BUFFRED": Signal.R_INTERIM,
    "SCHEDULED": Signal.R_INTERIM,
    "DELETED": Signal.R_PERMANENT,
    "EXPIRED": Signal.R_EXPIRED,
    "REJECTD": Signal.R_REJECTED,
    "UNKNOWN": Signal.R_UNKNOWN,
}
INTERIM_STATES = frozenset(state for state, signal in _BY_RECEIPT.items() if signal is Signal.R_INTERIM)


def of_answer(outcome: int, carrier_id: str) -> Signal:
    """The signal of an answer. Raises ValueError for PENDING, which is none.

    Throttled with a message id is not a plain "throttled": some carriers take the message all the same (peers.md,
    quirk 27), so it is a doubt that a receipt may settle.
    """
    if outcome == Outcome.ACCEPTED:
        return Signal.ACCEPTED if carrier_id else Signal.BLIND
    if outcome == Outcome.THROTTLED and carrier_id:
        return Signal.SILENCE
    signal = _BY_OUTCOME.get(outcome)  # type: ignore[call-overload]
    if signal is None:
        raise ValueError(f"outcome {outcome!r} is not an answer")
    return signal  # type: ignore[no-any-return]


def of_receipt(state: str, cause: str) -> Signal:
    """The signal of a receipt. A state outside SMPP's list says nothing that can be acted on: interim."""
    signal = _BY_RECEIPT.get(state)
    if signal is not None:
        return signal
    if state in {"UNDELIV", "FAILED"}:
        if not cause:
            return Signal.R_UNMAPPED
        return Signal.R_TEMPORARY if cause in TEMPORARY_CAUSES else Signal.R_PERMANENT
    return Signal.R_INTERIM
