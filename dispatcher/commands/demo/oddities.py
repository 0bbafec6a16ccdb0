"""The oddest sends, each explained in a line from its own record. It refuses to know what was planned for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import NamedTuple

from dispatcher.commands.demo.rows import Row
from dispatcher.core.model import LANES, Attempt, Head, Outcome, Segment, State
from smpp import status

LINES = 5
WORDS_CHARS = 68
"""What fits beside an id."""
_BASIC_PLANE = 0xFFFF
"""Characters beyond it take two UCS-2 units: emoji, mostly."""


class Odd(NamedTuple):
    """A send worth looking at. `score` compares those of one kind."""

    score: float
    id: str
    words: str


Finder = Callable[[Head, Row | None], tuple[float, str] | None]
"""Score and words, None for a send that is not odd in this way."""


def oddest(heads: Mapping[str, Head], row_of: Callable[[Head], Row | None]) -> list[Odd]:
    """The oddest of each kind, each send once, at most LINES."""
    found: list[Odd] = []
    for finder in (_attempts, _elsewhere, _overtaken, _long, _unknown, _resent, _refunded):
        taken = {odd.id for odd in found}
        odds = []
        for message_id, head in heads.items():
            if message_id not in taken and (seen := finder(head, row_of(head))) is not None:
                odds.append(Odd(seen[0], message_id, seen[1]))
        if odds:
            found.append(max(odds))
    return found[:LINES]


def _longest(head: Head) -> Segment:
    return max(head.segments, key=lambda segment: len(segment.attempts))


def _attempts(head: Head, _: Row | None) -> tuple[float, str] | None:
    attempts = _longest(head).attempts
    if len(attempts) < 2:
        return None
    score = len(attempts) + len({attempt.carrier for attempt in attempts}) / 10
    took_s = (head.at - head.first_at) / 1000
    return score, f"{len(attempts)} attempts in {took_s:.1f} s: {path(attempts)}: {_state(head)}"


def _elsewhere(head: Head, _: Row | None) -> tuple[float, str] | None:
    attempts = _longest(head).attempts
    carriers = {attempt.carrier for attempt in attempts}
    if len(carriers) < 2:
        return None
    kinds = {_attempt(attempt) for attempt in attempts}
    words = f"changed carrier: {path(attempts)}: {_state(head)}"
    return len(carriers) + len(kinds) / 10 - (len(words) > WORDS_CHARS), words


def _overtaken(head: Head, _: Row | None) -> tuple[float, str] | None:
    ahead = [
        (attempt.answered_at - attempt.receipt_at, attempt.number, attempt.carrier)
        for segment in head.segments
        for attempt in segment.attempts
        if attempt.receipt and attempt.answered_at
    ]
    ms, _number, carrier = max(ahead, default=(0, 0, ""))
    return (ms, f"its receipt came {ms} ms before its answer, from {carrier}: {_state(head)}") if ms > 0 else None


def _long(head: Head, row: Row | None) -> tuple[float, str] | None:
    emoji = sum(ord(character) > _BASIC_PLANE for character in row.text) if row is not None else 0
    if not emoji or len(head.segments) < 2:
        return None
    submitted = sum(len(segment.attempts) for segment in head.segments)
    return len(head.segments) + submitted / 100, (
        f"{len(head.segments)} segments with {emoji} emoji, {submitted} submitted: {_state(head)}"
    )


def _unknown(head: Head, _: Row | None) -> tuple[float, str] | None:
    if head.state != State.UNKNOWN:
        return None
    segment = next(segment for segment in head.segments if segment.state == State.UNKNOWN)
    last = segment.attempts[-1]
    if last.outcome == Outcome.UNKNOWN:
        why = f"{last.carrier} died before it answered; {LANES[head.lane].wire} goes once"
    else:
        why = f"{last.carrier} accepted it " + ("and said no more" if last.carrier_id else "without an id")
    paid = "charged" if segment.posted else "not charged"
    return (last.outcome == Outcome.UNKNOWN) + len(segment.attempts) / 10, f"unknown, {paid}: {why}"


def _resent(head: Head, _: Row | None) -> tuple[float, str] | None:
    attempts = _longest(head).attempts
    if len(attempts) < 2 or attempts[0].outcome != Outcome.UNKNOWN:
        return None
    pause_s = (attempts[1].at - attempts[0].at) / 1000
    return -len(attempts), f"sent again after {pause_s:.1f} s: {path(attempts)}: {_state(head)}"


def _refunded(head: Head, _: Row | None) -> tuple[float, str] | None:
    segment = next((segment for segment in head.segments if segment.refunded), None)
    return (len(head.segments), f"charged and refunded: {path(segment.attempts)}: {_state(head)}") if segment else None


def path(attempts: Iterable[Attempt]) -> str:
    """What became of each attempt, repeats counted: `swift x2 UNDELIV absent, steady DELIVRD`."""
    told = []
    for words, same in groupby(attempts, key=_attempt):
        carriers = [(carrier, sum(1 for _ in some)) for carrier, some in groupby(attempt.carrier for attempt in same)]
        names = "+".join(f"{carrier} x{count}" if count > 1 else carrier for carrier, count in carriers)
        told.append(f"{names} {words}")
    return ", ".join(told)


def _attempt(attempt: Attempt) -> str:
    if attempt.receipt == "DELIVRD":
        return attempt.receipt
    if attempt.receipt:
        return " ".join(filter(None, (attempt.receipt, attempt.cause or attempt.receipt_code.strip("0"))))
    if attempt.outcome == Outcome.UNKNOWN:
        return f"{_status(attempt)} with an id" if attempt.code else "no answer"
    return "accepted" if attempt.outcome == Outcome.ACCEPTED else _status(attempt)


def _status(attempt: Attempt) -> str:
    return status.name(attempt.code).removeprefix("ESME_")


def _state(head: Head) -> str:
    return State(head.state).wire + (", refined" if head.refined else "")
