"""The table of a segment's life: its state x what a piece of evidence means for it -> what follows.

It is data; lifecycle.py applies it, with the rules that stand above its cells. A cell that is not there is stale evidence,
which changes nothing. docs/state-machine.md is printed from it.
"""

from __future__ import annotations

from typing import NamedTuple

from dispatcher.core.evidence import Signal
from dispatcher.core.model import State
from dispatcher.core.retry import Again


class Move(NamedTuple):
    """A cell: the segment's next state, or with `again` its state when Rules plans no further attempt."""

    then: State
    again: Again | None = None


_RECEIPTS = {
    Signal.R_DELIVERED: Move(State.DELIVERED),
    Signal.R_INTERIM: Move(State.SUBMITTED),
    Signal.R_TEMPORARY: Move(State.UNDELIVERED, Again.LATER),
    Signal.R_UNMAPPED: Move(State.UNDELIVERED, Again.ONCE),
    Signal.R_PERMANENT: Move(State.UNDELIVERED),
    Signal.R_EXPIRED: Move(State.EXPIRED, Again.ELSEWHERE),
    Signal.R_REJECTED: Move(State.REJECTED),
    Signal.R_UNKNOWN: Move(State.UNKNOWN),
}
_ANSWERS = {
    Signal.ACCEPTED: Move(State.SUBMITTED),
    Signal.BLIND: Move(State.UNKNOWN),
    Signal.TEMPORARY: Move(State.FAILED, Again.REFUSED),
    Signal.PERMANENT: Move(State.REJECTED),
    Signal.UNDONE: Move(State.WAITING),
}

TABLE: dict[State, dict[Signal, Move]] = {
    State.QUEUED: {
        Signal.VALIDITY: Move(State.EXPIRED),
        Signal.CANCEL: Move(State.CANCELLED),
    },
    State.SUBMITTING: {
        **_ANSWERS,
        Signal.SILENCE: Move(State.DOUBT, Again.DOUBT),
        **_RECEIPTS,
    },
    State.SUBMITTED: {
        **_RECEIPTS,
        Signal.WITHDRAWN: Move(State.CANCELLED),
        Signal.DEADLINE: Move(State.UNKNOWN),  # proven by a receipt alone: without the answer's id nothing correlates
    },
    State.WAITING: {
        Signal.VALIDITY: Move(State.EXPIRED),  # UNDELIVERED when an attempt had been accepted
        Signal.CANCEL: Move(State.CANCELLED),
        # News of an earlier attempt, which had been unknown or had been called undelivered:
        Signal.ACCEPTED: Move(State.SUBMITTED),
        Signal.BLIND: Move(State.UNKNOWN),
        Signal.R_DELIVERED: Move(State.DELIVERED),
        Signal.R_INTERIM: Move(State.SUBMITTED),
    },
    State.DOUBT: {
        **_ANSWERS,
        **_RECEIPTS,
        Signal.VALIDITY: Move(State.DOUBT),  # no attempt will follow; a receipt still may
        Signal.DEADLINE: Move(State.UNKNOWN),
    },
    # Final states have no row, but for the refinement of `unknown`; no money moves for it.
    State.UNKNOWN: {
        Signal.R_DELIVERED: Move(State.DELIVERED),
        Signal.R_TEMPORARY: Move(State.UNDELIVERED),
        Signal.R_UNMAPPED: Move(State.UNDELIVERED),
        Signal.R_PERMANENT: Move(State.UNDELIVERED),
        Signal.R_EXPIRED: Move(State.UNDELIVERED),
        Signal.R_REJECTED: Move(State.UNDELIVERED),
    },
}


def rows() -> list[tuple[str, str, str]]:
    """(state, evidence, result) of every cell, in the table's order: docs/state-machine.md is printed from it."""
    return [
        (state.wire, signal.value, f"{move.again.value}: again; none left: {move.then.wire}" if move.again else move.then.wire)
        for state, cells in TABLE.items()
        for signal, move in cells.items()
    ]
