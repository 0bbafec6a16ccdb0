"""The happy path is the table's: over drawn messages each short cut leaves what the slow truth leaves, or nothing."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import msgpack

from dispatcher.core import happy
from dispatcher.core import lifecycle as life
from dispatcher.core.model import Attempt, Body, Head, Message, Outcome, Segment, State
from dispatcher.core.ports import Effects
from tests.dispatcher.core.lives import T0, Life, rules

NOW = T0 + 5_000
ID = "0" * 26
names = st.sampled_from(["alpha", "beta", "whole", "stranger"])
words = st.sampled_from(["", "x", "ref-1"])


def mostly(value: Any, others: Any) -> Any:
    """A value that the happy path wants, and now and then another one: so that both its answers are drawn often."""
    return st.integers(0, 11).flatmap(lambda n: others if n == 0 else st.just(value))


def attempts_of(outcome: int, carrier_id: str) -> Any:
    """Attempts that end with one of `outcome`."""
    return st.builds(
        Attempt,
        mostly(1, st.integers(1, 5)),
        names,
        st.just("b0"),
        st.just(T0 + 1),
        mostly(outcome, st.sampled_from([int(o) for o in Outcome])),
        mostly(0, st.just(8)),
        mostly(carrier_id, st.sampled_from(["", "7"])),
        st.sampled_from([0, T0 + 2]),
        st.sampled_from([0, 10_000]),
        mostly("", st.sampled_from(["DELIVRD", "ENROUTE", "UNDELIV", "UNKNOWN"])),
        mostly("", st.just("011")),
        mostly("", st.just("absent")),
        mostly(0, st.just(T0 + 3)),
    )


def heads_of(state: State, outcome: Outcome, carrier_id: str, *, posted: bool) -> Any:
    """Heads in `state`, mostly of one segment and one attempt."""
    states = st.sampled_from([int(s) for s in State])
    attempt = attempts_of(int(outcome), carrier_id)
    segment = st.builds(
        Segment,
        mostly(int(state), states),
        mostly(1, st.integers(0, 3)).flatmap(lambda n: st.lists(attempt, min_size=n, max_size=n)),
        st.sampled_from([posted, posted, posted, not posted]),
        mostly(False, st.booleans()),
        mostly(0, st.just(T0 + 9)),
    )
    return st.builds(
        Head,
        mostly(int(state), states),
        st.just(T0 + 1),
        mostly(1, st.integers(2, 3)).flatmap(lambda n: st.lists(segment, min_size=n, max_size=n)),
        st.sampled_from(["acme", "nobody"]),
        st.integers(0, 2),
        st.just("main"),
        st.sampled_from([0, 35_000]),
        st.just("EUR"),
        st.just("retail"),
        st.just("0123456789abcdef"),
        st.just(T0),
        st.just(T0 + 86_400_000),
        st.integers(0, 1),
        st.just(T0 + 1),
        mostly(0, st.just(T0 + 9)),
        mostly(0, st.just(7)),
        mostly("", names),
        mostly([], st.just(["beta"])),
        words,
        words,
        words,
        words,
        words,
        st.sampled_from(["", "group"]),
        mostly(False, st.booleans()),
        mostly("", st.just("cost")),
    )


def wire(effects: Effects) -> dict[str, Any]:
    """All that a commit would write, as bytes where it is written as bytes."""
    return {name: msgpack.encode(getattr(effects, name)) for name in Effects.__slots__}


def judge(message: Message, evidence: life.Evidence, with_rules: life.Rules, found: Head | None, left: Effects) -> None:
    """The short cut left nothing and said None, or exactly what the table leaves."""
    if found is None:
        assert wire(left) == wire(Effects())
        return
    truth = Effects()
    decision = life.decide(message, evidence, with_rules, NOW)
    life.collect(truth, message, decision)
    assert decision.changed
    assert wire(left) == wire(truth)
    assert msgpack.encode(found) == msgpack.encode(decision.head)


@settings(max_examples=250, deadline=None)
@given(
    heads_of(State.SUBMITTING, Outcome.PENDING, "", posted=False),
    st.builds(
        life.Answer,
        mostly(1, st.integers(1, 3)),
        mostly(int(Outcome.ACCEPTED), st.sampled_from([int(o) for o in Outcome if o is not Outcome.PENDING])),
        mostly(0, st.just(8)),
        mostly("id1", st.just("")),
        st.just(NOW),
        mostly(0, st.integers(0, 3)),
    ),
)
def test_an_accepted_answer_is_the_tables(head: Head, answer: life.Answer) -> None:
    """`accept` leaves what `decide` and `collect` leave for the same answer, and never touches the message."""
    message, with_rules, before, left = Message(ID, 4, head, None), rules(), msgpack.encode(head), Effects()
    found = happy.accept(left, message, answer, with_rules, NOW)
    assert msgpack.encode(message.head) == before
    if answer.segment <= len(head.segments):
        judge(message, life.Answers([answer]), with_rules, found, left)
    else:
        assert found is None


@settings(max_examples=250, deadline=None)
@given(
    heads_of(State.SUBMITTED, Outcome.ACCEPTED, "7", posted=True),
    words,
    mostly(("failed",), st.sampled_from([("delivered",), ("delivered", "failed")])),
)
def test_a_delivery_is_the_tables(head: Head, code: str, refund_on: tuple[str, ...]) -> None:
    """`deliver` leaves what `decide` and `collect` leave for a receipt DELIVRD of segment 1, attempt 1."""
    with_rules = rules(refund_on=refund_on)
    message, before, left = Message(ID, 4, head, None), msgpack.encode(head), Effects()
    found = happy.deliver(left, message, code, NOW - 1, with_rules, NOW)
    assert msgpack.encode(message.head) == before
    judge(message, life.ReceiptSeen(1, 1, "DELIVRD", code, "", NOW - 1), with_rules, found, left)


@given(names, st.sampled_from([0, 10_000]), words, words, st.integers(0, 2), st.sampled_from(["", "group"]))
def test_a_first_write_ahead_is_the_rounds(carrier: str, cost: int, own: str, sender: str, lane: int, group: str) -> None:
    """`start` makes the head that `begin` makes of a message of one segment without a head."""
    body: Body = Life(lane=lane, group=group).body
    body.sender = own
    head, numbers = life.begin(Message(ID, 0, None, body), carrier, "b0", cost, 0, NOW, sender)
    assert numbers == [1]
    assert msgpack.encode(happy.start(body, carrier, "b0", cost, NOW, sender)) == msgpack.encode(head)


def test_the_short_cuts_are_taken() -> None:
    """A life without accidents never asks the table: else the laws above would prove nothing."""
    with_rules = rules()
    m = Life(with_rules=with_rules)
    message = Message(ID, 1, happy.start(m.body, "alpha", "b0", 10, NOW, ""), None)
    head = happy.accept(Effects(), message, life.Answer(1, Outcome.ACCEPTED, 0, "id", NOW), with_rules, NOW)
    assert head is not None
    assert head.state == State.SUBMITTED
    head = happy.deliver(Effects(), Message(ID, 2, head, None), "000", NOW, with_rules, NOW)
    assert head is not None
    assert head.state == State.DELIVERED
