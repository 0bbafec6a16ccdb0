"""What waits in a link past its validity comes back: nothing is submitted that its sender has given up (P2).

A message is claimed within its validity, and then waits in its link: for room in the window, for the rate, for a carrier that
pauses or does not read, for as long as a response time-out. It refuses to know why it waits and what becomes of it: it was
not sent, so the lifecycle takes its attempt back, and the clocks end it.
"""

from __future__ import annotations

from typing import Final

from dispatcher.core.model import Outcome
from dispatcher.engine.committer import Committer
from dispatcher.engine.works import Token, Works

LOOK_S: Final = 0.1
"""From look to look. So late may something leave after its validity, and no later."""


def recall_overdue(works: Works, committer: Committer) -> None:
    """Takes back, from all links, what must not be submitted any more. What its session has been given is beyond recall."""
    now = works.clock.now_ms()

    def overdue(token: Token) -> bool:
        body = token[0].message.body
        return body is not None and now >= body.deadline_at

    for seat in works.seats:
        link = seat.link
        if link is not None and link.queued:
            committer.closed(seat, link.unqueue(overdue), Outcome.NOT_SENT)
