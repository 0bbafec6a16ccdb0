"""Which accepted segments a carrier may be asked about, when, and what its answer is evidence of.

It refuses to know sessions, PDUs and stores (engine/questions.py), and what follows from an answer (lifecycle.py).

Theory. A question is worth asking only while a receipt is awaited, and of nobody but who accepted the segment. Receipts that
are late get later: so one asks at `query_after_s` after the submission, and again each time the wait has doubled; the last
time shortly before the deadline would end the segment as unknown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dispatcher.core.model import Attempt, Head, State
from dispatcher.core.rounds import is_open

_SAYS_NOTHING = frozenset({"", "UNKNOWN"})


def open_attempts(head: Head) -> Iterator[tuple[int, Attempt]]:
    """(1-based segment, attempt) of what a carrier has accepted under an id and not decided yet."""
    for number, segment in enumerate(head.segments, 1):
        if segment.state < State.DELIVERED:
            yield from ((number, attempt) for attempt in segment.attempts if attempt.carrier_id and is_open(attempt))


def can_be_withdrawn(head: Head, carriers: Collection[str]) -> bool:
    """Is a segment of it with one of `carriers`, those that take cancel_sm?"""
    return any(attempt.carrier in carriers for _, attempt in open_attempts(head))


def first_question_at(submitted_at: int, after_ms: int, deadline_at: int, last_ms: int) -> int:
    """When (ms) an attempt is asked for first: `after_ms` after its submission, or `last_ms` before its deadline if that is
    earlier. What should have been asked while nobody could is due at once."""
    return max(submitted_at, min(submitted_at + after_ms, deadline_at - last_ms))


def next_question_at(submitted_at: int, deadline_at: int, last_ms: int, asked_at: int) -> int:
    """When (ms) to ask again after the question of `asked_at`; 0: no more."""
    final = deadline_at - last_ms
    if asked_at >= final:
        return 0
    return min(asked_at + max(1, asked_at - submitted_at), final)


def says_something(state: str) -> bool:
    """Is a state that query_sm found evidence? UNKNOWN is not: many answer so about what they have merely forgotten, and a
    receipt may still come. The deadline ends the segment if none does."""
    return state not in _SAYS_NOTHING
