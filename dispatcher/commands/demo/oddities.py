"""The oddest sends, each explained in a line from its own record. It refuses to know what was planned for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import NamedTuple

from dispatcher.commands.demo.rows import Row
from dispatcher.core.model import Attempt, Head, Outcome, Segment, State
from smpp import status

LINES = 5
_ASTRAL = 0xFFFF
"""Characters beyond it take two UCS-2 units: emoji, mostly."""


class Odd(NamedTuple):
    """A send worth looking at. `score` compares those of one kind."""

    score: float
    id: str
    words: str


Finder = Callable[[str, Head, Row | None], Odd | None]


def oddest(heads: Mapping[str, Head], row_of: Callable[[Head], Row | None]) -> list[Odd]:
    """The oddest of each kind, each send once, at most LINES."""
    found: list[Odd] = []
    for finder in (_attempts, _elsewhere, _overtaken, _long, _unknown, _resent, _refunded):
        taken = {odd.id for odd in found}
        odds = (finder(i, head, row_of(head)) for i, head in heads.items() if i not in taken)
        best = max((odd for odd in odds if odd is not None), default=None)
        if best is not None:
            found.append(best)
    return found[:LINES]


def _longest(head: Head) -> Segment:
    return max(head.segments, key=lambda segment: len(segment.attempts))


def _attempts(id: str, head: Head, _: Row | None) -> Odd | None:  # noqa: A002 - the field's name
    attempts = _longest(head).attempts
    if len(attempts) < 2:
        return None
    took_s = (head.at - head.first_at) / 1000
    end = f"{_state(head)} after {took_s:.1f} s"
    return Odd(
        len(attempts) + len({a.carrier for a in attempts}) / 10, id, f"{len(attempts)} attempts: {path(attempts)}: {end}"
    )


def _elsewhere(id: str, head: Head, _: Row | None) -> Odd | None:  # noqa: A002
    attempts = _longest(head).attempts
    carriers = {attempt.carrier for attempt in attempts}
    if len(carriers) < 2:
        return None
    score = len(carriers) + (head.state == State.DELIVERED) / 2 - len(attempts) / 20
    return Odd(score, id, f"changed carrier: {path(attempts)}: {_state(head)}")


def _overtaken(id: str, head: Head, _: Row | None) -> Odd | None:  # noqa: A002
    ahead = [(a.answered_at - a.receipt_at, a) for s in head.segments for a in s.attempts if a.receipt and a.answered_at]
    ms, attempt = max(ahead, key=lambda pair: pair[0], default=(0, None))
    if attempt is None or ms <= 0:
        return None
    words = f"its receipt overtook the answer by {ms} ms ({attempt.carrier} {attempt.receipt}): {_state(head)}"
    return Odd(ms, id, words)


def _long(id: str, head: Head, row: Row | None) -> Odd | None:  # noqa: A002
    if row is None or len(head.segments) < 2:
        return None
    emoji = sum(ord(character) > _ASTRAL for character in row.text)
    if not emoji:
        return None
    submitted = sum(len(segment.attempts) for segment in head.segments)
    words = f"{len(head.segments)} segments, {len(row.text)} characters, {emoji} of them emoji; {submitted} submitted"
    words += f": {_state(head)}"
    return Odd(len(head.segments) + submitted / 100, id, words)


def _unknown(id: str, head: Head, _: Row | None) -> Odd | None:  # noqa: A002
    if head.state != State.UNKNOWN:
        return None
    segment = next(segment for segment in head.segments if segment.state == State.UNKNOWN)
    last = segment.attempts[-1]
    why = {
        Outcome.UNKNOWN: "its carrier died with it unanswered, and the policy is hold",
        Outcome.ACCEPTED: "accepted, and no receipt by the deadline" if last.carrier_id else "accepted without a message id",
    }.get(Outcome(last.outcome), "its outcome was never told")
    paid = "charged" if segment.posted else "not charged"
    return Odd((last.outcome == Outcome.UNKNOWN) + len(segment.attempts) / 10, id, f"unknown: {last.carrier}, {why}; {paid}")


def _resent(id: str, head: Head, _: Row | None) -> Odd | None:  # noqa: A002
    attempts = _longest(head).attempts
    if len(attempts) < 2 or attempts[0].outcome != Outcome.UNKNOWN:
        return None
    pause_s = (attempts[1].at - attempts[0].at) / 1000
    return Odd(-len(attempts), id, f"sent again {pause_s:.1f} s after an unanswered submit: {path(attempts)}: {_state(head)}")


def _refunded(id: str, head: Head, _: Row | None) -> Odd | None:  # noqa: A002
    segment = next((segment for segment in head.segments if segment.refunded), None)
    if segment is None:
        return None
    return Odd(len(head.segments), id, f"charged and refunded: {path(segment.attempts)}: {_state(head)}")


def path(attempts: Iterable[Attempt]) -> str:
    """What became of each attempt, repeats counted: `swift UNDELIV absent x2, steady DELIVRD`."""
    told = []
    for words, same in groupby(_attempt(attempt) for attempt in attempts):
        count = sum(1 for _ in same)
        told.append(f"{words} x{count}" if count > 1 else words)
    return ", ".join(told)


def _attempt(attempt: Attempt) -> str:
    if attempt.receipt:
        return f"{attempt.carrier} {' '.join(filter(None, (attempt.receipt, _why(attempt))))}"
    if attempt.outcome == Outcome.UNKNOWN:
        return (
            f"{attempt.carrier} no answer" if not attempt.code else f"{attempt.carrier} {status.name(attempt.code)[5:]}, doubt"
        )
    if attempt.outcome == Outcome.ACCEPTED:
        return f"{attempt.carrier} accepted"
    return f"{attempt.carrier} {status.name(attempt.code)[5:]}"


def _why(attempt: Attempt) -> str:
    if attempt.receipt == "DELIVRD":
        return ""
    return attempt.cause or attempt.receipt_code.strip("0")


def _state(head: Head) -> str:
    words = State(head.state).wire + (", refined" if head.refined else "")
    return words + (f" (no more: {head.stopped})" if head.stopped and head.state != State.DELIVERED else "")
