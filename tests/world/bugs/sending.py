"""Bugs between the claim and the answer: write-ahead, windows, rates, doubt, attempts."""

from __future__ import annotations

from typing import Any

from dispatcher.core import conclusion, lifecycle, model, retry, rounds, throttle
from dispatcher.core.model import OnUnknown, Outcome
from dispatcher.core.retry import Again, Plan, Rules
from dispatcher.engine import carriers, feeder
from dispatcher.engine.committer import Committer
from dispatcher.engine.feeder import Feeder
from smpp.session import Session
from smpp.window import Lost, Window
from tests.world.bugs import bug


@bug
def write_before_write_ahead(put: Any) -> None:
    """Bodies are handed to their links, then the record is written."""

    async def claim(self: Feeder, routes: Any, limit: int) -> int:
        handed: list[Any] = []
        hand_over = Feeder._hand_over
        store = self._works.store
        write_ahead = store.write_ahead

        async def late(owner: Any, heads: Any) -> None:
            hand_over(self, handed.pop())
            await write_ahead(owner, heads)

        prepare = Feeder._prepare

        def prepared(messages: Any) -> Any:
            going, effects = prepare(self, messages)
            handed.append(going)
            return going, effects

        self._prepare = prepared  # type: ignore[method-assign]
        self._hand_over = lambda going: None  # type: ignore[method-assign]
        store.write_ahead = late  # type: ignore[method-assign]
        try:
            return await original(self, routes, limit)
        finally:
            store.write_ahead = write_ahead  # type: ignore[method-assign]
            del self._prepare, self._hand_over

    original = Feeder._claim
    put(Feeder, "_claim", claim)


@bug
def window_off_by_one(put: Any) -> None:
    """One more than the window is in flight."""
    room = Session.room.fget

    def more(self: Session[Any]) -> int:
        found = room(self)  # type: ignore[misc]
        return found + 1 if self.state.name == "BOUND" else found

    put(Session, "room", property(more))


@bug
def rate_with_a_burst(put: Any) -> None:
    """After a pause a tenth of a second's permits go at once, on top."""

    def reckon(self: throttle.Throttle) -> None:
        original(self)
        self._burst = max(2.0, self.limit / 10)
        self._refill = self.limit

    original = throttle.Throttle._reckon
    put(throttle.Throttle, "_reckon", reckon)


@bug
def resend_under_hold(put: Any) -> None:
    """The doubt policy is not asked."""

    def plan(self: Rules, again: Again, head: Any, segment: Any, now: int) -> Plan:
        if again is Again.DOUBT and head.on_unknown != OnUnknown.RESEND:
            return Plan(now + self.grace_ms)
        return original(self, again, head, segment, now)

    original = Rules.plan
    put(Rules, "plan", plan)
    put(rounds, "check_closed", lambda message_id, head, segment: None)


@bug
def six_attempts(put: Any) -> None:
    """The limit is off by one."""

    def init(self: Rules, *args: Any) -> None:
        original(self, *args)
        self.attempts_max = 6

    original = Rules.__init__
    put(Rules, "__init__", init)
    put(rounds, "ATTEMPTS_MAX", 6)
    put(retry, "ATTEMPTS_MAX", 6)
    put(model, "ATTEMPTS_MAX", 6)


@bug
def unknown_taken_for_not_sent(put: Any) -> None:
    """When a link dies, everything without an answer is taken for not sent."""

    def lose(self: Window[Any]) -> Lost[Any]:
        lost = original(self)
        return Lost([], lost.unknown + lost.not_sent)

    original = Window.lose
    put(Window, "lose", lose)


@bug
def timeout_taken_for_refusal(put: Any) -> None:
    """No answer in time counts as a temporary refusal."""

    def closed(self: Committer, slot: Any, tokens: Any, outcome: Outcome) -> None:
        original(self, slot, tokens, Outcome.TEMPORARY if outcome is Outcome.UNKNOWN else outcome)

    original = Committer.closed
    put(Committer, "closed", closed)


@bug
def late_answer_ignored(put: Any) -> None:
    """What comes after the time-out is thrown away."""
    put(Committer, "late", lambda self, slot, answers: None)


@bug
def throttled_is_an_attempt(put: Any) -> None:
    """Throttled counts like any temporary refusal."""
    undo = lifecycle.of_answer

    def of_answer(outcome: int, carrier_id: str) -> Any:
        return undo(Outcome.TEMPORARY if outcome == Outcome.THROTTLED else outcome, carrier_id)

    put(lifecycle, "of_answer", of_answer)


@bug
def answers_by_order(put: Any) -> None:
    """Answers go to the oldest request, whatever their sequence number says."""

    class Oldest(dict[int, Any]):
        def pop(self, key: int, *default: Any) -> Any:
            if key not in self:
                return super().pop(key, *default)
            oldest = next(iter(self))
            found = super().pop(oldest)
            if oldest != key:
                self[oldest] = super().pop(key)
            return found

    def init(self: Window[Any], *args: Any) -> None:
        original(self, *args)
        self.in_flight = Oldest()

    original = Window.__init__
    put(Window, "__init__", init)


@bug
def charged_again_on_a_late_answer(put: Any) -> None:
    """Each acceptance posts, also the second one of a segment."""

    def accepted(case: Any, i: int, attempt: Any) -> None:
        segment = case.segments[i]
        was, segment.posted = segment.posted, False
        original(case, i, attempt)
        segment.posted = segment.posted or was

    original = conclusion.accepted
    put(lifecycle, "accepted", accepted)


@bug
def retry_while_undecided(put: Any) -> None:
    """A refused attempt is followed by the next although an earlier one was accepted since."""
    put(lifecycle, "_overruled", lambda segment, n: None)
    put(rounds, "check_closed", lambda message_id, head, segment: None)


@bug
def validity_ignored(put: Any) -> None:
    """Whoever claims a message takes it for valid for a minute more."""

    def prepare(self: Feeder, messages: Any) -> Any:
        for message in messages:
            for part in (message.body, message.head):
                if part is not None:
                    part.deadline_at += 60_000
        return original(self, messages)

    original = Feeder._prepare
    put(Feeder, "_prepare", prepare)


@bug
def overdue_left_in_its_link(put: Any) -> None:
    """Validity is looked at when a message is claimed, and never again."""
    put(carriers, "recall_overdue", lambda works, committer: None)
    put(feeder, "recall_overdue", lambda works, committer: None)


@bug
def segments_with_new_references(put: Any) -> None:
    """A segment that goes again alone gets a new reference in the bytes, not in the record."""
    from dispatcher.engine.encode import Encoder

    def bodies(self: Encoder, body: Any, carrier: str, segments: Any, reference: int, now: int) -> Any:
        return original(self, body, carrier, segments, reference % 250 + 1 if reference else 0, now)

    original = Encoder.bodies
    put(Encoder, "bodies", bodies)
