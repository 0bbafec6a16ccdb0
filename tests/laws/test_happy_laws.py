"""The happy path is the table's: over drawn messages each short cut leaves what the slow truth leaves, or nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
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
    return st.integers(0, 79).flatmap(lambda n: others if n == 0 else st.just(value))


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
    """Heads in `state` of one to three segments, mostly with one attempt each."""
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
        st.integers(1, 3).flatmap(lambda n: st.lists(segment, min_size=n, max_size=n)),
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


def judge(message: Message, evidence: list[life.Evidence], with_rules: life.Rules, found: Head | None, left: Effects) -> None:
    """The short cut left nothing and said None, or exactly what the table leaves of one after the other, in one commit."""
    if found is None:
        assert wire(left) == wire(Effects())
        return
    truth, now = Effects(), Message(message.id, message.version, message.head, message.body)
    for each in evidence:
        decision = life.decide(now, each, with_rules, NOW)
        assert decision.changed
        life.collect(truth, now, decision)
        truth.heads[:] = truth.heads[-1:]
        now.head = decision.head
    assert wire(left) == wire(truth)
    assert msgpack.encode(found) == msgpack.encode(now.head)


def answers_to(number: int) -> Any:
    """An answer to segment `number`, mostly accepted with an id."""
    return st.builds(
        life.Answer,
        mostly(number, st.integers(1, 3)),
        mostly(int(Outcome.ACCEPTED), st.sampled_from([int(o) for o in Outcome if o is not Outcome.PENDING])),
        mostly(0, st.just(8)),
        mostly(f"id{number}", st.just("")),
        st.sampled_from([NOW, NOW - 3]),
        mostly(0, st.integers(0, 3)),
    )


@settings(max_examples=400, deadline=None)
@given(
    heads_of(State.SUBMITTING, Outcome.PENDING, "", posted=False),
    st.tuples(*map(answers_to, (1, 2, 3))),
    mostly(0, st.integers(-2, 2)),
    mostly(False, st.just(True)),
)
def test_accepted_answers_are_the_tables(head: Head, drawn: tuple[life.Answer, ...], more: int, turned: bool) -> None:
    """`accept` leaves what `decide` and `collect` leave for the same answers, and never touches the message."""
    message, with_rules, before, left = Message(ID, 4, head, None), rules(), msgpack.encode(head), Effects()
    answers = list(drawn[: max(1, len(head.segments) + more)])
    if turned:
        answers.reverse()
    found = happy.accept(left, message, answers, with_rules, NOW)
    assert msgpack.encode(message.head) == before
    if all(answer.segment <= len(head.segments) for answer in answers):
        judge(message, [life.Answers(answers)], with_rules, found, left)
    else:
        assert found is None


@settings(max_examples=400, deadline=None)
@given(
    heads_of(State.SUBMITTED, Outcome.ACCEPTED, "7", posted=True),
    st.lists(st.tuples(st.integers(1, 3), words, st.sampled_from([NOW, NOW - 1])), min_size=1, max_size=4),
    st.sampled_from(["any", "some", "some", "all", "all"]),
    st.sampled_from([0, 0, 0, 1, 2, 4, 7]),
    st.sampled_from([False, False, False, True]),
    mostly(("failed",), st.sampled_from([("delivered",), ("delivered", "failed")])),
)
def test_deliveries_are_the_tables(
    head: Head, drawn: list[happy.Delivery], which: str, delivered: int, shared: bool, refund_on: tuple[str, ...]
) -> None:
    """`deliver` leaves what `decide` and `collect` leave for receipts DELIVRD of the first attempts, one after the other."""
    with_rules = rules(refund_on=refund_on)
    for i, segment in enumerate(head.segments):
        for attempt in segment.attempts[:1] if not shared else []:
            attempt.carrier_id = f"{attempt.carrier_id}{i}" if attempt.carrier_id else ""
        if delivered & 1 << i and len(head.segments) > 1 and segment.attempts:  # a part had its receipt before
            segment.state = int(State.DELIVERED)
            segment.attempts = [msgspec.structs.replace(a, receipt="DELIVRD") for a in segment.attempts]
    awaited = [i for i, segment in enumerate(head.segments, 1) if segment.state != State.DELIVERED]
    receipts = [(i, code, at) for i, (_, code, at) in zip(awaited, drawn * 3, strict=False)]
    if which != "all":
        receipts = drawn if which == "any" else receipts[-1:]
    message, before, left = Message(ID, 4, head, None), msgpack.encode(head), Effects()
    found = happy.deliver(left, message, receipts, with_rules, NOW)
    assert msgpack.encode(message.head) == before
    if not receipts:
        return
    judge(message, [life.ReceiptSeen(i, 1, "DELIVRD", code, "", at) for i, code, at in receipts], with_rules, found, left)


@given(names, st.sampled_from([0, 10_000]), words, words, st.integers(0, 2), st.sampled_from(["", "group"]), st.integers(1, 4))
def test_a_first_write_ahead_is_the_rounds(
    carrier: str, cost: int, own: str, sender: str, lane: int, group: str, segments: int
) -> None:
    """`start` makes the head that `begin` makes of a message without one."""
    body: Body = Life(lane=lane, group=group, segments=segments).body
    body.sender = own
    reference = 0 if segments == 1 else 77
    head, numbers = life.begin(Message(ID, 0, None, body), carrier, "b0", cost, reference, NOW, sender)
    assert numbers == list(range(1, segments + 1))
    assert msgpack.encode(happy.start(body, carrier, "b0", cost, NOW, sender, reference)) == msgpack.encode(head)


@pytest.mark.parametrize("segments", [1, 3])
def test_the_short_cuts_are_taken(segments: int) -> None:
    """A life without accidents never asks the table: else the laws above would prove nothing."""
    with_rules = rules()
    m = Life(with_rules=with_rules, segments=segments)
    message = Message(ID, 1, happy.start(m.body, "alpha", "b0", 10, NOW, "", 5), None)
    numbers = range(1, segments + 1)
    answers = [life.Answer(n, Outcome.ACCEPTED, 0, f"id{n}", NOW) for n in numbers]
    head = happy.accept(Effects(), message, answers, with_rules, NOW)
    assert head is not None
    assert head.state == State.SUBMITTED
    receipts = [(n, "000", NOW) for n in numbers]
    if segments > 1:
        head = happy.deliver(Effects(), Message(ID, 2, head, None), receipts[1:2], with_rules, NOW)
        assert head is not None
        assert (head.state, receipts.pop(1)[0]) == (State.SUBMITTED, 2)
    head = happy.deliver(Effects(), Message(ID, 2, head, None), receipts, with_rules, NOW)
    assert head is not None
    assert head.state == State.DELIVERED
