"""Laws of the lifecycle over random evidence: whatever comes in whatever order, money and promises hold."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from accounting.ledger import Fact, Ledger
from dispatcher.core import lifecycle as life
from dispatcher.core.model import Outcome, State
from tests.dispatcher.core.lives import Life, rules

OUTCOMES = [o for o in Outcome if o is not Outcome.PENDING]
RECEIPTS = ["DELIVRD", "UNDELIV", "FAILED", "EXPIRED", "DELETED", "REJECTD", "UNKNOWN", "ENROUTE", "ACCEPTD"]
CAUSES = ["", "absent", "memory_full", "network", "blocked"]

segment = st.sampled_from([1, 1, 1, 2, 2, 3])
attempt = st.sampled_from([0, 0, 0, 1, 2, 3, 5])
begin = st.tuples(st.just("begin"), st.sampled_from(["alpha", "beta", "whole"]))
answer_all = st.tuples(st.just("answer all"), st.sampled_from(OUTCOMES))
receipt = st.tuples(st.just("receipt"), st.tuples(segment, attempt, st.sampled_from(RECEIPTS), st.sampled_from(CAUSES)))
due = st.tuples(st.just("due"), st.none())
step = st.one_of(
    *[begin, begin, begin, answer_all, answer_all, receipt, receipt, due, due],  # what happens often, often
    st.tuples(st.just("answers"), st.lists(st.tuples(segment, st.sampled_from(OUTCOMES), attempt, st.booleans()), max_size=4)),
    st.tuples(st.just("silence"), st.tuples(segment, attempt)),
    st.tuples(st.just("sweep"), st.sampled_from([life.DueReached(), life.ValidityOver(), life.Cancel(), life.TakenOver()])),
    st.tuples(st.just("wait"), st.sampled_from([1_000, 60_000, 400_000, 90_000_000])),
)


def play(m: Life, kind: str, what: object) -> None:
    """One random step, as the engine would take it."""
    head = m.message.head
    if kind == "begin":
        carrier = head.pin if head is not None and head.pin else str(what)
        if life.ready(m.message, m.now):
            m.begin(carrier, reference=len(m.submitted) + 1)
        elif m.due and m.due <= m.now:
            m.decide(life.DueReached())
    elif kind == "answers" and head is not None:
        answers = [
            life.Answer(n, outcome, 8, "id" if has_id else "", m.now, a)
            for n, outcome, a, has_id in what  # type: ignore[attr-defined]
            if n <= len(head.segments)
        ]
        m.decide(life.Answers(answers))
    elif kind == "answer all" and head is not None:
        accepted = what == Outcome.ACCEPTED
        m.decide(
            life.Answers([life.Answer(n, what, 8, "id" if accepted else "", m.now) for n in range(1, len(head.segments) + 1)])  # type: ignore[arg-type]
        )
    elif kind == "receipt":
        n, a, state, cause = what  # type: ignore[misc]
        if head is not None and n <= len(head.segments):
            a = a or len(head.segments[n - 1].attempts)
        m.decide(life.ReceiptSeen(n, a, state, "1", cause, m.now))
    elif kind == "silence":
        n, a = what  # type: ignore[misc]
        m.decide(life.NoReceipt(n, a))
    elif kind == "sweep":
        m.decide(what)  # type: ignore[arg-type]
    elif kind == "wait":
        m.now += what  # type: ignore[operator]
    elif kind == "due" and m.due:
        m.wait_due()


def check(m: Life, was: State) -> None:
    """What must hold after every step."""
    head = m.message.head
    count = Counter((f.kind, f.segment) for f in m.facts)
    n = m.body.segments
    for s in range(1, n + 1):
        assert count["post", s] <= 1
        assert count["refund", s] <= count["post", s]
        assert count["post", s] + count["void", s] <= 1
    assert len({f.fact for f in m.facts}) == len(m.facts)
    posted = sum(f.amount for f in m.facts if f.kind == "post")
    refunded = sum(f.amount for f in m.facts if f.kind == "refund")
    assert m.available + m.reserved == -posted + refunded
    if head is None:
        return
    state = State(head.state)
    assert m.due == head.due_at
    if state.final:
        assert m.reserved == 0
        assert all(State(s.state).final for s in head.segments)
        assert state == max(s.state for s in head.segments)
        assert head.due_at == 0
    else:
        assert any(not State(s.state).final for s in head.segments)
        if state in {State.WAITING, State.DOUBT}:
            assert head.due_at
        elif head.due_at:
            assert state is State.SUBMITTED
        assert (state is State.SUBMITTING) == any(s.state == State.SUBMITTING for s in head.segments)
    if was.final and state != was:
        assert was is State.UNKNOWN
        assert state in {State.DELIVERED, State.UNDELIVERED}
        assert head.refined
    for s in head.segments:
        costs = sum(1 for a in s.attempts if a.outcome == Outcome.ACCEPTED)
        if not was.final:
            assert not s.posted or costs or s.state == State.UNKNOWN


@settings(max_examples=400, deadline=None)
@given(
    st.lists(step, min_size=1, max_size=40),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(0, 1),
    st.sampled_from(["post", "void"]),
    st.sampled_from([(), ("failed", "rejected"), ("undelivered", "expired", "unknown", "cancelled", "failed", "rejected")]),
)
def test_whatever_happens_money_and_promises_hold(
    steps: list[tuple[str, object]], segments: int, lane: int, on_unknown: int, unknown: str, refund_on: tuple[str, ...]
) -> None:
    """Posts <= 1 a segment, attempts <= 5, reserved 0 at the end, the books balance at each step, final stays final but
    for the refinement of unknown; nothing waits for ever without a place in the due set or a receipt to come."""
    r = rules(unknown=unknown, refund_on=refund_on, bulk_receipt_retries=True)
    m = Life(segments=segments, lane=lane, on_unknown=on_unknown, cost=1_000, validity_s=400_000, with_rules=r)
    for kind, what in steps:
        was = State(m.message.head.state) if m.message.head is not None else State.QUEUED
        play(m, kind, what)
        check(m, was)
    finish(m)
    audit(m)
    assert m.message.head is not None
    assert State(m.message.head.state).final
    assert m.reserved == 0
    events = [row for row in m.events if not row.refined]
    assert sum(1 for row in events if row.state in {s.wire for s in State if s.final}) == 1


def audit(m: Life) -> None:
    """The ledger, which shares no code with the lifecycle, takes every fact and comes to the same balance."""
    ledger = Ledger()
    total = m.body.segments * m.body.unit_price
    amounts = (total, "EUR", m.body.unit_price, "retail", "", "", "GB", "23415", "ACME", m.body.to_hash, 0, m.body.accepted_at)
    ledger.apply(Fact(f"{m.message.id}.0.0.reserve", m.message.id, "acme", 0, m.body.segments, "reserve", *amounts))
    for fact in m.facts:
        ledger.apply(fact)
    assert ledger.standing("acme")[:2] == (m.available, m.reserved)


def finish(m: Life) -> None:
    """Liveness: with no luck at all, deadlines alone end every message."""
    for _ in range(60):
        head = m.message.head
        if head is not None and State(head.state).final:
            return
        was = State(head.state) if head is not None else State.QUEUED
        if head is None or head.state == State.QUEUED:
            m.now = m.body.deadline_at
            m.decide(life.ValidityOver())
        elif head.state == State.SUBMITTING:
            m.decide(life.TakenOver())
        elif head.due_at:
            m.wait_due()
            if life.ready(m.message, m.now):
                m.begin(head.pin or "alpha", reference=99)
            else:
                assert m.decide(life.DueReached()).changed
        else:
            m.now += 259_200_000
            for n, s in enumerate(head.segments, 1):
                for a in s.attempts:
                    if a.carrier_id:  # else there is no correlation whose deadline could pass
                        m.decide(life.NoReceipt(n, a.number))
        check(m, was)
    raise AssertionError("no end")


@given(st.lists(step, max_size=25), st.integers(1, 3))
def test_a_repeated_decision_is_the_same(steps: list[tuple[str, object]], segments: int) -> None:
    """Two lives with the same evidence give the same facts and rows: a replay after a lost reply changes nothing."""
    one, two = Life(segments=segments), Life(segments=segments)
    for kind, what in steps:
        play(one, kind, what)
        play(two, kind, what)
    assert one.facts == two.facts
    assert one.events == two.events
    assert one.message.head == two.message.head
